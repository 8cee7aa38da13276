"""What the daemon copies, allocates, waits for and asks of the kernel for each frame, libav and the codecs included.

Copies and allocations are counted inside of it by a library that is compiled and preloaded (moves.c; glibc), Python's
small objects too, each with a call of its own (`PYTHONMALLOC=malloc`). Wake-ups are the kernel's count of the times
that a thread has waited; system calls are strace's, in seconds of their own, those of locks left out: how often threads
meet at a lock is chance.
"""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.bench import accounting
from tests.bench.flushes import traced
from tests.bench.paced import Paced
from tests.bench.pairing import FULL
from tests.bench.sources import Clip
from tests.bench.subjects import configuration, wait_for

SOURCE = Path(__file__).with_name("moves.c")
FIGURES = ("copied kB", "copies", "allocations", "wake-ups", "system calls")
LOOP_S = 5
CHANCE = ("futex", "restart_syscall")  # locks; what strace itself has interrupted
_COUNTS = struct.Struct("=3Q")  # moves.c


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the process has done so far."""

    frames: int
    copied: int  # bytes
    copies: int
    allocations: int
    wake_ups: int


@dataclass(frozen=True, slots=True)
class Phase:
    """What was done for each frame that came in a phase, by FIGURES."""

    name: str
    figures: dict[str, float]


def compiled(folder: Path) -> Path:
    """The library that counts; needs a C compiler, `cc`."""
    library = folder / "moves.so"
    options = ["-O2", "-Wall", "-Wextra", "-Werror", "-fno-builtin", "-shared", "-fPIC", "-o", str(library)]
    subprocess.run(["cc", *options, str(SOURCE), "-ldl"], check=True)
    return library


def preloading(library: Path, counts: Path) -> dict[str, str]:
    """The environment of a process whose copies and allocations are counted in the file, which is made."""
    counts.write_bytes(bytes(_COUNTS.size))
    return {**os.environ, "LD_PRELOAD": str(library), "BWVD_MOVES": str(counts), "PYTHONMALLOC": "malloc"}


def read(counts: Path) -> tuple[int, int, int]:
    """Bytes copied, copies, allocations so far."""
    copied, copies, allocations = _COUNTS.unpack(counts.read_bytes())
    return copied, copies, allocations


def count(clip: Clip, *, encoder: str, groups: int, folder: Path) -> list[Phase]:
    """Standby, then recording; takes about four times `groups` seconds, and as long as the loop needs to fill."""
    folder.mkdir()
    with _Counted(folder / "run", configuration(clip, FULL, encoder=encoder, loop_s=LOOP_S), folder) as bwvd:
        bwvd.wait_for_loop(LOOP_S)
        phases = [bwvd.phase("standby, a frame", groups)]
        bwvd.press()
        bwvd.wait_steady(FULL.keyframe_s)
        phases.append(bwvd.phase("recording, a frame", groups))
        assert bwvd.status()["video"]["dropped"] == 0
    return phases


class _Counted(Paced):
    def __init__(self, folder: Path, text: str, beside: Path) -> None:
        self._counts = beside / "counts"
        self._strace = beside / "strace"
        super().__init__(folder, text, environment=preloading(compiled(beside), self._counts))

    def phase(self, name: str, groups: int) -> Phase:
        self.wait_middle()
        begin = self._look()
        self.wait_groups(begin.frames, groups)
        end = self._look()
        frames = end.frames - begin.frames
        figures = {
            "copied kB": (end.copied - begin.copied) / 1000 / frames,
            "copies": (end.copies - begin.copies) / frames,
            "allocations": (end.allocations - begin.allocations) / frames,
            "wake-ups": (end.wake_ups - begin.wake_ups) / frames,
            "system calls": self._system_calls(groups),
        }
        assert set(figures) == set(FIGURES)
        return Phase(name, figures)

    def _look(self) -> Snapshot:
        frames, moved = self.packets(), read(self._counts)
        wake_ups = sum(thread.voluntary for thread in accounting.switches(self.pid).values())
        return Snapshot(frames, *moved, wake_ups)

    def _system_calls(self, groups: int) -> float:
        """A frame."""
        strace = shutil.which("strace")
        assert strace is not None
        self.wait_middle()
        tracer = subprocess.Popen(
            [strace, "-f", "-c", "-U", "calls,name", "-o", str(self._strace), "-p", str(self.pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(lambda: traced(self.pid) or tracer.poll() is not None, 10, "strace does not begin")
            assert tracer.poll() is None, "strace may not look"
            begin = self.packets()
            self.wait_groups(begin, groups)
            frames = self.packets() - begin
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait()
        found = calls(self._strace.read_text(encoding="utf-8"))
        return sum(number for name, number in found.items() if name not in CHANCE) / frames


def calls(summary: str) -> dict[str, int]:
    """System calls by name, of what `strace -c -U calls,name` writes."""
    rows = (line.split() for line in summary.splitlines())
    return {row[1]: int(row[0]) for row in rows if len(row) == 2 and row[0].isdigit() and row[1] != "total"}
