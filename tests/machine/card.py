"""The flash card of the machine: a disk with a volatile cache, which can be slow, answer EIO, and lose its power.

nbdkit serves a plain image file. Its filter `cache` keeps what the machine writes in memory until the machine sends a
flush: a sync that is missing, or whose flush does not arrive, loses data when the power goes, as on a real card. What
was flushed lies in the file.
"""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Literal

from tests.machine.child import Child, wait_for

Broken = Literal["read", "write"]


class Card:
    """One card.

    Args:
        folder: for the image and what goes with it.
        sockets: a folder with a short path (a Unix socket's may have 107 bytes).
    """

    def __init__(self, folder: Path, sockets: Path) -> None:
        self.image = folder / "card.img"
        self.socket = sockets / "card"
        self._folder = folder
        self._server: Child | None = None

    def replace(self, mib: int) -> None:
        """Put another, empty one in its place; the machine is off."""
        assert self._server is None
        self.image.unlink(missing_ok=True)
        with self.image.open("wb") as file:
            file.truncate(mib << 20)

    def power_on(self) -> None:
        self.socket.unlink(missing_ok=True)
        self.break_on(None)
        self.limit(None)
        command = ["nbdkit", "--foreground", "--exit-with-parent", "--unix", str(self.socket)]
        command += ["--filter=error", "--filter=rate", "--filter=cache", "file", str(self.image), "cache=writeback"]
        command += [f"rate-file={self._folder}/rate"]
        for kind, call in (("read", "pread"), ("write", "pwrite")):
            command += [f"error-{call}=EIO", f"error-{call}-rate=1", f"error-{call}-file={self._broken(kind)}"]
        self._server = Child(command, self._folder / "card.log", {"TMPDIR": str(self._folder)})
        wait_for(self.socket, self._server)

    def power_off(self, *, keep_written: bool) -> None:
        """Without power, what was not flushed is gone; unless `keep_written`, as on a card with a capacitor."""
        assert self._server is not None
        if keep_written:
            flush = ["qemu-io", "-f", "raw", "-c", "flush", f"nbd+unix:///?socket={self.socket}"]
            subprocess.run(flush, check=True, capture_output=True, timeout=120)
            self._server.send(signal.SIGTERM)
            self._server.wait(20)
        self._server.kill()
        self._server = None

    def limit(self, bytes_per_s: int | None) -> None:
        """Let it be slow."""
        (self._folder / "rate").write_text(f"{(bytes_per_s or 0) * 8}\n")

    def break_on(self, *kinds: Broken | None) -> None:
        """Let it answer EIO to reads, or writes, or both, from now on; None mends it."""
        for kind in ("read", "write"):
            if kind in kinds:
                self._broken(kind).touch()
            else:
                self._broken(kind).unlink(missing_ok=True)

    def _broken(self, kind: str) -> Path:
        return self._folder / f"broken.{kind}"
