"""The flash as the carrier sees it: it reads, and can do no more."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from errno import EIO
from pathlib import Path
from typing import Protocol, TypeVar

import trio

from bwvd.evidence.flash.posix import PosixVolume
from bwvd.store.ports import Body

T = TypeVar("T")

PIECE_BYTES = 1_048_576  # of a file, read and sent at once


class Flash(Protocol):
    """What the carrier uses of `bwvd.evidence.flash.volume.Volume`, and `settle`. Blocking; all raise OSError."""

    def names(self, path: str) -> list[str]: ...

    def sizes(self, path: str) -> dict[str, int]: ...

    def size(self, path: str) -> int: ...

    def read(self, path: str, offset: int = 0, size: int = -1) -> bytes: ...

    def settle(self, path: str) -> None:
        """All of a file that could be read before this call is on the medium when it returns, and so is its name."""
        ...


class FlashReader(Protocol):
    """Runs blocking jobs against the flash, one at a time: off trio's thread on a device, inline in virtual time."""

    async def run(self, job: Callable[[Flash], T]) -> T:
        """Run `job(flash)` to its end, and return its value or raise its error."""
        ...


class PosixFlash(PosixVolume):
    """`Flash` on a directory."""

    def settle(self, path: str) -> None:
        # Who may only read may sync all the same; an error of it is told to each descriptor by itself.
        fd = self._open(path, os.O_RDONLY)
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)
        self.sync_dir(path.rpartition("/")[0])


class ThreadReader:
    """`FlashReader` on a directory, opened with the first job and again after an error: a card may come later."""

    def __init__(self, root: str | Path) -> None:
        self._root = root
        self._flash: PosixFlash | None = None
        self._one = trio.CapacityLimiter(1)

    async def run(self, job: Callable[[Flash], T]) -> T:
        """**Cancellation:** waits for the job: it only reads, and the volume is not for two threads."""
        return await trio.to_thread.run_sync(self._job, job, limiter=self._one)

    def _job(self, job: Callable[[Flash], T]) -> T:
        if self._flash is None:
            self._flash = PosixFlash(self._root)
        try:
            return job(self._flash)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the directory; the next job opens it again."""
        if self._flash is not None:
            self._flash.close()
            self._flash = None


def flash_body(
    reader: FlashReader, path: str, size: int, before: Callable[[int], Awaitable[None]], piece_bytes: int = PIECE_BYTES
) -> Body:
    """The first `size` bytes of a file as the body of an object. Its iterator raises OSError, also if it is shorter.

    before: awaited with the size of each piece before it is handed on: the place for a limit of the pace.
    """

    async def pieces() -> AsyncGenerator[bytes]:
        at = 0
        while at < size:
            begin, most = at, min(piece_bytes, size - at)
            piece = await reader.run(lambda flash: flash.read(path, begin, most))  # noqa: B023  awaited in this turn
            if not piece:
                raise OSError(EIO, f"shorter than {size} bytes, which it had", path)
            at += len(piece)
            await before(len(piece))
            yield piece

    @asynccontextmanager
    async def opened() -> AsyncIterator[AsyncIterator[bytes]]:
        async with aclosing(pieces()) as opened_pieces:
            yield opened_pieces

    return opened
