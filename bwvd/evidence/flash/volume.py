"""The flash: a small Protocol of blocking operations, and who runs them.

What is written about durability is written in terms of `Volume`'s operations alone, so that the crash-state simulator
in `bwvd.testing` can stand in for the kernel. `Storage` decides where they run: off trio's thread on a real device.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})  # of an OSError: the flash is full
NOT_A_FILE = frozenset({errno.ELOOP, errno.EPERM})  # something else lies in the place of a regular file


class File(Protocol):
    """An open file. Blocking; any method may raise OSError."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append all of `data` (short writes are retried inside)."""
        ...

    def sync(self) -> None:
        """fdatasync: returns when the content and the size are on the medium. After an error the content is unknown."""
        ...

    def close(self) -> None: ...


class Volume(Protocol):
    """A directory tree on the evidence storage. Paths are relative to its root, with `/`; `""` is the root.

    **Synchronization:** blocking, one caller at a time, never on trio's thread (see `Storage.run`).
    Operations never follow a symbolic link inside the volume and open nothing but regular files: a planted link, FIFO
    or device raises OSError (ELOOP or EPERM) that names the path.
    """

    def create(self, path: str) -> File:
        """A new file for appending (O_EXCL, mode 0640). Its name is durable only after `sync_dir` of its folder."""
        ...

    def append(self, path: str) -> File:
        """An existing file for appending."""
        ...

    def make_dir(self, path: str) -> None:
        """A new folder (mode 0750); durable after `sync_dir` of its parent. FileExistsError if it is there."""
        ...

    def sync_dir(self, path: str) -> None:
        """fsync of a folder: names created, renamed or removed in it are durable when this returns."""
        ...

    def read(self, path: str, offset: int = 0, size: int = -1) -> bytes: ...

    def size(self, path: str) -> int:
        """Bytes of a regular file; FileNotFoundError if there is none."""
        ...

    def sizes(self, path: str) -> dict[str, int]:
        """Bytes of every regular file in a folder, by name, in no order; cheaper than `size` of each."""
        ...

    def names(self, path: str) -> list[str]:
        """Sorted names in a folder, folders with a trailing `/`."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Atomic replace within the volume; durable after `sync_dir`."""
        ...

    def remove(self, path: str) -> None:
        """Unlink a file, or remove an empty folder."""
        ...

    def reserve(self, path: str, size: int) -> None:
        """Make `path` a file of `size` bytes with allocated blocks (posix_fallocate); ENOSPC if there is no room."""
        ...

    def free_bytes(self) -> int:
        """Room for an unprivileged writer."""
        ...

    def total_bytes(self) -> int: ...

    def free_files(self) -> int | None:
        """How many files and folders can still be made; None where the file system does not count them (FAT, btrfs)."""
        ...


class Storage(Protocol):
    """Runs blocking jobs against a volume: in a worker thread on a device, inline in virtual time."""

    async def run(self, job: Callable[[Volume], T]) -> T:
        """Run `job(volume)` to its end and return its value or raise its error.

        **Cancellation:** a checkpoint before it starts; once begun it is shielded, because an abandoned write would
        vanish with its error.
        **Synchronization:** jobs run one at a time, in the order of the calls.
        """
        ...
