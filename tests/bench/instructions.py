"""What the daemon costs a small board, in instructions of a 64-bit ARM: `python -m tests.bench.instructions ROOT`.

ROOT is a Debian root for arm64 (`.ci/arm FOLDER` keeps one in FOLDER). The daemon runs under QEMU's user mode, which
has to take plugins (`.ci/qemu FOLDER` makes one), and its instructions are counted by thread. They are not time: a
processor takes several of some at once and waits for memory at others. But they are the same on a busy machine.

Exit codes: 0 counted · 1 the machine was too slow for the emulation: a frame was lost · 2 something that it takes is
missing here. Both in one line.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench import accounting
from tests.bench.counting import clips
from tests.bench.emulated import Emulator, Missing, by_part, emulator
from tests.bench.paced import GROUP, Paced
from tests.bench.pairing import FULL
from tests.bench.sources import RATE, Clip
from tests.bench.subjects import configuration

GROUPS = 8  # counted in each phase
PRESS_GROUPS = 5  # after a press: the pre-event part of 5 s is written, and the recording is abreast
LOOP_S = 5
START_S = 300  # that a start may take; the first one compiles
GROUP_NAMES = {"copy": "copied", "libx264": "encoded"}
PARTS = ("main", "capture", "others")


class TooSlow(Exception):
    """The emulation did not keep up. One line."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the process has done so far, by part, and how many frames it had been given."""

    frames: int
    parts: Counter[str]


@dataclass(frozen=True, slots=True)
class Row:
    """Instructions by part: of one frame, or of a press or a start as a whole."""

    name: str
    parts: dict[str, float]
    a_frame: bool = False

    @property
    def all(self) -> float:
        return sum(self.parts.values())


def a_frame(name: str, begin: Snapshot, end: Snapshot) -> Row:
    """What was done between the two for each frame that came. There must be one."""
    frames = end.frames - begin.frames
    return Row(name, {part: (end.parts[part] - begin.parts[part]) / frames for part in PARTS}, a_frame=True)


def beside(name: str, begin: Snapshot, end: Snapshot, frame: Row) -> Row:
    """What was done between the two beyond what each of the frames that came costs; nothing less than nothing."""
    frames = end.frames - begin.frames
    return Row(
        name, {part: max(0.0, end.parts[part] - begin.parts[part] - frames * frame.parts[part]) for part in PARTS}
    )


def whole(name: str, end: Snapshot) -> Row:
    """Everything since the process began."""
    return Row(name, {part: float(end.parts[part]) for part in PARTS})


def count(clip: Clip, encoder: str, machine: Emulator, groups: int, folder: Path) -> list[Row]:
    """Start, stand by, press, record. Phases begin and end in the middle of a GOP, so that as many are whole in each.

    Raises: TooSlow.
    """
    folder.mkdir()
    text = configuration(clip, FULL, encoder=encoder, loop_s=LOOP_S)
    with _Run(folder / "first", text, machine) as bwvd:  # makes the byte code
        bwvd.wait_for_loop(0.5, START_S)
    with _Run(folder / "counted", text, machine) as bwvd:
        bwvd.wait_for_loop(0.5, START_S)
        started = whole("a start, to the first half second in the loop", bwvd.look())
        bwvd.wait_for_loop(LOOP_S, START_S)
        standby = a_frame("standby, a frame", *bwvd.over(groups))
        before = bwvd.in_the_middle()
        bwvd.press()
        pressed = bwvd.after(before, PRESS_GROUPS)
        recording = a_frame("recording, a frame", pressed, bwvd.after(pressed, groups))
        press = beside(f"a press, the {LOOP_S} s before it written, beside its frames", before, pressed, recording)
        check_kept_up(bwvd.status())
    return [standby, recording, press, started]


def check_kept_up(status: Mapping[str, Any]) -> None:
    """Raises: TooSlow where a frame was lost since the start, or the recording is behind."""
    if lost := status["video"]["dropped"]:
        raise TooSlow(f"{lost} frames were lost: this machine, or what else it does, is too slow for the emulation")
    behind_s = status["recording"]["seconds"] - status["recording"]["committed_s"]
    if behind_s > 2 * FULL.keyframe_s + 0.5:
        raise TooSlow(f"the recording is {behind_s:.1f} s behind: this machine, or what else it does, is too slow")


class _Run(Paced):
    """One emulated run of the daemon."""

    def __init__(self, folder: Path, text: str, machine: Emulator) -> None:
        self._counts = folder / "counts"
        super().__init__(folder, text, python=machine.command(self._counts), environment=machine.environment())

    def look(self) -> Snapshot:
        packets, counts = self.packets(), self._counts.read_bytes()
        names = {thread: one.thread for thread, one in accounting.switches(self.pid).items()}
        return Snapshot(packets, by_part(counts, names, self.pid))

    def in_the_middle(self) -> Snapshot:
        self.wait_middle()
        return self.look()

    def after(self, begin: Snapshot, groups: int) -> Snapshot:
        self.wait_groups(begin.frames, groups)
        return self.look()

    def over(self, groups: int) -> tuple[Snapshot, Snapshot]:
        begin = self.in_the_middle()
        return begin, self.after(begin, groups)


def table(groups: Iterable[tuple[str, list[Row]]]) -> Table:
    """Thousands of instructions."""
    shown = Table(title="ARM instructions, in thousands", title_justify="left")
    shown.add_column(f"320x240, {RATE} frames a second, a GOP of {GROUP}")
    for column in ("main thread", "camera's thread", "others", "all", "a GOP"):
        shown.add_column(column, justify="right")
    for group, rows in groups:
        for row in rows:
            parts = [*(row.parts[part] for part in PARTS), row.all]
            gop = thousands(row.all * GROUP) if row.a_frame else ""
            shown.add_row(f"{group}, {row.name}", *map(thousands, parts), gop)
    return shown


def thousands(instructions: float) -> str:
    return f"{instructions / 1000:,.1f}" if instructions < 1e6 else f"{instructions / 1000:,.0f}"


def main() -> int:
    """Both kinds of camera, one after the other; takes about three minutes."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.instructions", description=__doc__)
    parser.add_argument("root", type=Path, metavar="ROOT", help="a Debian root for arm64 with python3")
    parser.add_argument("--package", type=Path, help="bwvd's package for arm64; ROOT/package.deb")
    parser.add_argument("--qemu", default="qemu-aarch64", help="a QEMU that takes plugins, its header beside it")
    parser.add_argument("--groups", type=int, default=GROUPS, help="groups of pictures counted in each phase")
    asked = parser.parse_args()
    root = asked.root.absolute()
    with tempfile.TemporaryDirectory(prefix="bwvd-arm-") as name:
        folder = Path(name)
        try:
            machine = emulator(root, asked.package or root / "package.deb", asked.qemu, folder)
            counted = [
                (GROUP_NAMES[encoder], count(clip, encoder, machine, asked.groups, folder / encoder))
                for encoder, clip in clips(folder).items()
            ]
        except (Missing, TooSlow) as error:
            print(error, file=sys.stderr)
            return 2 if isinstance(error, Missing) else 1
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(table(counted))
    if not any(root.glob("usr/lib/*/libturbojpeg.so.0")):
        console.print("JPEG was decoded by libav: the root has no libjpeg-turbo (libturbojpeg0).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
