"""Copies, allocations and system calls of a process: what counts them counts them, and what strace says is read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.bench.moving import calls, compiled, preloading, read
from tests.support.stock import need

# What it does between two looks at the counts that it is told to print.
LOOKING = """
import mmap, os, sys
counts = memoryview(mmap.mmap(os.open(os.environ["BWVD_MOVES"], os.O_RDWR), 24)).cast("Q")
source, room = bytes(100_000), memoryview(bytearray(100_000))
before, after = [0, 0, 0], [0, 0, 0]
for place in range(3): before[place] = counts[place]
{}
for place in range(3): after[place] = counts[place]
print(*(after[place] - before[place] for place in range(3)))
"""


def _counted(tmp_path: Path, work: str) -> list[int]:
    """Bytes copied, copies, allocations of a line of Python."""
    need("cc")
    environment = preloading(compiled(tmp_path), tmp_path / "counts")
    command = [sys.executable, "-S", "-c", LOOKING.format(work)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


def test_a_copy_of_media_is_counted_and_a_small_one_is_not(tmp_path: Path) -> None:
    copied, copies, _ = _counted(tmp_path, "room[:60_000] = source[:60_000]; room[:500] = source[:500]")
    assert (copied, copies) == (120_000, 2)  # a slice of bytes is a copy of its own


def test_each_object_of_python_is_an_allocation(tmp_path: Path) -> None:
    few, many = (_counted(tmp_path, f"kept = [object() for _ in (None,) * {number}]")[2] for number in (100, 1_100))
    assert 1_000 <= many - few < 1_040  # and the list grows


def test_what_was_counted_is_there_for_others(tmp_path: Path) -> None:
    copied, copies, _ = _counted(tmp_path, "room[:] = source")
    assert (copied, copies) == (100_000, 1)
    whole_bytes, whole_copies, allocations = read(tmp_path / "counts")
    assert whole_bytes >= copied
    assert whole_copies >= 1
    assert allocations > 1_000  # of a start of Python


def test_a_count_of_nothing_is_no_count(tmp_path: Path) -> None:
    """Without its file the process does not go on as if nothing had been copied."""
    need("cc")
    environment = {**os.environ, "LD_PRELOAD": str(compiled(tmp_path)), "BWVD_MOVES": str(tmp_path / "none")}
    assert subprocess.run(["true"], env=environment, check=False).returncode < 0


def test_system_calls_are_read_from_straces_summary() -> None:
    summary = "    calls syscall\n--------- ----------------\n      142 futex\n       46 epoll_wait\n"
    summary += "--------- ----------------\n      188 total\n"
    assert calls(summary) == {"futex": 142, "epoll_wait": 46}


def test_strace_writes_such_a_summary(tmp_path: Path) -> None:
    out = tmp_path / "strace"
    command = [need("strace"), "-f", "-c", "-U", "calls,name", "-o", str(out)]
    work = "import os\nfor _ in range(77): os.getppid()"
    subprocess.run([*command, sys.executable, "-S", "-c", work], check=True)
    assert calls(out.read_text(encoding="utf-8"))["getppid"] == 77
