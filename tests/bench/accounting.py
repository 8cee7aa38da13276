"""What the kernel says about a process: CPU time, memory, context switches, bytes written."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

_CPUCLOCK_SCHED = 2  # <linux/posix-timers.h>: all threads of a process, in nanoseconds, exited ones included


def cpu_s(pid: int) -> float:
    """User and system time of a process with all its threads so far, in seconds. It has no children of its own.

    Raises: OSError when it is gone.
    """
    return time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)


def peak_kb(pid: int) -> int:
    """The most memory that was resident at once (VmHWM), in kB."""
    return _numbers(Path(f"/proc/{pid}/status"))["VmHWM"]


def resident_kb(pid: int) -> int:
    """What is resident now (VmRSS), in kB."""
    return _numbers(Path(f"/proc/{pid}/status"))["VmRSS"]


def private_kb(pid: int) -> int | None:
    """What is resident now of this process alone (USS), in kB: without the libraries that others use as well.

    None where that is hidden: a process that forbids dumps shows its memory's map to root alone.
    """
    try:
        numbers = _numbers(Path(f"/proc/{pid}/smaps_rollup"))
    except PermissionError:
        return None
    return numbers["Private_Clean"] + numbers["Private_Dirty"]


def stored_bytes(pid: int) -> int | None:
    """What it made the kernel write to storage so far, in bytes: whole pages, each time that they are made dirty.

    None where that is hidden: a process that forbids dumps shows its /proc/PID/io to root alone.
    """
    try:
        return _numbers(Path(f"/proc/{pid}/io"))["write_bytes"]
    except PermissionError:
        return None


@dataclass(frozen=True, slots=True)
class Switches:
    """Context switches of one thread so far."""

    thread: str  # the name that the kernel has of it, at most 15 characters
    voluntary: int  # it waited for something: each is followed by a wake-up
    involuntary: int


def switches(pid: int) -> dict[int, Switches]:
    """Context switches by thread; a thread that has just ended is left out."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name = (task / "comm").read_text().strip()
            numbers = _numbers(task / "status")
        except (FileNotFoundError, ProcessLookupError):
            continue
        found[int(task.name)] = Switches(
            name, numbers["voluntary_ctxt_switches"], numbers["nonvoluntary_ctxt_switches"]
        )
    return found


def _numbers(path: Path) -> dict[str, int]:
    found = {}
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if (word := value.split()[:1]) and word[0].isdigit():
            found[key] = int(word[0])
    return found
