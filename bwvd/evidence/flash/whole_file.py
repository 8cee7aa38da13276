"""New files outside the storage (exports, receipts, keys): whole under their names or not there, replacing nothing.

What is being written lies beside its name, with LEFT behind it, until it is whole and durable. What a kill or a power
cut leaves there has that name still, and nothing takes it for more than it is.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bwvd.evidence.errors import ExportRefused

LEFT = ".part"  # ends the name of what is not whole

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1  # linux/fs.h
_NOT_SUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)  # by the file system (NFS), or by the kernel


def create_whole(path: Path, content: bytes, mode: int, group: int | None = None) -> None:
    """Make a durable file that was not there. With `group` it is that group's, and of `mode` whatever the umask.

    Blocking. Raises: OSError; FileExistsError if the name is taken.
    """
    temporary = _beside(path)
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None  # the name that was asked for
    try:
        with os.fdopen(fd, "wb") as file:
            if group is not None:
                os.fchown(file.fileno(), -1, group)
                os.fchmod(file.fileno(), mode)
            file.write(content)
        _put_in_place(temporary, path)
    except BaseException:
        _remove(temporary)
        raise


@contextmanager
def new_files(paths: list[Path]) -> Iterator[list[Path]]:
    """Empty files beside `paths` to write to; when the body has ended, they are durable under `paths`, in that order.

    They are the owner's, and readable for his group, unless the body changes that. If the body raises, a signal's
    exception included, none of them is there. A name that is taken, also by a link or since the body began, stays as it
    is.

    Blocking. Raises: ExportRefused if a name is taken, and for every OSError, of the body too.
    """
    temporary = [_beside(path) for path in paths]
    placed: list[Path] = []
    for path in paths:  # before the work
        if os.path.lexists(path):
            raise _taken(path)
    try:
        for one in temporary:
            os.close(os.open(one, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640))
        yield temporary
        for one, path in zip(temporary, paths, strict=True):
            _put_in_place(one, path, placed)
    except BaseException as error:
        for path in (*temporary, *placed):
            _remove(path)
        if isinstance(error, FileExistsError):
            raise _taken(error.filename) from None
        if isinstance(error, OSError):
            names = dict(zip(map(str, temporary), paths, strict=True))  # people know a file by its final name
            where = error.filename or paths[0]
            raise ExportRefused(f"{names.get(str(where), where)}: {error.strerror or error}") from None
        raise


def left_beside(path: Path) -> list[Path]:
    """What a work on `path` has left that was broken off, or that is still going on. Blocking."""
    with suppress(OSError):
        length = len(_beside(path).name)
        names = sorted(os.listdir(path.parent))  # noqa: PTH208  names, not paths that would have to be taken apart
        return [
            path.with_name(name)
            for name in names
            if len(name) == length and name.startswith(f"{path.name}.") and name.endswith(LEFT)
        ]
    return []


def beside_again(temporary: Path) -> Path:
    """Another name of that kind, for what is made of a file that `new_files` has given: `left_beside` finds both."""
    return _beside(temporary.with_name(temporary.name.rsplit(".", 2)[0]))


def is_left(path: Path) -> bool:
    """Whether a name is that of a file that was never whole."""
    return path.name.endswith(LEFT)


def sync_path(path: Path) -> None:
    """fsync of a file or a folder. Raises: OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _taken(path: Path | str) -> ExportRefused:
    return ExportRefused(f"{path} exists; an export overwrites nothing")


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.{os.urandom(4).hex()}{LEFT}")


def _put_in_place(temporary: Path, path: Path, placed: list[Path] | None = None) -> None:
    """Make a finished file durable under its name, which nothing has yet. `placed` is told as soon as it is there."""
    sync_path(temporary)
    _rename(temporary, path)
    if placed is not None:
        placed.append(path)
    sync_path(path.parent)


def _rename(old: Path, new: Path) -> None:
    """Rename, where nothing has the new name; FAT knows no links, NFS no such renaming. Raises: OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        code = errno.ENOSYS  # a C library older than the call
    elif libc.renameat2(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), _RENAME_NOREPLACE) == 0:
        return
    else:
        code = ctypes.get_errno()
    if code not in _NOT_SUPPORTED:
        raise OSError(code, os.strerror(code), str(new))
    try:
        os.link(old, new)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(new)) from None
    old.unlink()


def _remove(path: Path) -> None:
    with suppress(OSError):  # read-only, or gone: then why the work failed is what is to be told
        path.unlink()
