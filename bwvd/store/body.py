"""Bodies for `Store.put`: the content of a regular file, or bytes that are at hand."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AbstractContextManager, ExitStack, aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

import trio

from bwvd.evidence.flash.regular_file import open_regular
from bwvd.store.ports import Body

PIECE_BYTES = 1_048_576


def bytes_body(content: bytes) -> Body:
    """A body of bytes."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[AsyncIterator[bytes]]:
        async with aclosing(_pieces_of(content)) as pieces:
            yield pieces

    return opened


@runtime_checkable
class BlockingBody(Protocol):
    """A body that can also be read in a thread: a store that works in one anyway gets on without changing between them.

    As a `Body` it is called, and gives the same bytes.
    """

    def blocking(self) -> AbstractContextManager[Iterator[bytes]]:
        """Open the content from its beginning. Blocking. Raises: OSError, also while it is read."""
        ...


def blocking_of(body: Body) -> BlockingBody | None:
    """`body` itself if it can be read in a thread."""
    found: object = body
    return found if isinstance(found, BlockingBody) else None


class FileBody:
    """`Body` and `BlockingBody` of a regular file: see `file_body`."""

    def __init__(self, path: str | Path, folder: int | None, end: int | None) -> None:
        self._path, self._folder, self._end = path, folder, end

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[AsyncIterator[bytes]]:
        stack = ExitStack()
        try:
            pieces = await trio.to_thread.run_sync(lambda: stack.enter_context(self.blocking()))
            async with aclosing(_in_threads(pieces)) as ours:
                yield ours
        finally:
            stack.close()  # of a file that was only read: waits for nothing

    @contextmanager
    def blocking(self) -> Iterator[Iterator[bytes]]:
        with open_regular(self._path, folder=self._folder) as file:
            yield _pieces_in(file, self._end)


def file_body(path: str | Path, *, folder: int | None = None, end: int | None = None) -> FileBody:
    """The content of a regular file, up to offset `end` or to its end. `path` may be relative to an open `folder`.

    A symbolic link, a FIFO, a device in its place is refused, see `open_regular`. Reads in threads, a piece at a time.
    The body raises OSError.
    """
    return FileBody(path, folder, end)


async def _pieces_of(content: bytes) -> AsyncGenerator[bytes]:
    for start in range(0, len(content), PIECE_BYTES):
        await trio.lowlevel.checkpoint()
        yield content[start : start + PIECE_BYTES]


def _pieces_in(file: io.FileIO, end: int | None) -> Iterator[bytes]:
    done = 0
    while end is None or done < end:
        most = PIECE_BYTES if end is None else min(PIECE_BYTES, end - done)
        piece = file.read(most)
        if piece:
            yield piece
        if len(piece) < most:  # the end of a regular file
            return
        done += len(piece)


async def _in_threads(pieces: Iterator[bytes]) -> AsyncGenerator[bytes]:
    """Each piece is read in a thread."""
    while piece := await trio.to_thread.run_sync(next, pieces, b""):
        yield piece
