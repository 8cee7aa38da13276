"""A line of text with a script at its other end, and the faults that real ones have."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from bwvd.controls.ports import ControlLost

RECEIVE_BYTES = 4096
SEND_PATIENCE_S = 1.0


class VirtualLine:
    """A serial line: a port that can be opened, the line itself, and what stands at its other end.

    queue_bytes: so many wait until they are received, as in the kernel; what comes on top is lost, and counted.

    **Synchronization:** trio's thread.
    """

    def __init__(
        self, name: str = "serial:virtual", *, present: bool = True, queue_bytes: int = 64 * RECEIVE_BYTES
    ) -> None:
        self.name = name
        self.is_open = False
        self.opened = 0  # how often
        self.heard = bytearray()  # what the other end has taken
        self.overrun = 0  # bytes that came while the queue was full
        self._queue_bytes = queue_bytes
        self._damage = 0.0
        self._chance = random.Random(0)  # noqa: S311 - noise, not a secret
        self._present = present
        self._incoming = bytearray()
        self._stalled = False
        self._deaf = False
        self._torn = False
        self._news = trio.Event()

    # --- our end -----------------------------------------------------------------------------------------------------

    @contextmanager
    def open(self) -> Iterator[VirtualLine]:
        """The line, while it lasts. What was sent before is not heard. Raises ControlLost."""
        if not self._present:
            raise ControlLost(f"{self.name}: no such file or directory")
        if self.is_open:
            raise ControlLost(f"{self.name}: in use by another program")
        self.is_open = True
        self.opened += 1
        self._incoming.clear()
        self._torn = False
        try:
            yield self
        finally:
            self.is_open = False
            self._ring()

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self._incoming:
            self._check()
            await self._wait()
        data = bytes(self._incoming[:RECEIVE_BYTES])
        del self._incoming[:RECEIVE_BYTES]
        return data

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self._check()
        if self._deaf:
            raise ControlLost(f"{self.name}: input/output error")
        with trio.move_on_after(SEND_PATIENCE_S):
            while self._stalled:
                await self._wait()
                self._check()
        if self._stalled:
            self._torn = True
            return
        self.heard += b"\r\n" + data if self._torn else data
        self._torn = False
        self._ring()

    def _check(self) -> None:
        if not (self._present and self.is_open):
            raise ControlLost(f"{self.name}: hung up")

    async def _wait(self) -> None:
        await self._news.wait()

    def _ring(self) -> None:
        self._news.set()
        self._news = trio.Event()

    # --- the other end -----------------------------------------------------------------------------------------------

    def say(self, data: bytes) -> None:
        """Send bytes to us."""
        if self.is_open and self._present:
            data = self._damaged(data)
            room = self._queue_bytes - len(self._incoming)
            self.overrun += max(len(data) - room, 0)
            self._incoming += data[:room]
            self._ring()

    def fail_writes(self, fail: bool = True) -> None:
        """Whether writing fails, while the other end still sends."""
        self._deaf = fail

    def noise(self, count: int, seed: int = 0) -> bytes:
        """Send `count` random bytes, and return them."""
        data = random.Random(seed).randbytes(count)  # noqa: S311 - noise, not a secret
        self.say(data)
        return data

    async def flood(self, for_s: float, bytes_per_s: int = 11_520, *, data: bytes | None = None, seed: int = 0) -> int:
        """Send without a pause, random bytes or `data` over and over; returns how many. 115,200 baud by default."""
        chance = random.Random(seed)  # noqa: S311 - noise, not a secret
        sent = 0
        until = trio.current_time() + for_s
        while trio.current_time() < until:
            count = max(bytes_per_s // 100, 1)
            piece = chance.randbytes(count) if data is None else (data * (count // len(data) + 2))[sent % len(data) :]
            self.say(piece[:count])
            sent += count
            await trio.sleep(count / bytes_per_s)
        return sent

    async def hear(self) -> bytes:
        """What we have sent since the last time, at least one byte. Waits for it."""
        while not self.heard:
            await self._wait()
        heard = bytes(self.heard)
        self.heard.clear()
        return heard

    async def lines(self, count: int) -> list[str]:
        """The next `count` whole lines that we have sent, taken from `heard`. Waits for them."""
        while self.heard.count(b"\r\n") < count:
            await self._wait()
        *lines, rest = self.heard.split(b"\r\n", count)
        self.heard = bytearray(rest)
        return [line.decode("ascii") for line in lines]

    # --- the faults --------------------------------------------------------------------------------------------------

    def stall(self, stalled: bool = True) -> None:
        """Take nothing any more, or again."""
        self._stalled = stalled
        self._ring()

    def damage(self, share: float, seed: int = 0) -> None:
        """From now on this share of the bytes that come to us have one bit wrong; 0 = the line is good again."""
        self._damage = share
        self._chance = random.Random(seed)  # noqa: S311 - noise, not a secret

    def _damaged(self, data: bytes) -> bytes:
        if not self._damage:
            return data
        chance = self._chance
        return bytes(byte ^ (1 << chance.randrange(8)) if chance.random() < self._damage else byte for byte in data)

    def hang_up(self) -> None:
        """Gone: whoever has it open gets ControlLost."""
        self._present = False
        self._incoming.clear()
        self._ring()

    def plug(self) -> None:
        """There again; it has to be opened anew."""
        self._present = True
