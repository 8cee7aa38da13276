"""Recordings below any path: a storage, a card, an archive of folders, a proof. Looks at names alone.

A recording is a folder with a manifest, and every folder in a `recordings/`, with a manifest or without.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.format.layout import MANIFEST, RECORDINGS

DEEPEST = 8  # folders below the path that are looked into: an archive by year, month, day and device has fewer


class NothingThere(EvidenceError):
    """The path can't be read, or is neither a folder nor a proof. One line."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one recording lies."""

    path: Path  # its folder; or the proof's file
    inside: str = ""  # the folder inside the proof, with its `/`

    @property
    def name(self) -> str:
        """The folder's name, which should be the recording's id."""
        return self.inside.rstrip("/").rpartition("/")[2] if self.inside else self.path.name

    def __str__(self) -> str:
        return f"{self.path}/{self.inside.rstrip('/')}" if self.inside else str(self.path)


def gather(path: Path) -> list[Place]:
    """All recordings at and below `path`, by their paths. Symbolic links below it are not followed.

    Raises: NothingThere.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode) and path.suffix.lower() == ".zip":
            return list(_in_proof(path))
        if not stat.S_ISDIR(mode):
            raise NothingThere(f"{path}: neither a folder nor a proof (.zip)")
        if os.path.lexists(path / MANIFEST):
            return [Place(path)]
        return list(_below(path, path.resolve().name == RECORDINGS, DEEPEST))
    except OSError as error:
        raise NothingThere(f"{error.filename or path}: {error.strerror}") from None


def _below(folder: Path, of_storage: bool, deeper: int) -> Iterator[Place]:
    """Raises: OSError, NothingThere."""
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from _folder(folder / entry.name, of_storage, deeper)
        elif entry.name.lower().endswith(".zip") and entry.is_file(follow_symlinks=False):
            with contextlib.suppress(NothingThere):  # some other archive: nobody asked for it by name
                yield from _in_proof(folder / entry.name)


def _folder(folder: Path, of_storage: bool, deeper: int) -> Iterator[Place]:
    # A recording is not listed: one of an hour has thousands of files.
    if os.path.lexists(folder / MANIFEST):
        yield Place(folder)
        return
    found = 0
    if deeper:
        with contextlib.suppress(PermissionError):  # lost+found, and what else of a card is not for this user
            for place in _below(folder, folder.name == RECORDINGS, deeper - 1):
                found += 1
                yield place
    if of_storage and not found:
        yield Place(folder)


def _in_proof(path: Path) -> Iterator[Place]:
    """Raises: OSError; NothingThere if it is no proof."""
    import zipfile  # here: a card has none, and a small board's `bwvd list` is asked for all day

    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise NothingThere(f"{path}: not a readable ZIP: {error}") from None
    parts = [name.split("/") for name in names]
    inside = {f"{RECORDINGS}/{part[1]}/" for part in parts if part[0] == RECORDINGS and len(part) > 2 and part[1]}
    if not inside:
        raise NothingThere(f"{path}: not a proof: there is no recording in it")
    yield from (Place(path, folder) for folder in sorted(inside))
