"""Bodies for `Store.put`: the content of a regular file, or bytes that are at hand."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

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


def file_body(path: str | Path, *, folder: int | None = None, end: int | None = None) -> Body:
    """The content of a regular file, up to offset `end` or to its end. `path` may be relative to an open `folder`.

    A symbolic link, a FIFO, a device in its place is refused, see `open_regular`. Reads in threads, a piece at a time.
    The body raises OSError.
    """

    @asynccontextmanager
    async def opened() -> AsyncIterator[AsyncIterator[bytes]]:
        file = await trio.to_thread.run_sync(lambda: open_regular(path, folder=folder))
        try:
            async with aclosing(_pieces_in(file, end)) as pieces:
                yield pieces
        finally:
            file.close()  # of a file that was only read: waits for nothing

    return opened


async def _pieces_of(content: bytes) -> AsyncGenerator[bytes]:
    for start in range(0, len(content), PIECE_BYTES):
        await trio.lowlevel.checkpoint()
        yield content[start : start + PIECE_BYTES]


async def _pieces_in(file: io.FileIO, end: int | None) -> AsyncGenerator[bytes]:
    done = 0
    while end is None or done < end:
        most = PIECE_BYTES if end is None else min(PIECE_BYTES, end - done)
        piece = await trio.to_thread.run_sync(file.read, most)
        if not piece:
            return
        done += len(piece)
        yield piece
