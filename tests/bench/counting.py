"""What the daemon does for each frame and press, in counts that are the same on a busy machine: `python -m …counting`.

Opcodes are Python's, by thread (bwvd.capture's device thread is one of trio's); a *step* is a task that trio has run, a
*wait* a sleep of its loop. Reads and writes are system calls by the kernel's count, faults are fresh pages of memory.
Below them stands what `tests.bench.moving` counts, in processes of its own that nobody looks at opcode by opcode.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench import moving
from tests.bench.paced import REPEATS, Paced
from tests.bench.pairing import FULL
from tests.bench.sources import Clip, Clips
from tests.bench.subjects import configuration

TOP = 12  # functions that are shown
GROUPS = 6  # counted in each phase
PRESS_GROUPS = 4  # until the pre-event part is written and the recording is abreast
LOOP_S = 5


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


def clips(folder: Path) -> dict[str, Clip]:
    """What is played, by encoder; needs the ffmpeg command."""
    made = Clips(folder, "ffmpeg", FULL.keyframe_s)
    return {
        "copy": made.repeated(made.h264("320x240", 10), REPEATS),
        "libx264": made.repeated(made.mjpeg("320x240", 10), REPEATS),
    }


def count(clip: Clip, *, encoder: str, groups: int) -> list[Phase]:
    """Start, stand by, press, record. Takes about twice `groups` seconds, and as long as the loop needs to fill.

    Phases begin and end in the middle of a GOP, so that as many are whole in each; nobody asks the daemon meanwhile.
    """
    with tempfile.TemporaryDirectory(prefix="bwvd-counts-") as name:
        folder = Path(name)
        counts = folder / "counts"
        text = configuration(clip, FULL, encoder=encoder, loop_s=LOOP_S)
        with Paced(folder / "run", text, ("tests.bench.counted", str(counts))) as bwvd:

            def after(begin: Snapshot, groups: int) -> Snapshot:
                bwvd.wait_groups(begin.frames, groups)
                return _snapshot(bwvd, counts)

            bwvd.wait_for_loop(0.5)
            start = _snapshot(bwvd, counts)
            bwvd.wait_for_loop(LOOP_S)
            bwvd.wait_middle()
            begin = _snapshot(bwvd, counts)
            ready = after(begin, groups)
            bwvd.press()
            pressed = after(ready, PRESS_GROUPS)
            end = after(pressed, groups)
            recording = bwvd.status()["recording"]
            assert recording["seconds"] - recording["committed_s"] < 2 * FULL.keyframe_s + 0.5, "it is behind"
    recorded = _between("recording, a frame", pressed, end)
    frames = pressed.frames - ready.frames
    press = {
        name: max(0.0, whole - recorded.figures[name] * frames) for name, whole in _figures(pressed, ready, 1).items()
    }
    return [
        Phase("start", _figures(start, None, 1), _functions(start, None, 1)),
        _between("standby, a frame", begin, ready),
        Phase("press, beside its frames", press, []),
        recorded,
    ]


def _between(name: str, begin: Snapshot, end: Snapshot) -> Phase:
    frames = end.frames - begin.frames
    return Phase(name, _figures(end, begin, frames), _functions(end, begin, frames))


def _snapshot(bwvd: Paced, counts: Path) -> Snapshot:
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


def show(group: str, phases: Sequence[Phase | moving.Phase], console: Console) -> None:
    table = Table(title=f"{group}: counts", title_justify="left")
    table.add_column("")
    for name in phases[0].figures:
        table.add_column(name, justify="right")
    for phase in phases:
        table.add_row(phase.name, *(f"{figure:,.2f}".removesuffix(".00") for figure in phase.figures.values()))
    console.print(table)
    for phase in phases:
        if isinstance(phase, Phase) and phase.name.endswith("a frame"):
            console.print(f"{phase.name}: most opcodes in")
            for name, number in phase.functions:
                console.print(f"  {number:8.1f}  {name}", highlight=False)


def main() -> None:
    """`python -m tests.bench.counting`: both kinds of camera. Exit code 0; what may not rise is a test."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.counting", description=__doc__)
    parser.add_argument("--groups", type=int, default=GROUPS, help="groups of pictures counted in each phase")
    groups = parser.parse_args().groups
    with tempfile.TemporaryDirectory(prefix="bwvd-counts-") as name:
        folder = Path(name)
        console = Console(width=None if sys.stdout.isatty() else 140)
        for encoder, clip in clips(folder).items():
            group = "copied 320x240" if encoder == "copy" else "encoded 320x240"
            show(group, count(clip, encoder=encoder, groups=groups), console)
            show(group, moving.count(clip, encoder=encoder, groups=groups, folder=folder / encoder), console)


if __name__ == "__main__":
    main()
