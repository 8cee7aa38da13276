"""Verdicts on gathered recordings, as `bwvd verify` gives them: those in a storage with its journal."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bwvd.evidence.format.layout import RECORDINGS
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.files import Progress
from bwvd.evidence.verify.gather import Place, is_storage
from bwvd.evidence.verify.proof import verify_proof
from bwvd.evidence.verify.recording import verify_recording
from bwvd.evidence.verify.report import Report, unreadable
from bwvd.evidence.verify.storage import verify_storage


def verdicts(
    places: Iterable[Place], signers: AllowedSigners | None, *, progress: Progress | None = None
) -> dict[Place, Report]:
    """A report on each. Blocking: every byte is read, and a storage is verified as a whole, once."""
    found: dict[Place, Report] = {}
    whole: dict[Path, dict[str, Report]] = {}  # of storages and proofs, by the recording's folder
    for place in places:
        if place.why:
            found[place] = unreadable(place.path, place.why)
            continue
        storage = place.path.parent.parent
        if place.inside:
            if place.path not in whole:
                whole[place.path] = {
                    report.path: report for report in verify_proof(place.path, signers, progress=progress)
                }
            report = whole[place.path].get(str(place))
        elif place.path.parent.name == RECORDINGS and is_storage(storage):
            if storage not in whole:
                whole[storage] = {report.path: report for report in verify_storage(storage, signers, progress=progress)}
            report = whole[storage].get(str(place))
        else:
            report = None
        found[place] = report or verify_recording(place.path, signers, progress=progress)
    return found
