"""An open file of the virtual flash."""

from __future__ import annotations

import errno
import os
from typing import Protocol


class Medium(Protocol):
    """What a file asks of its volume (`bwvd.testing.flash.storage.VirtualVolume`)."""

    def write_some(self, path: str, inode: int, data: memoryview) -> int: ...

    def sync_file(self, path: str, inode: int) -> None: ...

    def closed(self, path: str, inode: int) -> None: ...


def error_at(number: int, path: str, text: str = "") -> OSError:
    """The OSError of an errno, naming a path."""
    return OSError(number, text or os.strerror(number), path)


class VirtualFile:
    """`bwvd.evidence.flash.volume.File`; like the real one it takes nothing more after an error."""

    def __init__(self, volume: Medium, path: str, inode: int) -> None:
        self._volume = volume
        self._path = path
        self._inode = inode
        self._failed = False
        self._closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._check()
        left = memoryview(bytes(data))
        try:
            while left:
                left = left[self._volume.write_some(self._path, self._inode, left) :]
        except OSError:
            self._failed = True
            raise

    def sync(self) -> None:
        self._check()
        try:
            self._volume.sync_file(self._path, self._inode)
        except OSError:
            self._failed = True
            raise

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._volume.closed(self._path, self._inode)

    def _check(self) -> None:
        if self._closed:
            raise error_at(errno.EBADF, self._path)
        if self._failed:
            raise error_at(errno.EIO, self._path, "an earlier write or sync failed, the content is unknown")
