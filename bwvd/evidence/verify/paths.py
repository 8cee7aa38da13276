"""Verification of whatever a person points at: storages, recordings, single segments, proofs."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bwvd.evidence.flash.whole_file import is_left
from bwvd.evidence.format.layout import MANIFEST, RECORDINGS
from bwvd.evidence.format.recording_id import serial_of
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.copy import COPY_ENDINGS, verify_copy
from bwvd.evidence.verify.files import Progress
from bwvd.evidence.verify.proof import verify_proof
from bwvd.evidence.verify.recording import verify_recording
from bwvd.evidence.verify.report import Report, unreadable
from bwvd.evidence.verify.statement import has_statement, is_statement, statement_beside, verify_statement
from bwvd.evidence.verify.storage import verify_storage


def verify_paths(
    paths: Iterable[str | Path],
    signers: AllowedSigners | None = None,
    identities: Sequence[Any] = (),
    *,
    decode: bool = False,
    progress: Progress | None = None,
) -> list[Report]:
    """Reports on everything at `paths`, in their order. Blocking.

    A folder is a storage (it holds `recordings/`), a folder of recordings (its name is `recordings`, or folders in it
    hold a manifest, and it neither does nor is named as a recording), a folder of proofs (what holds no recording and
    at least one `.zip`), or one recording. A file is a segment, which is
    verified against the manifest beside it; any other file of a recording stands for the recording; a `.zip` is a
    proof; an `.mp4` is a copy, of which only what it claims can be said; a file beside which somebody has left a
    statement is what that makes of it.
    """
    reports: list[Report] = []
    for path in map(Path, paths):
        reports += _verify_path(path, signers, identities, decode=decode, progress=progress)
    return reports


def _verify_path(
    path: Path,
    signers: AllowedSigners | None,
    identities: Sequence[Any],
    *,
    decode: bool,
    progress: Progress | None,
) -> list[Report]:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return [unreadable(path, error.strerror or str(error))]
    if stat.S_ISDIR(mode):
        if (path / RECORDINGS).is_dir():
            return verify_storage(path, signers, identities, decode=decode, progress=progress)
        try:
            folders = _recordings_in(path)
            proofs = _proofs_in(path) if folders == [path] else []
        except OSError as error:
            return [unreadable(path, error.strerror or str(error))]
        if proofs:
            found = [verify_proof(one, signers, identities, decode=decode, progress=progress) for one in proofs]
            return [report for reports in found for report in reports]
        return [verify_recording(folder, signers, identities, decode=decode, progress=progress) for folder in folders]
    if not stat.S_ISREG(mode):
        return [unreadable(path, "neither a folder nor a regular file")]
    if is_left(path):
        return [unreadable(path, "no copy and no proof: an export that was broken off has left it, or is writing it")]
    if is_statement(path):
        return [verify_statement(path, signers)]
    if path.suffix.lower() == ".zip":
        return verify_proof(path, signers, identities, decode=decode, progress=progress)
    if not os.path.lexists(path.parent / MANIFEST):
        if has_statement(path):
            return [verify_statement(statement_beside(path), signers, derived=path)]
        if path.suffix.lower() in COPY_ENDINGS:
            return [verify_copy(path)]
        return [unreadable(path, "no recording: there is no manifest.jsonl beside it")]
    only = path.name if path.name.endswith((".m4s", ".m4s.age")) else None
    return [verify_recording(path.parent, signers, identities, decode=decode, only=only, progress=progress)]


def _recordings_in(path: Path) -> list[Path]:
    """The recordings that a folder which is no storage stands for: those in it, or itself."""
    name = path.resolve().name
    if os.path.lexists(path / MANIFEST) or serial_of(name) is not None:
        return [path]
    inner = sorted(entry for entry in path.iterdir() if entry.is_dir())
    if name == RECORDINGS or any(os.path.lexists(entry / MANIFEST) for entry in inner):
        return inner
    return [path]


def _proofs_in(path: Path) -> list[Path]:
    """The proofs in a folder that is no recording and holds none, neither by a manifest nor by a name."""
    entries = list(path.iterdir())
    names = [path.resolve().name, *(entry.name for entry in entries if entry.is_dir())]
    if os.path.lexists(path / MANIFEST) or any(serial_of(name) is not None for name in names):
        return []
    return sorted(entry for entry in entries if entry.suffix.lower() == ".zip" and entry.is_file())
