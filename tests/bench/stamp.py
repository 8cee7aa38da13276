"""What the burnt-in stamp costs: one daemon with it and one without in the same seconds, beside ffmpeg's drawtext."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from tests.bench.figures import Findings, Row, Spread, at_most, times_ffmpeg
from tests.bench.pairing import Plan, watch
from tests.bench.sources import Clip
from tests.bench.subjects import NOWHERE, Bwvd, Ffmpeg, configuration, decoding, encoding, shown
from tests.support.process import DEVICE


def drawtext(ffmpeg: str, device: str) -> str:
    """ffmpeg's filter for the same stamp; "" where this build, or the machine's fonts, have none."""
    text = f"%{{gmtime\\:%Y-%m-%dT%T}} {device}"
    graph = f"drawtext=text='{text}':x=6:y=6:fontsize=24:fontcolor=white:box=1:boxcolor=black"
    trial = [ffmpeg, "-v", "error", "-nostdin", "-f", "lavfi", "-i", "color=size=320x240:duration=0.1"]
    done = subprocess.run([*trial, "-vf", graph, *NOWHERE], capture_output=True, check=False)
    return graph if done.returncode == 0 else ""


def measure_stamp(group: str, clip: Clip, plan: Plan, ffmpeg: str, folder: Path) -> Findings:
    """Three processes at once; without drawtext in ffmpeg, the command encodes without a stamp and is not compared."""
    found = Findings()
    folder.mkdir()
    filters = drawtext(ffmpeg, DEVICE)
    (folder / "with").mkdir()
    (folder / "without").mkdir()
    command = [ffmpeg, "-v", "error", "-nostdin", *decoding(clip), *encoding(plan, filters), *NOWHERE]
    on = configuration(clip, plan, encoder="libx264", stamp=True)
    off = configuration(clip, plan, encoder="libx264")
    with (
        Bwvd(folder / "with", on) as stamped,
        Bwvd(folder / "without", off) as plain,
        Ffmpeg(command, folder / "ffmpeg") as theirs,
    ):
        stamped.wait_for_loop(plan.keyframe_s)
        plain.wait_for_loop(plan.keyframe_s)
        time.sleep(plan.settle_s)
        a, b, c = watch([stamped.pid, plain.pid, theirs.pid], plan.windows, plan.window_s)
        theirs.check_alive()
    stamp_core = Spread.of([x - y for x, y in zip(a.core.values, b.core.values, strict=True)])
    share = Spread.of([(x / y - 1) * 100 for x, y in zip(a.core.values, b.core.values, strict=True)])
    if filters:
        found.compared.append(f"{group}: {shown(command)}")
        found.rows.append(
            Row(group, "standby with stamp: CPU", "% of a core", a.core, c.core, paired=True, goal=times_ffmpeg(1.0))
        )
    found.rows.append(Row(group, "the stamp: CPU", "% of a core", stamp_core))
    found.rows.append(Row(group, "the stamp: of the encode", "%", share, goal=at_most(2, "%"), digits=1))
    return found
