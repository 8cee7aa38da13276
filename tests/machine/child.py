"""A process of ours that runs beside the tests, with what it says in a file; it does not outlive them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

POLL_S = 0.02


class Child:
    """A program started by us.

    Ending it is by its own process alone: nothing is ever sent to a process that we did not start.
    """

    def __init__(self, command: list[str], log: Path, env: dict[str, str] | None = None) -> None:
        self.log_path = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, **(env or {})},
                preexec_fn=_die_with_us,
            )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it still lives."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def wait(self, limit_s: float) -> bool:
        """Until it has ended; False when it has not by then."""
        try:
            self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End it now."""
        self.send(signal.SIGKILL)
        self._process.wait()

    def log(self, last: int = 2000) -> str:
        """The end of what it said, so many characters."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")[-last:]


def wait_for(path: Path, child: Child, limit_s: float = 20) -> None:
    """Until `path` is there. Fails when the child has ended instead, or takes too long."""
    until_s = time.monotonic() + limit_s
    while not path.exists():
        assert child.alive, f"ended: {child.log()}"
        assert time.monotonic() < until_s, f"{path.name} does not appear: {child.log()}"
        time.sleep(POLL_S)


def _die_with_us() -> None:
    """Linux: be killed when the parent ends, however it ends."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
