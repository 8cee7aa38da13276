"""A pseudo-terminal behind a stable name, as udev gives one to a USB adapter: it can hang up and come back."""

from __future__ import annotations

import os
from pathlib import Path

import trio

# Held beside the one in use: the kernel gives the lowest free number, which a program that lost its terminal may be
# about to open again.
SPARE = 16


class Pty:
    """The other end of a real terminal line; `port` is the name to open."""

    def __init__(self, folder: Path) -> None:
        self._link = folder / "ttyTEST"
        self.port = str(self._link)
        self._master = -1
        self._spare: list[int] = []

    def plug(self) -> None:
        while len(self._spare) < 2 * SPARE:
            self._spare += os.openpty()
        self._master, slave = os.openpty()
        os.set_blocking(self._master, False)
        self._link.symlink_to(os.ttyname(slave))
        os.close(slave)

    @property
    def device(self) -> str:
        """What the name leads to, while it is plugged in: `/dev/pts/7`."""
        return str(self._link.readlink())

    def leads_to(self, device: str) -> None:
        """Another device takes the name."""
        self._link.symlink_to(device)

    def hang_up(self) -> None:
        self._link.unlink()
        trio.lowlevel.notify_closing(self._master)
        os.close(self._master)
        self._master = -1

    def close(self) -> None:
        for fd in self._spare:
            os.close(fd)
        self._spare.clear()
        if self._master >= 0:
            os.close(self._master)

    def say(self, data: bytes) -> None:
        assert os.write(self._master, data) == len(data)

    async def hear(self) -> bytes:
        while True:
            await trio.lowlevel.wait_readable(self._master)
            try:
                return os.read(self._master, 65536)
            except BlockingIOError:
                continue

    async def lines(self, count: int) -> list[str]:
        """Exactly `count` whole lines; more or less is a failure of the test."""
        heard = b""
        while heard.count(b"\r\n") < count:
            heard += await self.hear()
        assert heard.endswith(b"\r\n")
        lines = heard.decode("ascii").splitlines()
        assert len(lines) == count, lines
        return lines
