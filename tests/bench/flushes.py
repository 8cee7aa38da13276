"""How often a process flushes, as strace counts it: in seconds of their own, because being traced costs time."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

_CALLS = "fsync,fdatasync,sync_file_range,syncfs,sync"
_ATTACH_S = 5


def flushes_per_s(pid: int, seconds: float, folder: Path) -> float | None:
    """Flushes of all its threads per second; None without strace, or where it may not look."""
    strace = shutil.which("strace")
    if strace is None:
        return None
    out = folder / "strace"
    tracer = subprocess.Popen(
        [strace, "-f", "-qq", "-e", f"trace={_CALLS}", "-e", "signal=none", "-o", str(out), "-p", str(pid)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until_s = time.monotonic() + _ATTACH_S
        while not traced(pid):
            if tracer.poll() is not None or time.monotonic() > until_s:
                return None
            time.sleep(0.01)
        time.sleep(seconds)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
    # A call that was cut in two by another thread's is counted by its beginning.
    lines = [line for line in out.read_text(errors="replace").splitlines() if "(" in line and "resumed>" not in line]
    return len(lines) / seconds


def traced(pid: int) -> bool:
    """Whether every thread has a tracer."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return bool(tasks) and all("TracerPid:\t0\n" not in (task / "status").read_text() for task in tasks)
    except (FileNotFoundError, ProcessLookupError):  # a thread, or all of it, has just ended
        return False
