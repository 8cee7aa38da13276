"""Statements on files that somebody made from a recording: which export of which recording, who, when, what was done.

Redaction is other tools' work. What they make is no evidence of a camera; the statement ties it to what is.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.format.layout import MANIFEST
from bwvd.evidence.format.signed_document import write_signed
from bwvd.evidence.format.statement import NOTE_CHARACTERS, STATEMENT_NAMESPACE, Derived, Original, Statement
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.sshsig import KeySigner
from bwvd.evidence.verify.copy import NoMp4, tags_of
from bwvd.evidence.verify.files import Progress
from bwvd.evidence.verify.folder import DirectoryFolder, digest
from bwvd.evidence.verify.proof import verify_proof
from bwvd.evidence.verify.recording import verify_recording
from bwvd.evidence.verify.report import Report
from bwvd.evidence.verify.statement import statement_beside
from bwvd.text import printable


@dataclass(frozen=True, slots=True)
class Stated:
    """A statement that was written."""

    path: Path
    statement: Statement


def state(
    original: Path,
    derived: Path,
    signer: KeySigner,
    *,
    by: str,
    note: str,
    made_utc: str,
    signers: AllowedSigners | None = None,
    progress: Progress | None = None,
) -> Stated:
    """Sign that `derived` was made from `original`, and leave that beside it. Blocking.

    Args:
        original: an export, whose metadata names its recording; a recording's folder; or a proof.
        by: the name under which lists have the signer's key, for `bwvd-statement`.
        note: what was done, one line of up to 1000 characters.
        signers: whose recordings count; what nobody vouches for is named as that.

    Raises: ExportRefused, naming why; then nothing was written.
    """
    note = " ".join(note.split())
    if not note or len(note) > NOTE_CHARACTERS or not note.isprintable():
        raise ExportRefused(f"the note says what was done in 1 to {NOTE_CHARACTERS} printable characters")
    try:
        made = _derived(derived)
        source = _original(original, signer, signers, progress)
    except OSError as error:
        raise ExportRefused(f"{error.filename or original}: {error.strerror or error}") from None
    if (made.bytes, made.sha256) == (source.bytes, source.sha256):
        raise ExportRefused(f"{derived} is {original}, unchanged: nothing was made of it")
    statement = Statement(format=1, original=source, derived=made, note=note, by=by, made_utc=made_utc)
    text = msgspec.json.format(msgspec.json.encode(statement), indent=1) + b"\n"
    path = statement_beside(derived)
    write_signed(path, text, signer, STATEMENT_NAMESPACE)
    return Stated(path, statement)


def _derived(path: Path) -> Derived:
    if os.path.lexists(path.parent / MANIFEST):
        raise ExportRefused(f"{path} lies in a recording's folder, where nothing is ever added")
    size, sha256 = _digest(path)
    return Derived(name=_named(path), bytes=size, sha256=sha256)


def _original(path: Path, signer: KeySigner, signers: AllowedSigners | None, progress: Progress | None) -> Original:
    if stat.S_ISDIR(path.stat().st_mode):
        report = _admitted(verify_recording(path, signers, progress=progress), signer)
        with DirectoryFolder(path) as folder:
            size, sha256 = digest(folder, MANIFEST)
        return _of("recording", path.resolve(), size, sha256, report)
    size, sha256 = _digest(path)
    if path.suffix.lower() == ".zip":
        reports = verify_proof(path, signers, progress=progress)
        if len(reports) != 1:
            raise ExportRefused(f"{path} holds {len(reports)} recordings; name a proof of one")
        return _of("proof", path, size, sha256, _admitted(reports[0], signer))
    try:
        tags = tags_of(path)
    except NoMp4 as error:
        raise ExportRefused(f"{path} is neither a recording, nor a proof, nor an MP4: {error}") from None
    recording, manifest = tags.get("bwvd_recording", ""), tags.get("bwvd_manifest_sha512", "")
    if not recording or not manifest:
        raise ExportRefused(f"{path} is no export: its metadata names no recording (another tool may have dropped it)")
    if tags.get("bwvd_signer", "").startswith(signer.key.fingerprint):  # by its own word alone, as all of it
        raise _own_key(path)
    return Original(
        kind="export",
        name=_named(path),
        bytes=size,
        sha256=sha256,
        recording=recording,
        device=tags.get("bwvd_device", ""),
        manifest_sha512=manifest,
        segments=tags.get("bwvd_segments", ""),
        from_s=tags.get("bwvd_from_s", ""),
        verdict=tags.get("bwvd_verdict", ""),
    )


def _of(kind: str, path: Path, size: int, sha256: str, report: Report) -> Original:
    return msgspec.convert(
        {
            "kind": kind,
            "name": _named(path),
            "bytes": size,
            "sha256": sha256,
            "recording": report.id,
            "device": report.device,
            "manifest_sha512": report.manifest_sha512,
            "verdict": report.verdict,
        },
        Original,
    )


def _own_key(what: Path | str) -> ExportRefused:
    return ExportRefused(f"{what} is signed by this very key: a statement is a person's, and no camera's")


def _admitted(report: Report, signer: KeySigner) -> Report:
    if not report.good and report.verdict != "unvouched":
        raise ExportRefused(f"{report.id} is {report.verdict}: {report.why}")
    if not report.manifest_sha512:
        raise ExportRefused(f"{report.id} has no end yet")
    if report.signer is not None and report.signer.signed_by.startswith(signer.key.fingerprint):
        raise _own_key(report.id)
    return report


def _digest(path: Path) -> tuple[int, str]:
    """Size and SHA-256 of a regular file; a person may name it by a link."""
    real = path.resolve(strict=True)
    with DirectoryFolder(real.parent) as folder:
        return digest(folder, real.name)


def _named(path: Path) -> str:
    if printable(path.name) != path.name:
        raise ExportRefused(f"{path.name!r}: a statement can't hold such a name; rename it first")
    return path.name
