"""The contract of a receiver: opened, it gives bytes until it is lost. Real: `GpsdReceiver`, and a serial line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol
from urllib.parse import urlsplit

import trio

from bwvd.messages import Fix
from bwvd.position.gpsd import MOST_LINE, WATCH, Gpsd

CONNECT_S = 5.0
GPSD_PORT = 2947
READ_BYTES = 65_536


class ReceiverLost(Exception):
    """The receiver is absent, was unplugged, or gpsd has ended. One line."""


class Feed(Protocol):
    """An open receiver."""

    async def receive(self) -> bytes:
        """Some bytes, at least one. Raises ReceiverLost. Cancellation loses nothing."""
        ...


class Language(Protocol):
    """What its lines are read by: `Gpsd`, `Nmea`."""

    def take(self, line: bytes, at_ns: int) -> Fix | None: ...

    def silence(self) -> str:
        """Why there is no fix in what was taken so far, in a few words."""
        ...


class Receiver(Protocol):
    """The place of a receiver."""

    name: str

    def open(self) -> AbstractAsyncContextManager[Feed]:
        """The feed, while it lasts. Raises ReceiverLost."""
        ...

    def language(self) -> Language:
        """A new reader of its lines, for one opening."""
        ...


class GpsdReceiver:
    """gpsd on this machine, over TCP."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.name = address
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or GPSD_PORT

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Feed]:
        try:
            with trio.fail_after(CONNECT_S):
                stream = await trio.open_tcp_stream(self._host, self._port)
        except (OSError, trio.TooSlowError):
            raise ReceiverLost(f"{self.name}: gpsd does not answer") from None
        async with stream:
            feed = _Stream(self.name, stream)
            await feed.ask()
            yield feed

    def language(self) -> Language:
        return Gpsd()


class _Stream:
    def __init__(self, name: str, stream: trio.SocketStream) -> None:
        self._name, self._stream = name, stream

    async def ask(self) -> None:
        try:
            with trio.fail_after(CONNECT_S):
                await self._stream.send_all(WATCH)
        except (trio.BrokenResourceError, trio.TooSlowError):
            raise ReceiverLost(f"{self._name}: gpsd takes nothing") from None

    async def receive(self) -> bytes:
        try:
            data = await self._stream.receive_some(READ_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            data = b""
        if not data:
            raise ReceiverLost(f"{self._name}: gpsd hung up")
        return bytes(data)


class LineReceiver:
    """A receiver that speaks NMEA on a line which somebody else opens; `open_line` raises ReceiverLost."""

    def __init__(self, name: str, open_line: Callable[[], AbstractAsyncContextManager[Feed]]) -> None:
        self.name = name
        self.open = open_line

    def language(self) -> Language:
        from bwvd.position.nmea import Nmea  # here: gpsd's readers have no use for a library of sentences

        return Nmea()


def lines_of(buffer: bytearray) -> list[bytes]:
    """Take the whole lines out of `buffer`; one that does not end within MOST_LINE is dropped."""
    *whole, rest = bytes(buffer).split(b"\n")
    buffer[:] = rest if len(rest) <= MOST_LINE else b""
    return [line for line in whole if len(line) <= MOST_LINE]
