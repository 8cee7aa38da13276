"""A recording's files, read where they lie: in a folder, or inside a proof (`zip_folder`). Nothing is ever written.

Names come from evidence that may be hostile: nothing but regular files of this one folder is opened.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from bwvd import hashing
from bwvd.evidence.flash.regular_file import kind_of, open_regular, read_bounded

CHUNK = 262_144  # bytes read at once: fits the processor's cache

_threads = threading.local()


class Folder(Protocol):
    """**Synchronization:** any thread."""

    path: str  # as a person would name it

    def names(self) -> dict[str, str]:
        """Everything in the folder; the value is what it is instead of a regular file ("a symbolic link"), or ""."""
        ...

    def size(self, name: str) -> int:
        """Bytes of a regular file. Raises: OSError."""
        ...

    def open(self, name: str) -> io.RawIOBase:
        """A regular file for reading, unbuffered. Raises: OSError that says what is wrong with `name`."""
        ...


Where = str | Path | Folder  # a path of a folder, or one that is open


@contextmanager
def folder_at(where: Where) -> Iterator[Folder]:
    """The folder at a path, open as long as the context is; one that is open already, as it is. Raises: OSError."""
    if not isinstance(where, str | Path):
        yield where
        return
    with DirectoryFolder(where) as folder:
        yield folder


def path_at(where: Where) -> str:
    """As a person would name the folder."""
    return str(where) if isinstance(where, str | Path) else where.path


def name_at(where: Where) -> str:
    """The folder's own name, which should be the recording's id."""
    return Path(where).resolve().name if isinstance(where, str | Path) else Path(where.path).name


class DirectoryFolder:
    """A folder of a file system, held by a descriptor: what is verified is one folder, whatever is renamed meanwhile.

    Raises: OSError if `path` is no folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def __enter__(self) -> DirectoryFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def names(self) -> dict[str, str]:
        with os.scandir(self._fd) as entries:
            return {entry.name: _kind(entry) for entry in entries}

    def size(self, name: str) -> int:
        status = os.stat(plain_name(name), dir_fd=self._fd, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EPERM, f"{kind_of(status.st_mode)}, not a regular file", name)
        return status.st_size

    def open(self, name: str) -> io.RawIOBase:
        return open_regular(plain_name(name), folder=self._fd)


class HashedFile(io.RawIOBase):
    """Passes an open file through, and into `hash`."""

    def __init__(self, file: io.RawIOBase, hash_: hashing.Digest) -> None:
        self._file = file
        self.hash = hash_

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # the type of a writable buffer has a name only from Python 3.12 on
        count = self._file.readinto(buffer) or 0
        self.hash.update(memoryview(buffer)[:count])
        return count


class Part(io.RawIOBase):
    """The first `limit` bytes of a file, or all of it; `rest` reads on behind them."""

    def __init__(self, file: io.RawIOBase, limit: int | None) -> None:
        self._file = file
        self._limit = limit
        self.taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # the type of a writable buffer has a name only from Python 3.12 on
        view = memoryview(buffer)
        if self._limit is not None:
            view = view[: max(0, self._limit - self.taken)]
        count = self._file.readinto(view) or 0 if len(view) else 0
        self.taken += count
        return count

    def rest(self, whole: hashing.Digest) -> tuple[int, str]:
        """Size and SHA-256 of what is behind the limit; `whole` takes it as well."""
        sha256, size = hashing.sha256(), 0
        while data := self._file.read(CHUNK):
            whole.update(data)
            sha256.update(data)
            size += len(data)
        return size, sha256.hexdigest()


def digest(folder: Folder, name: str) -> tuple[int, str]:
    """Size and SHA-256 (hex) of a file, in pieces during which other threads run. Raises: OSError."""
    buffer = memoryview(_buffer())
    sha256 = hashing.sha256()
    size = 0
    with folder.open(name) as file:
        while count := file.readinto(buffer):
            sha256.update(buffer[:count])
            size += count
    return size, sha256.hexdigest()


def read_file(folder: Folder, name: str, limit: int) -> bytes:
    """The whole of a file of at most `limit` bytes. Raises: OSError; EFBIG if it is larger."""
    with folder.open(name) as file:
        return read_bounded(file, limit, name)


def plain_name(name: str) -> str:
    """`name`, if it names something in this folder and nowhere else. Raises: OSError."""
    if not name or "/" in name or "\0" in name or name in (".", ".."):
        raise OSError(errno.EINVAL, "not a file's plain name", name)
    return name


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_file(follow_symlinks=False):
        return ""
    if entry.is_dir(follow_symlinks=False):
        return "a folder"
    return kind_of(entry.stat(follow_symlinks=False).st_mode) or "not a regular file"


def _buffer() -> bytearray:
    """This thread's own, kept: fresh pages for each file would cost a fifth of the time."""
    buffer: bytearray | None = getattr(_threads, "buffer", None)
    if buffer is None:
        buffer = _threads.buffer = bytearray(CHUNK)
    return buffer
