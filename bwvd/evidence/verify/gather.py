"""Recordings below any path: the one walk of all commands over storages, cards, archives of folders and proofs.

Only names are read. A recording is a folder with a manifest; what should have one is one too: what has a recording's id
for a name, what lies in a storage's `recordings/`, what holds segments. A storage is a folder with a `recordings/`, but
for an archive that only calls a folder so, with years or devices in it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.format.layout import ALLOWED_SIGNERS, JOURNAL, MANIFEST, RECORDINGS, SUMS, is_litter
from bwvd.evidence.format.recording_id import serial_of

DEEPEST = 8  # folders below the path that are looked into: an archive by year, month, day and device has fewer

_SEGMENTS = (".m4s", ".m4s.age")
_NOT_LOOKED_INTO = ("lost+found",)


class NothingThere(EvidenceError):
    """The path can't be read, or is neither a folder nor a proof. One line."""


class NoProof(NothingThere):
    """A ZIP that can be read and holds no recording."""


@dataclass(frozen=True, slots=True)
class Found:
    """Something below a path that can be verified."""

    path: Path
    kind: Literal["storage", "recording", "proof", "unreadable"]
    why: str = ""  # it is unreadable


@dataclass(frozen=True, slots=True)
class Place:
    """Where one recording lies, or what nobody can look into for one."""

    path: Path  # its folder; or the proof's file
    inside: str = ""  # the folder inside the proof, with its `/`
    why: str = ""  # it can't be looked into: a folder that may not be read, a proof that was cut

    @property
    def name(self) -> str:
        """The folder's name, which should be the recording's id."""
        return self.inside.rstrip("/").rpartition("/")[2] if self.inside else self.path.name

    def __str__(self) -> str:
        return f"{self.path}/{self.inside.rstrip('/')}" if self.inside else str(self.path)


def walk(path: Path) -> Iterator[Found]:
    """All storages, recordings and proofs at and below `path`, in order; a storage stands for all in its `recordings/`.

    Symbolic links below it are not followed, and what is no recording and no proof is passed over.

    Raises: NothingThere.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode) and path.suffix.lower() == ".zip":
            _inside(path)
            yield Found(path, "proof")
            return
        if not stat.S_ISDIR(mode):
            raise NothingThere(f"{path}: neither a folder nor a proof (.zip)")
        yield from _folder(path, path.resolve().name, False, DEEPEST)
    except OSError as error:
        raise NothingThere(f"{error.filename or path}: {error.strerror}") from None


def gather(path: Path) -> list[Place]:
    """All recordings at and below `path`, in the order of `walk`, and with `why` what there may hold some, unreadable.

    Raises: NothingThere.
    """
    return list(_places(walk(path)))


def is_storage(folder: Path) -> bool:
    """Whether a folder is what a camera keeps its recordings in, or a copy of that. Raises: OSError."""
    inner = folder / RECORDINGS
    if not inner.is_dir():
        return False
    if any(os.path.lexists(folder / name) for name in (JOURNAL, ALLOWED_SIGNERS)):
        return True
    folders = [entry for entry in inner.iterdir() if entry.is_dir()]
    return not folders or any(_is_recording(entry, entry.name) for entry in folders)


def _places(found: Iterable[Found]) -> Iterator[Place]:
    for one in found:
        if one.kind == "storage":
            recordings = one.path / RECORDINGS
            yield from _places(_below(recordings, sorted(os.scandir(recordings), key=_name), True, DEEPEST))
        elif one.kind == "proof":
            yield from (Place(one.path, inside) for inside in _inside(one.path))
        else:
            yield Place(one.path, why=one.why)


def _folder(folder: Path, name: str, of_storage: bool, deeper: int) -> Iterator[Found]:
    """Raises: OSError, if it can't be listed."""
    # A recording is not listed: one of an hour has thousands of files.
    if _is_recording(folder, name):
        yield Found(folder, "recording")
        return
    with os.scandir(folder) as entries:
        names = sorted(entries, key=_name)
    if any(entry.name == SUMS or entry.name.endswith(_SEGMENTS) for entry in names):
        yield Found(folder, "recording")
        return
    if is_storage(folder):
        yield Found(folder, "storage")
        names = [entry for entry in names if entry.name != RECORDINGS]
    found = False
    for one in _below(folder, names, name == RECORDINGS, deeper):
        found = True
        yield one
    if of_storage and not found:
        yield Found(folder, "recording")


def _below(folder: Path, names: Iterable[os.DirEntry[str]], of_storage: bool, deeper: int) -> Iterator[Found]:
    for entry in names:
        path = folder / entry.name
        if entry.is_dir(follow_symlinks=False):
            if not deeper or entry.name in _NOT_LOOKED_INTO:
                continue
            litter = is_litter(entry.name)  # but somebody's trash may have a recording in it
            try:
                yield from _folder(path, entry.name, of_storage and not litter, deeper - 1)
            except OSError as error:
                if litter:
                    continue
                yield Found(path, "unreadable", error.strerror or str(error))
        elif entry.name.lower().endswith(".zip") and not is_litter(entry.name) and entry.is_file(follow_symlinks=False):
            try:
                _inside(path)
            except NoProof:  # some other archive: nobody asked for it by name
                continue
            except (NothingThere, OSError) as error:
                yield Found(path, "unreadable", str(error))
            else:
                yield Found(path, "proof")


def _is_recording(folder: Path, name: str) -> bool:
    return serial_of(name) is not None or os.path.lexists(folder / MANIFEST)


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _inside(path: Path) -> list[str]:
    """The recordings' folders in a proof. Raises: OSError; NothingThere, NoProof."""
    import zipfile  # here: a card has none, and a small board's `bwvd list` is asked for all day

    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise NothingThere(f"{path}: not a readable ZIP: {error}") from None
    parts = [name.split("/") for name in names]
    inside = {f"{RECORDINGS}/{part[1]}/" for part in parts if part[0] == RECORDINGS and len(part) > 2 and part[1]}
    if not inside:
        raise NoProof(f"{path}: not a proof: there is no recording in it")
    return sorted(inside)
