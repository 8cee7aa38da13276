"""A folder as a store: a mounted disk, a NAS, a dock. One file for each object, under its name.

An object is written under a name of its own in `.incoming`, synced, and only then given its name, which must be free;
then the folders are synced. A power cut leaves it whole under its name or not at all, as the writer on the camera does.
What a cut leaves in `.incoming` is removed when it is a day old.

A folder locks nothing: whoever may write to it can delete. A retention is refused.

Everything is reached from the root's descriptor with O_NOFOLLOW, component by component: a link that somebody planted
in the folder leads nowhere, and nothing but a regular file is read.
"""

from __future__ import annotations

import ctypes
import datetime
import errno
import hashlib
import heapq
import os
import secrets
import stat
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, contextmanager, suppress
from typing import TypeVar

import trio

from bwvd.evidence.flash.regular_file import open_regular
from bwvd.evidence.flash.volume import NO_ROOM
from bwvd.store.errors import (
    BodyDiffers,
    LockMissing,
    ObjectDiffers,
    ObjectMissing,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnreachable,
)
from bwvd.store.names import check_folder, check_name, is_name, shown
from bwvd.store.ports import PAGE_OBJECTS, Body, HostileName, Lock, Page, Put, StoredObject, StoreFacts
from bwvd.text import one_line

T = TypeVar("T")

INCOMING = ".incoming"  # no object's name begins with a dot
LEFT_S = 86_400.0  # what is older there is of no put that is still going on
AT_ONCE = 4  # threads: a folder on a network waits more than it works
PIECE_BYTES = 1_048_576

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR})
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})  # of link(2), where there are none
_NOT_OURS = frozenset({INCOMING, "lost+found"})  # at the root
_NO_REPLACE = 1  # RENAME_NOREPLACE of renameat2(2)


class FolderStore:
    """`bwvd.store.ports.Store` on a folder, which must be there: an empty mount point is no dock."""

    def __init__(self, path: str) -> None:
        """Opens the folder. Raises: StoreUnreachable if it is not there, StoreRefused if it can't be used."""
        self._address = f"file:{path}"
        try:
            self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StoreUnreachable(f"{path}: {error.strerror}") from None
        except OSError as error:
            raise _named(error, path) from None
        self._threads = trio.CapacityLimiter(AT_ONCE)
        self._tidied = False

    async def put(
        self, name: str, body: Body, *, size: int, sha256: bytes, retain_until: datetime.datetime | None = None
    ) -> Put:
        check_name(name)
        if retain_until is not None:
            raise LockMissing(name, f"{self._address} is a folder, and a folder locks nothing", stored=False)
        if await self._run(name, lambda: self._there(name, size, sha256)):
            return Put.SAME
        temporary = f"{secrets.token_hex(16)}"
        fd = await self._run(name, lambda: self._begin(temporary))
        try:
            await self._write(fd, name, body, size, sha256)
            placed = await self._run(name, lambda: self._place(fd, temporary, name))
        finally:
            with trio.CancelScope(shield=True), suppress(StoreError):
                await self._run(name, lambda: self._end(fd, temporary))
        if not placed:
            await self._run(name, lambda: self._there(name, size, sha256))
            return Put.SAME
        return Put.NEW

    async def head(self, name: str) -> StoredObject | None:
        check_name(name)

        def look() -> StoredObject | None:
            try:
                with self._folder_of(name) as (folder, file), open_regular(file, folder=folder) as opened:
                    return StoredObject(name, os.fstat(opened.fileno()).st_size)
            except FileNotFoundError:
                return None

        return await self._run(name, look)

    def get(
        self, name: str, start: int = 0, end: int | None = None, *, version: str = ""
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._got(name, start, end, version)

    @asynccontextmanager
    async def _got(self, name: str, start: int, end: int | None, version: str) -> AsyncIterator[AsyncIterator[bytes]]:
        check_name(name)
        if version:
            raise ObjectMissing(name, f"{name}: a folder keeps no versions")

        def begin() -> int:
            try:
                with self._folder_of(name) as (folder, file), open_regular(file, folder=folder) as opened:
                    return os.dup(opened.fileno())
            except FileNotFoundError:
                raise ObjectMissing(name, f"{name}: not in {self._address}") from None

        fd = await self._run(name, begin)
        try:
            async with aclosing(self._pieces(fd, name, start, end)) as pieces:
                yield pieces
        finally:
            os.close(fd)

    async def _pieces(self, fd: int, name: str, start: int, end: int | None) -> AsyncGenerator[bytes]:
        while end is None or start < end:
            at, most = start, PIECE_BYTES if end is None else min(PIECE_BYTES, end - start)
            piece = await self._run(name, lambda at=at, most=most: os.pread(fd, most, at))  # type: ignore[misc]  # mypy infers no lambda with defaults
            if not piece:
                return
            start += len(piece)
            yield piece

    async def page(self, prefix: str, *, after: str = "", cursor: str = "", folders: bool = False) -> Page:
        check_folder(prefix)
        return await self._run(prefix, lambda: self._page(prefix, max(after, cursor), folders))

    async def facts(self) -> StoreFacts:
        await self._run("", lambda: os.scandir(self._root).close())
        return StoreFacts(self._address, Lock.NONE, detail="a folder locks nothing: who may write to it may delete")

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._root >= 0:
            fd, self._root = self._root, -1
            os.close(fd)

    async def _run(self, name: str, job: Callable[[], T]) -> T:
        """Run `job` in a thread, to its end. Raises: what it raises; OSErrors as those of the contract."""
        if self._root < 0:  # which scandir would take for the working directory
            raise StoreUnreachable(f"{self._address}: closed")
        try:
            return await trio.to_thread.run_sync(job, limiter=self._threads)
        except OSError as error:
            raise _named(error, f"{self._address}: {shown(name)}" if name else self._address) from None

    async def _write(self, fd: int, name: str, body: Body, size: int, sha256: bytes) -> None:
        digest, done = hashlib.sha256(), 0

        def write(piece: bytes) -> None:
            digest.update(piece)
            left = memoryview(piece)
            while left:
                left = left[os.write(fd, left) :]

        async with body() as pieces:
            async for piece in pieces:
                done += len(piece)
                if done > size:
                    break
                await self._run(name, lambda piece=piece: write(piece))  # type: ignore[misc]  # as above
        if done != size or digest.digest() != sha256:
            raise BodyDiffers(name, f"{name}: what was read is not the {size} bytes that were announced")

    def _there(self, name: str, size: int, sha256: bytes) -> bool:
        """True if the object is there already. Raises: ObjectDiffers if another one is, or what is no file."""
        try:
            with self._folder_of(name) as (folder, file), open_regular(file, folder=folder) as opened:
                same = os.fstat(opened.fileno()).st_size == size
                if same:
                    digest = hashlib.sha256()
                    while piece := opened.read(PIECE_BYTES):
                        digest.update(piece)
                    same = digest.digest() == sha256
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EPERM):  # a link, a folder, a device in the place of the object
                raise ObjectDiffers(name, f"{name}: taken in {self._address} by {error.strerror}") from None
            raise
        if not same:
            raise ObjectDiffers(name, f"{name}: is in {self._address} already, with another content")
        self._sync_folders(name)  # a put that a cut ended may have come to its name, and no further
        return True

    def _begin(self, temporary: str) -> int:
        with suppress(FileExistsError):
            os.mkdir(INCOMING, 0o700, dir_fd=self._root)
        folder = _open_folder(INCOMING, self._root)
        try:
            if not self._tidied:
                self._tidied = True
                _tidy(folder)
            return os.open(temporary, _NEW, 0o640, dir_fd=folder)
        finally:
            os.close(folder)

    def _place(self, fd: int, temporary: str, name: str) -> bool:
        """Sync the file and give it its name; False if the name is taken."""
        os.fdatasync(fd)
        self._make_folders(name)
        incoming = _open_folder(INCOMING, self._root)
        try:
            with self._folder_of(name) as (folder, file):
                try:
                    _name_file(incoming, temporary, folder, file)
                except FileExistsError:
                    return False
                os.fsync(folder)
        finally:
            os.close(incoming)
        return True

    def _end(self, fd: int, temporary: str) -> None:
        os.close(fd)
        incoming = _open_folder(INCOMING, self._root)
        try:
            with suppress(FileNotFoundError):  # renamed, where there are no links
                os.unlink(temporary, dir_fd=incoming)
        finally:
            os.close(incoming)

    def _make_folders(self, name: str) -> None:
        """Make the folders of `name`, each durable in the one above it."""
        parts, fd = name.split("/")[:-1], os.dup(self._root)
        try:
            for part in parts:
                try:
                    deeper = _open_folder(part, fd)
                except FileNotFoundError:
                    with suppress(FileExistsError):
                        os.mkdir(part, 0o750, dir_fd=fd)
                    os.fsync(fd)
                    deeper = _open_folder(part, fd)
                os.close(fd)
                fd = deeper
        finally:
            os.close(fd)

    def _sync_folders(self, name: str) -> None:
        parts, fd = name.split("/")[:-1], os.dup(self._root)
        try:
            os.fsync(fd)
            for part in parts:
                deeper = _open_folder(part, fd)
                os.close(fd)
                fd = deeper
                os.fsync(fd)
        finally:
            os.close(fd)

    @contextmanager
    def _folder_of(self, name: str) -> Iterator[tuple[int, str]]:
        """The descriptor of the folder that holds `name`, and its last part."""
        *parts, last = name.split("/")
        fd = os.open(".", _DIRECTORY, dir_fd=self._root)
        try:
            for part in parts:
                deeper = _open_folder(part, fd)
                os.close(fd)
                fd = deeper
            yield fd, last
        finally:
            os.close(fd)

    def _page(self, prefix: str, after: str, folders: bool) -> Page:
        """A page of what is behind `after`."""
        objects: list[StoredObject] = []
        found: list[str] = []
        hostile: list[HostileName] = []
        last = cursor = ""
        with suppress(FileNotFoundError), self._folder_of(prefix + "_") as (top, _):  # "_": the folder itself is meant
            for name, size in _walk(top, prefix, after, deep=not folders):
                if len(objects) + len(found) + len(hostile) == PAGE_OBJECTS:
                    cursor = last
                    break
                last = name
                if size is None:
                    found.append(name)
                elif size < 0 or not is_name(name):
                    hostile.append(HostileName(shown(name)))
                else:
                    objects.append(StoredObject(name, size))
        return Page(tuple(objects), tuple(found), tuple(hostile), cursor)


def _walk(folder: int, prefix: str, after: str, *, deep: bool) -> Iterator[tuple[str, int | None]]:
    """What is in a folder and behind `after`, in order: (name, bytes), (folder/, None), (what is no object, -1).

    Folders are told only where it is not to go into them. Holds the names of one page for each folder on the way.
    """
    for entry, status in _entries(folder, prefix, after, deep=deep):
        name = prefix + entry
        if not stat.S_ISDIR(status.st_mode):
            yield name, status.st_size if stat.S_ISREG(status.st_mode) else -1
        elif not is_name(name[:-1]):
            yield name, -1
        elif not deep:
            yield name, None
        else:
            try:
                inside = _open_folder(entry[:-1], folder)
            except FileNotFoundError:  # removed meanwhile
                continue
            try:
                yield from _walk(inside, name, after, deep=True)
            finally:
                os.close(inside)


def _entries(folder: int, prefix: str, after: str, *, deep: bool) -> list[tuple[str, os.stat_result]]:
    """The first entries of a folder behind `after`, folders with a "/", in the order of whole names."""

    def behind() -> Iterator[tuple[str, os.DirEntry[str]]]:
        for entry in entries:
            if not prefix and entry.name in _NOT_OURS:
                continue
            is_folder = entry.is_dir(follow_symlinks=False)
            name = f"{entry.name}/" if is_folder else entry.name
            if prefix + name > after or (is_folder and deep and after.startswith(prefix + name)):
                yield name, entry

    with os.scandir(folder) as entries:
        first = heapq.nsmallest(PAGE_OBJECTS + 1, behind(), key=lambda found: found[0])
        found = []
        for name, entry in first:
            with suppress(FileNotFoundError):
                found.append((name, entry.stat(follow_symlinks=False)))
        return found


def _tidy(incoming: int) -> None:
    """Remove what puts left that were cut off."""
    before = time.time() - LEFT_S
    with os.scandir(incoming) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_mtime < before:
                    os.unlink(entry.name, dir_fd=incoming)


def _name_file(source: int, temporary: str, target: int, name: str) -> None:
    """Give the file its name, if that is free. Raises: FileExistsError; OSError."""
    try:
        os.link(temporary, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename_without_replacing(source, temporary, target, name)


def _rename_without_replacing(source: int, old: str, target: int, new: str) -> None:
    """renameat2(2), for file systems without links (FAT, exFAT). Raises: FileExistsError; OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(source, os.fsencode(old), target, os.fsencode(new), _NO_REPLACE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), new)


def _open_folder(name: str, parent: int) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    except NotADirectoryError:
        if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, "a symbolic link", name) from None
        raise


def _named(error: OSError, where: str) -> StoreError:
    """The contract's error for an OSError."""
    text = f"{where}: {one_line(error.strerror or error)}"
    if error.errno in NO_ROOM:
        return StoreFull(text)
    return StoreRefused(text) if error.errno in _REFUSED else StoreUnreachable(text)
