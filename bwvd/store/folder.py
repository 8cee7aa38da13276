"""A folder as a store: a mounted disk, a NAS, a dock. One file for each object, under its name.

An object is written under a name of its own in `.incoming`, synced, and only then given its name, which must be free;
then the folders are synced. A power cut leaves it whole under its name or not at all, as the writer on the camera does.
What a cut leaves in `.incoming` is removed when it is a day old.

A folder locks nothing: whoever may write to it can delete. A retention is refused.
"""

from __future__ import annotations

import datetime
import errno
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from io import FileIO
from typing import TypeVar

import trio

from bwvd.evidence.flash.volume import NO_ROOM
from bwvd.store.body import BlockingBody, blocking_of
from bwvd.store.errors import LockMissing, ObjectMissing, StoreError, StoreFull, StoreRefused, StoreUnreachable
from bwvd.store.folder_tree import PIECE_BYTES, FolderTree
from bwvd.store.names import check_folder, check_name, shown
from bwvd.store.ports import Body, Lock, Page, Put, StoredObject, StoreFacts, VersionPage
from bwvd.text import one_line

T = TypeVar("T")

AT_ONCE = 4  # threads: a folder on a network waits more than it works

_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR})


class FolderStore:
    """`bwvd.store.ports.Store` on a folder, which must be there: an empty mount point is no dock."""

    def __init__(self, path: str) -> None:
        """Opens the folder. Raises: StoreUnreachable if it is not there, StoreRefused if it can't be used."""
        self._address = f"file:{path}"
        try:
            self._tree = FolderTree(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StoreUnreachable(f"{path}: {error.strerror}") from None
        except OSError as error:
            raise _named(error, path) from None
        self._threads = trio.CapacityLimiter(AT_ONCE)

    async def put(
        self, name: str, body: Body, *, size: int, sha256: bytes, retain_until: datetime.datetime | None = None
    ) -> Put:
        check_name(name)
        if retain_until is not None:
            raise LockMissing(name, f"{self._address} is a folder, and a folder locks nothing", stored=False)
        blocking = blocking_of(body)
        if blocking is not None:
            try:
                return await self._run(name, lambda: self._put_in_one(name, blocking, size, sha256))
            except _BodyFailed as failed:
                raise failed.error from None
        written = await self._run(name, lambda: self._tree.begin(name, size, sha256))
        if written is None:
            return Put.SAME

        def write(piece: bytes) -> Callable[[], None]:
            return lambda: written.write(piece)

        try:
            async with body() as pieces:
                async for piece in pieces:
                    await self._run(name, write(piece))
        except BaseException:
            with trio.CancelScope(shield=True), suppress(StoreError):
                await self._run(name, lambda: self._tree.drop(written))
            raise
        with trio.CancelScope(shield=True):  # what is begun in a thread comes to its end there, and has its file
            outcome = await self._run(name, lambda: self._tree.finish(written))
        return outcome  # noqa: RET504 - mypy: a return inside may be passed over, as a scope may swallow Cancelled

    async def head(self, name: str) -> StoredObject | None:
        check_name(name)

        def look() -> StoredObject | None:
            try:
                with self._tree.open_file(name) as opened:
                    return StoredObject(name, os.fstat(opened.fileno()).st_size)
            except FileNotFoundError:
                return None

        return await self._run(name, look)

    @asynccontextmanager
    async def get(
        self, name: str, start: int = 0, end: int | None = None, *, version: str = ""
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        check_name(name)
        if version:
            raise ObjectMissing(name, f"{name}: a folder keeps no versions")

        def begin() -> FileIO:
            try:
                return self._tree.open_file(name)
            except FileNotFoundError:
                raise ObjectMissing(name, f"{name}: not in {self._address}") from None

        with await self._run(name, begin) as file:
            async with aclosing(self._pieces(file.fileno(), name, start, end)) as pieces:
                yield pieces

    async def _pieces(self, fd: int, name: str, start: int, end: int | None) -> AsyncGenerator[bytes]:
        def read(most: int, at: int) -> Callable[[], bytes]:
            return lambda: os.pread(fd, most, at)

        while end is None or start < end:
            most = PIECE_BYTES if end is None else min(PIECE_BYTES, end - start)
            piece = await self._run(name, read(most, start))
            if not piece:
                return
            start += len(piece)
            yield piece

    async def page(self, prefix: str, *, after: str = "", cursor: str = "", folders: bool = False) -> Page:
        check_folder(prefix)
        return await self._run(prefix, lambda: self._tree.page(prefix, after, cursor, folders))

    async def versions(self, prefix: str, *, cursor: str = "") -> VersionPage:  # noqa: ARG002  the contract has it
        check_folder(prefix)
        await trio.lowlevel.checkpoint()
        return VersionPage()

    async def facts(self) -> StoreFacts:
        await self._run("", lambda: os.scandir(self._tree.root).close())
        return StoreFacts(self._address, Lock.NONE, detail="a folder locks nothing: who may write to it may delete")

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self._tree.close()

    def _put_in_one(self, name: str, body: BlockingBody, size: int, sha256: bytes) -> Put:
        """All of a put in one thread, without a change of threads for each piece."""
        written = self._tree.begin(name, size, sha256)
        if written is None:
            return Put.SAME
        try:
            for piece in _read(body):
                written.write(piece)
        except BaseException:
            with suppress(OSError):
                self._tree.drop(written)
            raise
        return self._tree.finish(written)

    async def _run(self, name: str, job: Callable[[], T]) -> T:
        """Run `job` in a thread, to its end. Raises: what it raises; OSErrors as those of the contract."""
        if self._tree.root < 0:  # which scandir would take for the working directory
            raise StoreUnreachable(f"{self._address}: closed")
        try:
            return await trio.to_thread.run_sync(job, limiter=self._threads)
        except OSError as error:
            raise _named(error, f"{self._address}: {shown(name)}" if name else self._address) from None


class _BodyFailed(Exception):
    """The source of an object can't be read: that is not the store's error."""

    def __init__(self, error: OSError) -> None:
        self.error = error


def _read(body: BlockingBody) -> Iterator[bytes]:
    try:
        with body.blocking() as pieces:
            yield from pieces
    except OSError as error:
        raise _BodyFailed(error) from None


def _named(error: OSError, where: str) -> StoreError:
    """The contract's error for an OSError."""
    text = f"{where}: {one_line(error.strerror or error)}"
    if error.errno in NO_ROOM:
        return StoreFull(text)
    return StoreRefused(text) if error.errno in _REFUSED else StoreUnreachable(text)
