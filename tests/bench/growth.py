"""How cost grows with the length of the loop and with the bit rate.

Two ways, because a loop of 600 s takes 600 s to fill: whole daemons in real time with loops that can be waited for, and
the daemon's core (recorder, loop, writer) in virtual time with 600 s of real bytes in memory.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from tests.bench import accounting
from tests.bench.figures import Findings, Row, Spread, at_most, paired_ratio
from tests.bench.pairing import FILLED, Plan, watch
from tests.bench.sources import BITRATE, Clips
from tests.bench.subjects import COPYING, NOWHERE, Bwvd, Ffmpeg, configuration, playing
from tests.support.source_tree import ROOT

FLAT = 1.15  # what counts as flat: the noise of a shared machine is left in


def measure(group: str, clips: Clips, plan: Plan, ffmpeg: str, folder: Path) -> Findings:
    """Three copying daemons and two ffmpeg commands at once: a longer loop, and four cameras' worth of bit rate."""
    folder.mkdir()
    size = "320x240" if plan.quick else "1280x720"
    one, four = clips.h264(size, plan.clip_s), clips.h264(size, plan.clip_s, 4 * BITRATE)
    short_s, long_s = (1.0, 2.0) if plan.quick else (10.0, 40.0)
    with ExitStack() as running:

        def bwvd(name: str, text: str) -> Bwvd:
            (folder / name).mkdir()
            return running.enter_context(Bwvd(folder / name, text))

        short = bwvd("short", configuration(one, plan, encoder="copy", loop_s=short_s))
        long = bwvd("long", configuration(one, plan, encoder="copy", loop_s=long_s))
        dense = bwvd("dense", configuration(four, plan, encoder="copy", loop_s=short_s))
        commands = [[ffmpeg, "-v", "error", "-nostdin", *playing(clip), *COPYING, *NOWHERE] for clip in (one, four)]
        theirs: list[Ffmpeg] = [
            running.enter_context(Ffmpeg(command, folder / f"ffmpeg-{number}"))
            for number, command in enumerate(commands)
        ]
        long.wait_for_loop(long_s * FILLED, limit_s=long_s + 30)
        time.sleep(plan.settle_s)
        pids = [short.pid, long.pid, dense.pid, *(one.pid for one in theirs)]
        a, b, c, d, e = (watched.core for watched in watch(pids, plan.windows, plan.window_s))
        grown_mb = (accounting.resident_kb(long.pid) - accounting.resident_kb(short.pid)) * 1024 / 1e6
        more_mb = (long.status()["loop"]["bytes"] - short.status()["loop"]["bytes"]) / 1e6
    lengths = f"{short_s:g} s to {long_s:g} s"
    rows = [
        Row(group, f"CPU, loop from {lengths}, copied", "x", paired_ratio(b, a), goal=at_most(FLAT, "x")),
        Row(group, f"memory, loop from {lengths}, copied", "MB", Spread.of([grown_mb]), digits=1,
            note=f"{more_mb:.1f} MB of it are video"),
        Row(group, "CPU, bit rate x 4, copied", "x", paired_ratio(c, a), paired_ratio(e, d)),
    ]  # fmt: skip
    return Findings(rows + _virtual(group, plan))


def _virtual(group: str, plan: Plan) -> list[Row]:
    lengths = (5, 20) if plan.quick else (30, 600)
    found: dict[tuple[int, int], list[dict[str, float]]] = {}
    for number in range(1 if plan.quick else 3):
        for length_s, times in itertools.product(lengths, (1, 4)):
            # The largest takes more than a gigabyte, and only its memory is asked for: once is enough.
            if number == 0 or (length_s, times) != (lengths[1], 4):
                found.setdefault((length_s, times), []).append(_core(length_s, times * BITRATE))
    short, long = ([one["cpu_ms_per_s"] for one in found[length_s, 1]] for length_s in lengths)
    dense = [one["cpu_ms_per_s"] for one in found[lengths[0], 4]]
    span = f"{lengths[0]} s to {lengths[1]} s"
    memory = found[lengths[1], 1][0]["loop_mb"], found[lengths[1], 1][0]["grown_mb"]
    dense_memory = found[lengths[1], 4][0]["loop_mb"], found[lengths[1], 4][0]["grown_mb"]
    return [
        Row(group, f"CPU of the core, loop from {span}", "x", paired_ratio(Spread.of(long), Spread.of(short)),
            goal=at_most(FLAT, "x"), note=f"{min(short):.2f} ms per second of video"),
        Row(group, "CPU of the core, bit rate x 4", "x", paired_ratio(Spread.of(dense), Spread.of(short))),
        Row(group, f"memory for a loop of {lengths[1]} s", "x its bytes",
            Spread.of([memory[1] / memory[0]]), note=f"{memory[1]:.0f} MB for {memory[0]:.0f} MB of video"),
        Row(group, f"memory for a loop of {lengths[1]} s, bit rate x 4", "x its bytes",
            Spread.of([dense_memory[1] / dense_memory[0]]),
            note=f"{dense_memory[1]:.0f} MB for {dense_memory[0]:.0f} MB of video"),
    ]  # fmt: skip


def _core(loop_s: int, bitrate: int) -> dict[str, float]:
    """One run of `tests.bench.growth_core`, in a process of its own: what it leaves in memory is its alone."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.growth_core", str(loop_s), str(bitrate)],
        capture_output=True,
        check=True,
        cwd=ROOT,
    )
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return document
