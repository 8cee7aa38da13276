"""One look at a process from outside, through /proc."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_TICKS_S = os.sysconf("SC_CLK_TCK")
_CPU_FIELDS = slice(11, 13)  # utime and stime of /proc/PID/stat, counted behind the command's closing bracket


@dataclass(frozen=True, slots=True)
class Sample:
    """Bytes, counts, and seconds since the soak began.

    anonymous: what the process itself has allocated, swapped out or not; it alone can leak, and no other process has a
    part in it. quiet: the daemon was in standby, without a fault, and nobody was doing anything to it. has_camera: the
    camera was open and delivered; asleep, or without it, there is no encoder either, and megabytes less.
    """

    at_s: float
    rss: int
    pss: int
    anonymous: int
    descriptors: int
    threads: int
    switches: int  # context switches since the start, of the threads that live
    cpu_s: float
    quiet: bool
    has_camera: bool
    state: str
    loop_bytes: int
    backlog_bytes: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def take(pid: int, at_s: float, status: dict[str, Any] | None, *, undisturbed: bool) -> Sample:
    """Look now. `status` is the daemon's own, None if it did not answer. Raises OSError when the process is gone."""
    proc = Path(f"/proc/{pid}")
    rollup = _sizes(proc / "smaps_rollup")
    stat = (proc / "stat").read_text().rpartition(")")[2].split()
    threads = list((proc / "task").iterdir())
    return Sample(
        at_s=round(at_s, 1),
        rss=rollup["Rss"],
        pss=rollup["Pss"],
        anonymous=rollup["Anonymous"] + rollup.get("Swap", 0),
        descriptors=sum(1 for _ in (proc / "fd").iterdir()),
        threads=len(threads),
        switches=sum(_switches(thread / "status") for thread in threads),
        cpu_s=sum(int(ticks) for ticks in stat[_CPU_FIELDS]) / _TICKS_S,
        quiet=undisturbed and status is not None and status["state"] == "standby" and not status["faults"],
        has_camera=status is not None and _has_camera(status),
        state=status["state"] if status else "?",
        loop_bytes=status["loop"]["bytes"] if status else 0,
        backlog_bytes=status["storage"]["backlog_bytes"] if status else 0,
    )


def _has_camera(status: dict[str, Any]) -> bool:
    """Just after waking it is still being opened: then the loop is empty."""
    return status["state"] != "asleep" and "camera" not in status["faults"] and status["loop"]["bytes"] > 0


def anonymous() -> int:
    """Bytes that this process has allocated."""
    rollup = _sizes(Path("/proc/self/smaps_rollup"))
    return rollup["Anonymous"] + rollup.get("Swap", 0)


def _sizes(path: Path) -> dict[str, int]:
    """Bytes by name of a file of `Name:  N kB` lines."""
    found = {}
    for line in path.read_text().splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB":
            found[name] = int(words[0]) * 1024
    return found


def _switches(path: Path) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:  # that thread has ended meanwhile
        return 0
    return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
