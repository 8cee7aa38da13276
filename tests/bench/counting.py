"""What the daemon does for each frame and press, in counts that are the same on a busy machine: `python -m …counting`.

Opcodes are Python's, by thread (bwvd.capture's device thread is one of trio's); a *step* is a task that trio has run, a
*wait* a sleep of its loop. Reads and writes are system calls by the kernel's count, faults are fresh pages of memory.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.pairing import FULL
from tests.bench.sources import Clip, Clips
from tests.bench.subjects import Bwvd, configuration

TOP = 12  # functions that are shown
SECONDS = 6.0  # counted in each phase
PLAN = FULL


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the process has done so far."""

    frames: int
    opcodes: int
    steps: int
    waits: int
    reads: int
    writes: int
    faults: int
    functions: Counter[str] = field(default_factory=Counter)


FIGURES = ("opcodes", "steps", "waits", "reads", "writes", "faults")


@dataclass(frozen=True, slots=True)
class Phase:
    """What was done between two snapshots, for each frame that came in between; of a start and a press all of it."""

    name: str
    figures: dict[str, float]
    functions: list[tuple[str, float]]


def count(clip: Clip, *, encoder: str, seconds: float) -> list[Phase]:
    """Start, stand by, press, record. Takes about three times `seconds`, and as long as the loop needs to fill."""
    with tempfile.TemporaryDirectory(prefix="bwvd-counts-") as name:
        folder = Path(name)
        counts = folder / "counts"
        text = configuration(clip, PLAN, encoder=encoder, loop_s=5)
        with Bwvd(folder, text, ("tests.bench.counted", str(counts))) as bwvd:
            bwvd.wait_for_loop(0.5)
            started = _snapshot(bwvd, counts)
            bwvd.wait_for_loop(5)
            phases = [Phase("start", _figures(started, None, 1), _functions(started, None, 1))]
            standby = _between("standby, a frame", bwvd, counts, seconds)
            before = _snapshot(bwvd, counts)
            bwvd.press()
            bwvd.wait_steady(PLAN.keyframe_s)
            pressed = _snapshot(bwvd, counts)
            press = {
                name: max(0.0, whole - standby.figures[name] * (pressed.frames - before.frames))
                for name, whole in _figures(pressed, before, 1).items()
            }
            phases += [standby, Phase("press, beside its frames", press, [])]
            phases.append(_between("recording, a frame", bwvd, counts, seconds))
    return phases


def _between(name: str, bwvd: Bwvd, counts: Path, seconds: float) -> Phase:
    begin = _snapshot(bwvd, counts)
    time.sleep(seconds)
    end = _snapshot(bwvd, counts)
    frames = end.frames - begin.frames
    assert frames > 0, "no frame came"
    return Phase(name, _figures(end, begin, frames), _functions(end, begin, frames))


def _snapshot(bwvd: Bwvd, counts: Path) -> Snapshot:
    """Frames and counts are of one moment, whatever else the machine does; the daemon is not asked."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(counts))
        read: dict[str, Any] = json.loads(client.makefile("rb").readline())
    io = bwvd.proc("io")
    stat = Path(f"/proc/{bwvd.pid}/stat").read_text().rpartition(")")[2].split()
    opcodes = sum(read["threads"].values())
    functions = Counter(read["functions"])
    return Snapshot(
        read["packets"], opcodes, read["steps"], read["waits"], io["syscr"], io["syscw"], int(stat[7]), functions
    )


def _figures(end: Snapshot, begin: Snapshot | None, frames: int) -> dict[str, float]:
    return {name: (getattr(end, name) - (getattr(begin, name) if begin else 0)) / frames for name in FIGURES}


def _functions(end: Snapshot, begin: Snapshot | None, frames: int) -> list[tuple[str, float]]:
    each = end.functions - begin.functions if begin else end.functions
    return [(name, number / frames) for name, number in each.most_common(TOP)]


def show(group: str, phases: list[Phase], console: Console) -> None:
    table = Table(title=f"{group}: counts", title_justify="left")
    table.add_column("")
    for name in FIGURES:
        table.add_column(name, justify="right")
    for phase in phases:
        table.add_row(phase.name, *(f"{phase.figures[name]:,.2f}".removesuffix(".00") for name in FIGURES))
    console.print(table)
    for phase in phases:
        if phase.name.endswith("a frame"):
            console.print(f"{phase.name}: most opcodes in")
            for name, number in phase.functions:
                console.print(f"  {number:8.1f}  {name}", highlight=False)


def main() -> None:
    """`python -m tests.bench.counting`: both kinds of camera. Exit code 0; what may not rise is a test."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.counting", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="counted in each phase")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="bwvd-counts-") as name:
        clips = Clips(Path(name), "ffmpeg", PLAN.keyframe_s)
        console = Console(width=None if sys.stdout.isatty() else 140)
        show("copied 320x240", count(clips.h264("320x240", 10), encoder="copy", seconds=seconds), console)
        show("encoded 320x240", count(clips.mjpeg("320x240", 10), encoder="libx264", seconds=seconds), console)


if __name__ == "__main__":
    main()
