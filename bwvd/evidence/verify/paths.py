"""Verification of whatever a person points at: storages, recordings, single segments, proofs."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bwvd.evidence.flash.whole_file import is_left
from bwvd.evidence.format.layout import MANIFEST
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.copy import COPY_ENDINGS, verify_copy
from bwvd.evidence.verify.files import Progress
from bwvd.evidence.verify.gather import Found, NothingThere, walk
from bwvd.evidence.verify.recording import verify_recording
from bwvd.evidence.verify.report import Report, unreadable
from bwvd.evidence.verify.statement import has_statement, is_statement, statement_beside, verify_statement
from bwvd.evidence.verify.storage import verify_storage

_NO_EVIDENCE = (  # what a file is called that proves nothing of a recording, by how its name ends
    (".html", "a page, as a contact sheet is: a copy for viewing, in which nothing is signed"),
    (".vtt", "captions of an export: nothing in them is signed"),
    (".receipt.json", "a receipt: it lets a camera delete what was taken over (bwvd release); name the recording"),
    (".sig", "a signature, which says nothing by itself: name the recording, the proof or the file that it signs"),
    ("", f"no recording, which is a folder with a {MANIFEST}, and no proof, which is a .zip"),
)


def verify_paths(
    paths: Iterable[str | Path],
    signers: AllowedSigners | None = None,
    identities: Sequence[Any] = (),
    *,
    decode: bool = False,
    progress: Progress | None = None,
) -> list[Report]:
    """Reports on everything at `paths`, in their order. Blocking.

    A folder stands for all storages, recordings and proofs at and below it, as `gather.walk` finds them. A file is a
    segment, which is verified against the manifest beside it; any other file of a recording stands for the recording; a
    `.zip` is a proof; a file beside which somebody has left a statement is what that makes of it, and any other `.mp4`
    is a copy, of which only what it claims can be said.
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
        try:
            found = list(walk(path))
        except NothingThere as error:
            return [unreadable(path, str(error).removeprefix(f"{path}: "))]
        reports = [_verify(one, signers, identities, decode=decode, progress=progress) for one in found]
        return [report for of_one in reports for report in of_one] or [
            unreadable(path, "there is no recording in it, and no proof")
        ]
    if not stat.S_ISREG(mode):
        return [unreadable(path, "neither a folder nor a regular file")]
    if is_left(path):
        return [unreadable(path, "no copy and no proof: an export that was broken off has left it, or is writing it")]
    if is_statement(path):
        return [verify_statement(path, signers)]
    if path.suffix.lower() == ".zip":
        return _verify(Found(path, "proof"), signers, identities, decode=decode, progress=progress)
    if not os.path.lexists(path.parent / MANIFEST):
        if has_statement(path):
            return [verify_statement(statement_beside(path), signers, derived=path)]
        if path.suffix.lower() in COPY_ENDINGS:
            return [verify_copy(path)]
        return [unreadable(path, next(what for ending, what in _NO_EVIDENCE if path.name.lower().endswith(ending)))]
    only = path.name if path.name.endswith((".m4s", ".m4s.age")) else None
    return [verify_recording(path.parent, signers, identities, decode=decode, only=only, progress=progress)]


def _verify(
    found: Found,
    signers: AllowedSigners | None,
    identities: Sequence[Any],
    *,
    decode: bool,
    progress: Progress | None,
) -> list[Report]:
    path = found.path
    match found.kind:
        case "storage":
            return verify_storage(path, signers, identities, decode=decode, progress=progress)
        case "recording":
            return [verify_recording(path, signers, identities, decode=decode, progress=progress)]
        case "proof":
            from bwvd.evidence.verify.proof import verify_proof  # here: a card holds no proofs

            return verify_proof(path, signers, identities, decode=decode, progress=progress)
        case "unreadable":
            return [unreadable(path, found.why.removeprefix(f"{path}: "))]
