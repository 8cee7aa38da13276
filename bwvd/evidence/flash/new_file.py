"""A new file that appears whole under its name, or not at all, and never in the place of another."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
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


def settle(temporary: Path, path: Path) -> None:
    """Make the finished file durable under the name that was claimed for it. Raises: OSError."""
    fd = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def claimed(paths: list[Path]) -> Iterator[Path]:
    """Claim all of `paths`, and give a name beside them to write to; `settle` it once for each.

    If the body raises, nothing of what was claimed is left. Raises: ExportRefused, also for every OSError of the body.
    """
    temporary = paths[0].with_name(f".{paths[0].name}.{secrets.token_hex(4)}.part")
    taken: list[Path] = []
    try:
        for path in paths:
            claim(path)
            taken.append(path)
        yield temporary
    except BaseException as error:
        for path in (temporary, *taken):
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ExportRefused(f"{error.filename or paths[0]}: {error.strerror or error}") from None
        raise
