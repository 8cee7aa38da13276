"""Measures that keep what is in RAM in RAM: no swap, no core dump, no look from outside (invariant 1).

Every measure says for itself whether it is in force. One that is not is told (`privacy:…`), not fatal: a developer's
shell has no right to lock memory, and a camera that records without it is better than one that does not record.
"""

from __future__ import annotations

import ctypes
import os
import resource
from dataclasses import dataclass
from pathlib import Path

# <linux/prctl.h>, <sys/mman.h>, <linux/capability.h>
PR_GET_DUMPABLE = 3
PR_SET_DUMPABLE = 4
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
CAP_IPC_LOCK = 14


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure, and what came of it. `name` is the fault's: "privacy:memory"."""

    name: str
    in_force: bool
    detail: str  # one line: what holds now, or why it does not and what would help


def protect(proc: Path = Path("/proc")) -> list[Measure]:
    """Take every measure that this process may take; to be called before any sample is in memory.

    From then on the files of /proc/PID that show memory belong to root. Blocking, quick, never raises.
    """
    dumps = forbid_dumps()
    return [lock_memory(proc), dumps, no_core(), core_handler(proc, dumpable=not dumps.in_force), swap(proc)]


def lock_memory(proc: Path = Path("/proc")) -> Measure:
    """Lock all memory, now and later, as it is touched (all of what is only mapped would be four times as much)."""
    name = "privacy:memory"
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if hard == resource.RLIM_INFINITY and soft != hard:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))
    # Under a limit the call may work now and make an allocation fail in the middle of a recording.
    if hard != resource.RLIM_INFINITY and not _may_lock(proc):
        return Measure(name, False, f"may lock only {hard} bytes of memory: LimitMEMLOCK=infinity is missing")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0:
        return Measure(name, False, f"mlockall: {os.strerror(ctypes.get_errno())}")
    return Measure(name, True, "all memory is locked")


def forbid_dumps() -> Measure:
    """Let nobody but root trace this process or read its memory, and let the kernel write no core of it."""
    name = "privacy:dumpable"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 or libc.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0:
        return Measure(name, False, f"prctl: {os.strerror(ctypes.get_errno())}")
    return Measure(name, True, "the process can't be dumped")


def no_core() -> Measure:
    """No core file, also of a process that is started from this one."""
    name = "privacy:core"
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError) as error:
        return Measure(name, False, f"setrlimit: {error}")
    return Measure(name, True, "core files are limited to 0 bytes")


def core_handler(proc: Path = Path("/proc"), *, dumpable: bool) -> Measure:
    """Whether crashes go to a program: the limit of 0 bytes does not stop that (core(5)), only `forbid_dumps` does."""
    name = "privacy:core_handler"
    try:
        pattern = (proc / "sys/kernel/core_pattern").read_text("utf-8", errors="replace").strip()
    except OSError as error:
        return Measure(name, not dumpable, f"core_pattern: {error.strerror}")
    if not pattern.startswith("|"):
        return Measure(name, True, "no program takes crashes")
    program = pattern[1:].split(" ")[0]
    if dumpable:
        return Measure(name, False, f"{program} would be handed this process's memory")
    return Measure(name, True, f"{program} takes crashes, but not this process's")


def swap(proc: Path = Path("/proc")) -> Measure:
    """Whether this machine swaps at all. Locked memory stays out of it; a swap that is not there needs no lock.

    zram stays in RAM and counts as none.
    """
    name = "privacy:swap"
    try:
        lines = (proc / "swaps").read_text("utf-8", errors="replace").splitlines()[1:]
    except OSError as error:
        return Measure(name, False, f"swaps: {error.strerror}")
    devices = [line.split()[0] for line in lines if line.strip()]
    on_storage = [device for device in devices if not Path(device).name.startswith("zram")]
    if on_storage:
        return Measure(name, False, f"swap is on: {', '.join(on_storage)}")
    return Measure(name, True, "no swap on storage")


def _may_lock(proc: Path) -> bool:
    """Whether this process has CAP_IPC_LOCK, for which no limit holds."""
    try:
        for line in (proc / "self/status").read_text("utf-8", errors="replace").splitlines():
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> CAP_IPC_LOCK & 1)
    except (OSError, ValueError, IndexError):
        pass  # not knowing is not having
    return False
