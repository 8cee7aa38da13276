"""New files outside the storage (exports, keys): whole under their names or not at all, never in another's place."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bwvd.evidence.errors import ExportRefused


def claim(path: Path) -> None:
    """Take the name before the work begins; an existing file, or a link of that name, stays as it is.

    Raises: ExportRefused if the name is taken; OSError.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))
    except FileExistsError:
        raise ExportRefused(f"{path} exists; an export overwrites nothing") from None


def put_in_place(temporary: Path, path: Path) -> None:
    """Make the finished file durable under the name that was claimed for it. Raises: OSError."""
    sync_path(temporary)
    temporary.replace(path)
    sync_path(path.parent)


def create_whole(path: Path, content: bytes, mode: int) -> None:
    """Make a durable file that was not there: a cut half-way leaves nothing under its name.

    Raises: OSError; FileExistsError if the name is taken.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None  # the name that was asked for
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
        sync_path(temporary)
        os.link(temporary, path)  # fails if the name is taken
    finally:
        temporary.unlink()
    sync_path(path.parent)


@contextmanager
def claimed(paths: list[Path]) -> Iterator[Path]:
    """Claim all of `paths`, and give a name beside them to write to; `put_in_place` it once for each.

    If the body raises, nothing of what was claimed is left. Raises: ExportRefused, also for every OSError of the body.
    """
    with claimed_each(paths) as temporary:
        yield temporary[0]


@contextmanager
def claimed_each(paths: list[Path]) -> Iterator[list[Path]]:
    """The same with a name of its own for each, where all are to be there or none: `put_in_place` each."""
    temporary = [path.with_name(f".{path.name}.{secrets.token_hex(4)}.part") for path in paths]
    taken: list[Path] = []
    try:
        for path in paths:
            claim(path)
            taken.append(path)
        yield temporary
    except BaseException as error:
        for path in (*temporary, *taken):
            with suppress(OSError):  # read-only, or gone: then why the body failed is what is to be told
                path.unlink()
        if isinstance(error, OSError):
            names = dict(zip(map(str, temporary), paths, strict=True))  # people know a file by its final name
            where = error.filename or paths[0]
            raise ExportRefused(f"{names.get(str(where), where)}: {error.strerror or error}") from None
        raise


def sync_path(path: Path) -> None:
    """fsync of a file or a folder. Raises: OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
