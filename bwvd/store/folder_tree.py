"""The files of a folder store: written whole under their names or not at all, found, listed. Blocking.

Everything is reached from the root's descriptor with O_NOFOLLOW, component by component: a link that somebody planted
in the folder leads nowhere, and nothing but a regular file is read.
"""

from __future__ import annotations

import bisect
import ctypes
import errno
import hashlib
import heapq
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO

from bwvd.evidence.flash.regular_file import open_regular
from bwvd.evidence.format.layout import is_litter
from bwvd.store.errors import BodyDiffers, ObjectDiffers
from bwvd.store.names import is_name, shown
from bwvd.store.ports import PAGE_OBJECTS, HostileName, Page, Put, StoredObject

INCOMING = ".incoming"  # no object's name begins with a dot
LEFT_S = 86_400.0  # what is older there is of no put that is still going on
PIECE_BYTES = 1_048_576
WINDOW = 20_000  # names of one folder that a listing holds: a few megabytes

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})  # of link(2), where there are none
_NO_REPLACE = 1  # RENAME_NOREPLACE of renameat2(2)


class Written:
    """An object that is being written, under a name of its own in INCOMING."""

    def __init__(self, name: str, size: int, sha256: bytes, temporary: str, fd: int) -> None:
        self.name, self.size, self.sha256 = name, size, sha256
        self.temporary, self.fd = temporary, fd
        self._digest, self._done = hashlib.sha256(), 0

    def write(self, piece: bytes) -> None:
        """Raises: BodyDiffers if that is more than was announced; OSError."""
        self._done += len(piece)
        if self._done > self.size:
            self.check()
        self._digest.update(piece)
        left = memoryview(piece)
        while left:
            left = left[os.write(self.fd, left) :]

    def check(self) -> None:
        """Raises: BodyDiffers unless what was written is what was announced."""
        if self._done != self.size or self._digest.digest() != self.sha256:
            raise BodyDiffers(self.name, f"{self.name}: what was read is not the {self.size} bytes that were announced")


class FolderTree:
    """The folder of a store. Every method may raise OSError.

    **Synchronization:** any number of threads.
    """

    def __init__(self, path: str) -> None:
        self.shown = f"file:{path}"
        self.root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._tidied = False
        self._window: _Window | None = None

    def close(self) -> None:
        """Let go of the root; no more calls after it."""
        if self.root >= 0:
            fd, self.root = self.root, -1
            os.close(fd)

    def begin(self, name: str, size: int, sha256: bytes) -> Written | None:
        """Begin an object; None if it is there already. Raises: ObjectDiffers if another one is, or what is no file."""
        if self._is_there(name, size, sha256):
            return None
        with suppress(FileExistsError):
            os.mkdir(INCOMING, 0o700, dir_fd=self.root)
        incoming = _open_folder(INCOMING, self.root)
        try:
            if not self._tidied:
                self._tidied = True
                _tidy(incoming)
            temporary = secrets.token_hex(16)
            return Written(name, size, sha256, temporary, os.open(temporary, _NEW, 0o640, dir_fd=incoming))
        finally:
            os.close(incoming)

    def finish(self, written: Written) -> Put:
        """Sync the object, give it its name if that is still free, and sync that. `written` is done with afterwards.

        Raises: BodyDiffers, ObjectDiffers.
        """
        try:
            written.check()
            os.fdatasync(written.fd)
            self._make_folders(written.name)
            incoming = _open_folder(INCOMING, self.root)
            try:
                with self._folder_of(written.name) as (folder, file):
                    _name_file(incoming, written.temporary, folder, file)
                    os.fsync(folder)
                    return Put.NEW
            except FileExistsError:  # somebody was faster
                self._is_there(written.name, written.size, written.sha256)
                return Put.SAME
            finally:
                os.close(incoming)
        finally:
            self.drop(written)

    def drop(self, written: Written) -> None:
        """Remove what was written under the name of its own."""
        os.close(written.fd)
        incoming = _open_folder(INCOMING, self.root)
        try:
            with suppress(FileNotFoundError):  # renamed, where there are no links
                os.unlink(written.temporary, dir_fd=incoming)
        finally:
            os.close(incoming)

    def open_file(self, name: str) -> FileIO:
        """The file of an object. Raises: OSError, FileNotFoundError if there is none."""
        with self._folder_of(name) as (folder, file):
            return open_regular(file, folder=folder)

    def _is_there(self, name: str, size: int, sha256: bytes) -> bool:
        """True if the object is there already. Raises: ObjectDiffers if another one is, or what is no file."""
        try:
            with self.open_file(name) as opened:
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
                raise ObjectDiffers(name, f"{name}: taken in {self.shown} by {error.strerror}") from None
            raise
        if not same:
            raise ObjectDiffers(name, f"{name}: is in {self.shown} already, with another content")
        self._sync_folders(name)  # a put that a cut ended may have come to its name, and no further
        return True

    def _make_folders(self, name: str) -> None:
        """Make the folders of `name`, each durable in the one above it."""
        parts, fd = name.split("/")[:-1], os.dup(self.root)
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
        parts, fd = name.split("/")[:-1], os.dup(self.root)
        try:
            os.fsync(fd)
            for part in parts:
                deeper = _open_folder(part, fd)
                os.close(fd)
                fd = deeper
                os.fsync(fd)
        finally:
            os.close(fd)

    def page(self, prefix: str, after: str, cursor: str, folders: bool) -> Page:
        """A page of what is behind `after`; its cursor is the last name."""
        objects: list[StoredObject] = []
        found: list[str] = []
        hostile: list[HostileName] = []
        last, goes_on, after = "", bool(cursor), max(after, cursor)
        cursor = ""
        with suppress(FileNotFoundError), self._folder_of(prefix + "_") as (top, _):  # "_": the folder itself is meant
            for name, size in self._walk(top, prefix, after, deep=not folders, goes_on=goes_on):
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

    @contextmanager
    def _folder_of(self, name: str) -> Iterator[tuple[int, str]]:
        """The descriptor of the folder that holds `name`, and its last part."""
        *parts, last = name.split("/")
        fd = os.open(".", _DIRECTORY, dir_fd=self.root)
        try:
            for part in parts:
                deeper = _open_folder(part, fd)
                os.close(fd)
                fd = deeper
            yield fd, last
        finally:
            os.close(fd)

    def _walk(
        self, folder: int, prefix: str, after: str, *, deep: bool, goes_on: bool
    ) -> Iterator[tuple[str, int | None]]:
        """What is in a folder and behind `after`, in order: (name, bytes), (folder/, None), (what is no object, -1).

        Folders are told only where it is not to go into them.
        """
        for entry in self._entries(folder, prefix, after, deep=deep, goes_on=goes_on):
            name = prefix + entry
            try:
                status = os.stat(entry.removesuffix("/"), dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:  # removed meanwhile
                continue
            if not stat.S_ISDIR(status.st_mode):
                yield name, status.st_size if stat.S_ISREG(status.st_mode) else -1
            elif not is_name(name[:-1]):
                yield name, -1
            elif not deep:
                yield name, None
            else:
                try:
                    inside = _open_folder(entry[:-1], folder)
                except FileNotFoundError:
                    continue
                try:
                    yield from self._walk(inside, name, after, deep=True, goes_on=goes_on)
                finally:
                    os.close(inside)

    def _entries(self, folder: int, prefix: str, after: str, *, deep: bool, goes_on: bool) -> list[str]:
        """The first entries of a folder behind `after`, folders with a "/", in the order of whole names.

        Holds WINDOW names and no more, whatever the folder holds; a listing that goes on begins with those that the
        page before has found, so that a folder of a million files is not read a thousand times.
        """
        known = self._window
        if goes_on and known is not None and (known.prefix, known.deep) == (prefix, deep) and known.holds(after):
            return known.behind(after)

        def wanted() -> Iterator[str]:
            for entry in entries:
                if is_litter(entry.name) or (not prefix and entry.name == INCOMING):
                    continue
                is_folder = entry.is_dir(follow_symlinks=False)
                name = f"{entry.name}/" if is_folder else entry.name
                if prefix + name > after or (is_folder and deep and after.startswith(prefix + name)):
                    yield name

        with os.scandir(folder) as entries:
            first = heapq.nsmallest(WINDOW, wanted())
        if len(first) > PAGE_OBJECTS:
            self._window = _Window(prefix, deep, first)
        return first


@dataclass(frozen=True, slots=True)
class _Window:
    """Part of a large folder's entries, in order, as a listing has found them."""

    prefix: str
    deep: bool
    entries: list[str]

    def holds(self, after: str) -> bool:
        """True if a page's worth of what is behind `after` is here, and nothing is left out before it."""
        inside = after.removeprefix(self.prefix)
        at_hand = len(self.entries) - bisect.bisect_right(self.entries, inside)
        whole = len(self.entries) < WINDOW or at_hand > PAGE_OBJECTS
        return after.startswith(self.prefix) and self.entries[0] <= inside and whole

    def behind(self, after: str) -> list[str]:
        inside = after.removeprefix(self.prefix)
        at = bisect.bisect_right(self.entries, inside)
        # The folder that the page before ended in, if it is to be gone into.
        if self.deep and at and self.entries[at - 1][-1] == "/" and inside.startswith(self.entries[at - 1]):
            at -= 1
        return self.entries[at:]


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
