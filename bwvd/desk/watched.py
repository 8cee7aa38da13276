"""A folder whose reading is watched: how far a job has come, and whether it is given up."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from bwvd.evidence.verify.folder import Folder


class WatchedFolder:
    """A folder that calls `tell` with the number of bytes of each read. What that raises ends the read.

    **Synchronization:** as the folder's; `tell` is called in whatever thread reads.
    """

    def __init__(self, folder: Folder, tell: Callable[[int], None]) -> None:
        self.path = folder.path
        self._folder = folder
        self._tell = tell

    def names(self) -> dict[str, str]:
        return self._folder.names()

    def size(self, name: str) -> int:
        return self._folder.size(name)

    def open(self, name: str) -> io.RawIOBase:
        self._tell(0)
        return _Watched(self._folder.open(name), self._tell)


class _Watched(io.RawIOBase):
    def __init__(self, file: io.RawIOBase, tell: Callable[[int], None]) -> None:
        self._file = file
        self._tell = tell

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # the type of a writable buffer has a name only from Python 3.12 on
        count = self._file.readinto(buffer) or 0
        self._tell(count)
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
