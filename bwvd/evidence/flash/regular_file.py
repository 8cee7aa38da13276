"""Regular files and nothing else: a planted FIFO, device, folder or symbolic link is named, never waited on."""

from __future__ import annotations

import errno
import os
import stat
from io import FileIO, RawIOBase
from pathlib import Path

_READ_BYTES = 1_048_576  # at once: a read makes room for as much as it asks for


def open_regular(path: str | Path, *, folder: int | None = None, follow: bool = False) -> FileIO:
    """Open a regular file for reading, unbuffered.

    `folder` is an open directory that `path` is relative to. A symbolic link in the last part of the path is refused
    unless `follow`. Never blocks on what it opens.

    Raises: OSError whose `strerror` says what is there instead of a file.
    """
    if "\0" in str(path):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(path))
    # O_NONBLOCK: opening a FIFO must not wait for a writer. O_NOCTTY: nor may a terminal become ours.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW)
    try:
        # Looked at before it is opened as well, because to open a device can already do something.
        _require_regular(os.stat(path, dir_fd=folder, follow_symlinks=follow), path)
        fd = os.open(path, flags, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP and not follow:
            raise OSError(errno.ELOOP, "a symbolic link, not a regular file", str(path)) from None
        raise
    try:
        _require_regular(os.fstat(fd), path)
        return FileIO(fd, "rb")
    except BaseException:
        os.close(fd)
        raise


def read_regular(path: str | Path, limit: int, *, follow: bool = False) -> bytes:
    """The whole of a regular file of at most `limit` bytes.

    Raises: OSError as `open_regular`; EFBIG if it is larger.
    """
    with open_regular(path, follow=follow) as file:
        return read_bounded(file, limit, path)


def read_bounded(file: RawIOBase, limit: int, path: str | Path) -> bytes:
    """What is left of an open file, if it is at most `limit` bytes.

    Raises: OSError; EFBIG if it is larger.
    """
    parts = []
    left = limit + 1
    while left > 0 and (part := file.read(min(left, _READ_BYTES))):
        parts.append(part)
        left -= len(part)
    if left <= 0:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(path))
    return b"".join(parts)


_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


def kind_of(mode: int) -> str:
    """What `st_mode` says that it is, in words; "" for a regular file."""
    return next((name for test, name in _KINDS if test(mode)), "")


def _require_regular(status: os.stat_result, path: str | Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EPERM, f"{kind_of(status.st_mode)}, not a regular file", str(path))
