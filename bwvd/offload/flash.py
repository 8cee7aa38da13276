"""The flash as the carrier sees it: it reads, and can do no more."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from errno import EIO
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import trio

from bwvd.evidence.flash.posix import PosixVolume
from bwvd.offload.pace import Pacer

T = TypeVar("T")

PIECE_BYTES = 1_048_576  # of a file, read and sent at once
MOST_IN_ONE = 67_108_864  # of a file that is read and put without a look at anything else: power that goes ends it


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

    @contextmanager
    def beside(self) -> Iterator[Flash]:
        """The directory for a job of another thread, which is not waited for here. Blocking. Raises: OSError."""
        flash = PosixFlash(self._root)
        try:
            yield flash
        finally:
            flash.close()

    def close(self) -> None:
        """Let go of the directory; the next job opens it again."""
        if self._flash is not None:
            self._flash.close()
            self._flash = None


class FlashBody:
    """The first `size` bytes of a file as the body of an object. Its iterator raises OSError, also if it is shorter.

    before: awaited with the size of each piece before it is handed on: the place for a limit of the pace.
    """

    def __init__(
        self,
        reader: FlashReader,
        path: str,
        size: int,
        before: Callable[[int], Awaitable[None]],
        piece_bytes: int = PIECE_BYTES,
    ) -> None:
        self._reader, self._path, self._size = reader, path, size
        self._before, self._piece_bytes = before, piece_bytes

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[AsyncIterator[bytes]]:
        async with aclosing(self._pieces()) as pieces:
            yield pieces

    async def _pieces(self) -> AsyncGenerator[bytes]:
        at = 0
        while at < self._size:
            piece = await self._reader.run(partial(self._piece, at))
            at += len(piece)
            await self._before(len(piece))
            yield piece

    def _piece(self, begin: int, flash: Flash) -> bytes:
        piece = flash.read(self._path, begin, min(self._piece_bytes, self._size - begin))
        if not piece:
            raise OSError(EIO, f"shorter than {self._size} bytes, which it had", self._path)
        return piece


class ThreadBody(FlashBody):
    """The same, also to be read in the thread of a store that works in one (`BlockingBody`): then there is no change
    of threads for each piece, and nothing to wait for before it.
    """

    def __init__(self, reader: ThreadReader, path: str, size: int, before: Callable[[int], Awaitable[None]]) -> None:
        super().__init__(reader, path, size, before)
        self._beside = reader.beside

    @contextmanager
    def blocking(self) -> Iterator[Iterator[bytes]]:
        with self._beside() as flash:
            yield self._pieces_of(flash)

    def _pieces_of(self, flash: Flash) -> Iterator[bytes]:
        at = 0
        while at < self._size:
            piece = self._piece(at, flash)
            at += len(piece)
            yield piece


def flash_body(reader: FlashReader, path: str, size: int, pacer: Pacer) -> FlashBody:
    """The first `size` bytes of a file as the body of an object, at the pacer's pace."""
    if isinstance(reader, ThreadReader) and not pacer.limited and size <= MOST_IN_ONE:
        return ThreadBody(reader, path, size, pacer.before)
    return FlashBody(reader, path, size, pacer.before, min(PIECE_BYTES, pacer.piece_bytes))
