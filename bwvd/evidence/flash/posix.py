"""The evidence storage on a real file system: one directory, reached through its file descriptor.

Every path is walked component by component from the root's descriptor with O_NOFOLLOW, so a link planted on a card
can't lead a write outside the volume, and nothing but a regular file is ever read or written.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import trio

from bwvd.evidence.flash.volume import Volume

T = TypeVar("T")

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a FIFO or a device that was swapped in between the look and the opening must not hang us.
_REGULAR = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


class PosixFile:
    """A regular file open for appending.

    After a failed `write` or `sync` it takes nothing more: what it holds is not known, and the kernel would report a
    second fdatasync as a success though the pages were dropped.
    """

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self._path = path
        self._failed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        with self._failing():
            left = memoryview(data).cast("B")
            while left:
                written = os.write(self._fd, left)
                if not written:
                    raise OSError(errno.EIO, "the file takes no bytes")
                left = left[written:]

    def sync(self) -> None:
        with self._failing():
            try:
                os.fdatasync(self._fd)
            except OSError:
                # The kernel calls the pages clean now, whether they are on the medium or not. Without them, who reads
                # the file next sees what the medium holds.
                with suppress(OSError):
                    os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
                raise

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        if self._failed:
            raise OSError(errno.EIO, "an earlier write or sync failed, the content is unknown", self._path)
        try:
            with _naming(self._path):
                yield
        except OSError:
            self._failed = True
            raise


class PosixVolume:
    """`bwvd.evidence.flash.volume.Volume` on a directory.

    Links in `root` itself are followed (a mount point may be reached through one); links below it never are.
    Every OSError carries the path relative to the root as its `filename`.

    **Synchronization:** blocking, one caller at a time.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> PosixVolume:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the root. Files that are still open stay so."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def create(self, path: str) -> PosixFile:
        return PosixFile(self._open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL), path)

    def append(self, path: str) -> PosixFile:
        return PosixFile(self._open(path, os.O_WRONLY | os.O_APPEND), path)

    def make_dir(self, path: str) -> None:
        with self._parent(path) as (parent, name):
            os.mkdir(name, 0o750, dir_fd=parent)

    def sync_dir(self, path: str) -> None:
        with self._folder(path) as fd:
            os.fsync(fd)

    def read(self, path: str, offset: int = 0, size: int = -1) -> bytes:
        fd = self._open(path, os.O_RDONLY)
        try:
            with _naming(path):
                left = size if size >= 0 else max(0, os.fstat(fd).st_size - offset)
                pieces = []
                while left:
                    piece = os.pread(fd, left, offset)
                    if not piece:
                        break
                    pieces.append(piece)
                    offset += len(piece)
                    left -= len(piece)
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        finally:
            os.close(fd)

    def size(self, path: str) -> int:
        with self._parent(path) as (parent, name):
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            _must_be_regular(status)
            return status.st_size

    def sizes(self, path: str) -> dict[str, int]:
        with self._folder(path) as fd, os.scandir(fd) as entries:
            status = ((e.name, e.stat(follow_symlinks=False)) for e in entries if e.is_file(follow_symlinks=False))
            return {name: found.st_size for name, found in status}

    def names(self, path: str) -> list[str]:
        with self._folder(path) as fd, os.scandir(fd) as entries:
            return sorted(f"{e.name}/" if e.is_dir(follow_symlinks=False) else e.name for e in entries)

    def rename(self, old: str, new: str) -> None:
        with self._parent(old) as (source, name), self._parent(new) as (target, new_name):
            os.rename(name, new_name, src_dir_fd=source, dst_dir_fd=target)

    def remove(self, path: str) -> None:
        with self._parent(path) as (parent, name):
            if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                os.rmdir(name, dir_fd=parent)
            else:
                os.unlink(name, dir_fd=parent)

    def reserve(self, path: str, size: int) -> None:
        fd = self._open(path, os.O_RDWR | os.O_CREAT)
        try:
            with _naming(path):
                before = os.fstat(fd).st_size
                if before > size:
                    os.ftruncate(fd, size)
                elif size:
                    try:
                        os.posix_fallocate(fd, 0, size)
                    except OSError:
                        os.ftruncate(fd, before)  # ext4 keeps what it could get
                        raise
                os.fdatasync(fd)
        finally:
            os.close(fd)

    def free_bytes(self) -> int:
        space = os.fstatvfs(self._fd)
        return space.f_bavail * space.f_frsize

    def total_bytes(self) -> int:
        space = os.fstatvfs(self._fd)
        return space.f_blocks * space.f_frsize

    def free_files(self) -> int | None:
        space = os.fstatvfs(self._fd)
        return space.f_favail if space.f_files else None

    def _open(self, path: str, flags: int) -> int:
        """A descriptor of a regular file; links, FIFOs, devices and folders are refused before they are opened."""
        with self._parent(path) as (parent, name):
            if flags & os.O_EXCL == 0:
                with suppress(FileNotFoundError):  # the opening itself says so, or creates it
                    _must_be_regular(os.stat(name, dir_fd=parent, follow_symlinks=False))
            fd = os.open(name, flags | _REGULAR, 0o640, dir_fd=parent)
            try:
                _must_be_regular(os.fstat(fd))
            except OSError:
                os.close(fd)
                raise
            return fd

    @contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        """The descriptor of the folder that holds `path`, and its last component."""
        with _naming(path):
            *folders, name = _split(path)
            with self._folder("/".join(folders)) as fd:
                yield fd, name

    @contextmanager
    def _folder(self, path: str) -> Iterator[int]:
        with _naming(path):
            # A descriptor of its own: fsync and scandir on the root's would share its offset.
            fd = os.open(".", _DIRECTORY, dir_fd=self._fd)
            try:
                for part in _split(path) if path else ():
                    deeper = _open_folder(part, fd)
                    os.close(fd)
                    fd = deeper
                yield fd
            finally:
                os.close(fd)


class PosixStorage:
    """`bwvd.evidence.flash.volume.Storage`: runs jobs against a volume in a worker thread, one at a time.

    The thread exists because the flash stalls for seconds, and the camera must not wait for it (invariant 10).
    A thread that is stuck in fsync can't be given up: cancellation waits for it, and systemd's TimeoutStopSec is the
    bound on that.
    """

    def __init__(self, volume: Volume | Callable[[], Volume]) -> None:
        """`volume`, or what opens it: run in the worker thread with the first job, which raises what that raises."""
        self._volume = volume
        self._one = trio.CapacityLimiter(1)  # first come, first served; also what keeps the volume single-threaded

    async def run(self, job: Callable[[Volume], T]) -> T:
        return await trio.to_thread.run_sync(self._job, job, abandon_on_cancel=False, limiter=self._one)

    def _job(self, job: Callable[[Volume], T]) -> T:
        if callable(self._volume):
            self._volume = self._volume()
        return job(self._volume)


def _open_folder(name: str, parent: int) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    except NotADirectoryError:
        # O_DIRECTORY speaks before O_NOFOLLOW does; a link is named as what it is.
        if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, "a symbolic link") from None
        raise


def _split(path: str) -> list[str]:
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise OSError(errno.EINVAL, "not a path inside the storage")
    return parts


def _must_be_regular(status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise OSError(errno.ELOOP, "a symbolic link")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EPERM, "not a regular file")


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Let every OSError name the path as the caller wrote it."""
    try:
        yield
    except OSError as error:
        if error.filename == path and error.filename2 is None:
            raise
        raise OSError(error.errno, error.strerror or str(error), path) from None
