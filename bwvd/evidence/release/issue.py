"""Receipts for copies: what whoever has taken recordings over signs, so that the camera may let go of its own.

After a receipt the copy may be the only one there is. So it is given for a whole recording alone, that has ended and is
to the byte what its device has signed, or for an archive of a journal that holds; by a key that somebody outside the
card vouches for; and only once the copy is durable: what was copied a moment ago may still be in memory alone.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bwvd.evidence.errors import EvidenceError, SignatureBad
from bwvd.evidence.flash.regular_file import open_regular
from bwvd.evidence.flash.whole_file import sync_path
from bwvd.evidence.format.layout import LOCK, MANIFEST, RECORDINGS
from bwvd.evidence.format.signed_document import read_signed, signature_path, write_signed
from bwvd.evidence.keys.sshsig import KeySigner
from bwvd.evidence.release.receipt import RECEIPT_NAMESPACE, ArchiveReceipt, Receipt
from bwvd.evidence.verify.report import Archive, Report
from bwvd.text import one_line

RECEIVABLE = ("authentic", "recovered")  # verdicts; an excerpt is good as well, and the rest of it is elsewhere
SUFFIX = ".receipt.json"

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Look = dict[str, dict[str, tuple[int, ...]]]  # by folder: its files, each with what changes when somebody writes to it


class NoReceipt(EvidenceError):
    """No receipt is given. One line that says why."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A receipt that lies in a folder."""

    path: Path
    new: bool  # False: it lay there already, by the same key for the same manifest


def look(path: str | Path) -> Look:
    """How everything at `path` stands, to be held against later; nothing is read. Blocking."""
    path = Path(path)
    if not path.is_dir() and path.suffix.lower() != ".zip":
        path = path.parent  # any file of a recording stands for it
    if not path.is_dir():
        return {str(path.parent): {path.name: _state(path)}}
    return {str(Path(where)): {name: _state(Path(where) / name) for name in names} for where, _, names in os.walk(path)}


@dataclass(frozen=True, slots=True)
class Desk:
    """Who signs receipts, and where they go."""

    signer: KeySigner
    by: str  # the name under which the camera's `keys.release` lists the signer
    folder: Path


def issue(report: Report, desk: Desk, *, received_utc: str, before: Look | None = None) -> Issued:
    """Sign a receipt for the recording of `report`, and leave it as `ID.receipt.json`, its .sig beside it.

    Args:
        report: of the copy, verified with a list of signers.
        before: how the copy stood before it was verified, by `look`; what has changed since gets no receipt.

    One that is there is left as it is. Blocking. Raises: NoReceipt; ExportRefused for what can't be written.
    """
    place = _place(report)
    require_receivable(report, desk.signer)
    recordings = place.resolve().parent
    _require_copy(report.id, recordings.parent if recordings.name == RECORDINGS else None)
    receipt = Receipt(
        format=1,
        recording=report.id,
        device=report.device,
        manifest_sha512=report.manifest_sha512,
        received_utc=received_utc,
        by=desk.by,
    )
    return _leave(receipt, report.id, report.id, place, desk, before)


def issue_archive(
    report: Report, archive: Archive, desk: Desk, *, received_utc: str, before: Look | None = None
) -> Issued:
    """The same for an archive of the journal of a copied storage, as `DEVICE-journal-000001.receipt.json`.

    Args:
        report: of the storage, verified with a list of signers: one of its `archives`.
    """
    what = f"{archive.name} of {report.device}"
    place = Path(report.path) / archive.name
    if archive.problem:
        raise NoReceipt(f"{what}: the journal does not hold: {archive.problem}")
    if not _PLAIN.fullmatch(report.device):
        raise NoReceipt(f"{report.device!r} is no device's id")
    _require_anothers(report, what, desk.signer)
    _require_copy(what, place.parent)
    receipt = ArchiveReceipt(
        format=1,
        journal=archive.name,
        device=report.device,
        sha512=archive.sha512,
        received_utc=received_utc,
        by=desk.by,
    )
    return _leave(receipt, what, f"{report.device}-{place.stem}", place, desk, before)


def _leave(
    receipt: Receipt | ArchiveReceipt, what: str, name: str, place: Path, desk: Desk, before: Look | None
) -> Issued:
    """Make the copy durable, then sign for it."""
    if os.path.lexists(desk.folder / MANIFEST):
        raise NoReceipt(f"{desk.folder} is a recording's folder, where nothing is ever added: name another with -o")
    try:
        if before is not None and _changed(before, place):
            raise NoReceipt(f"{what} has changed while it was verified")
        _settle(place)
    except OSError as error:
        raise NoReceipt(f"{what} can't be made durable: {error.filename or place}: {error.strerror}") from None
    if before is not None and _changed(before, place):
        raise NoReceipt(f"{what} has changed while it was verified")
    path = desk.folder / f"{name}{SUFFIX}"
    if os.path.lexists(path) or os.path.lexists(signature_path(path)):
        _require_same(path, receipt, desk.signer)
        return Issued(path, new=False)
    write_signed(path, msgspec.json.encode(receipt) + b"\n", desk.signer, RECEIPT_NAMESPACE)
    return Issued(path, new=True)


def require_receivable(report: Report, signer: KeySigner) -> None:
    """Whether a recording that was verified may get a receipt by `signer`. Pure. Raises: NoReceipt, saying why not."""
    if report.kind != "recording":
        raise NoReceipt(f"{report.id} is a {report.kind}: a receipt is for a whole recording")
    if report.verdict == "excerpt":
        raise NoReceipt(f"{report.id} is an excerpt: the rest of it is only on the camera")
    if report.verdict not in RECEIVABLE:
        why = f": {report.why}" if report.why else ""
        raise NoReceipt(f"{report.id} is {report.verdict.replace('_', ' ')}{why}")
    if not _PLAIN.fullmatch(report.id) or not report.manifest_sha512:
        raise NoReceipt(f"{report.id!r} is no recording's id")
    _require_anothers(report, report.id, signer)


def _require_anothers(report: Report, what: str, signer: KeySigner) -> None:
    if report.signer is not None and report.signer.key == signer.key.line:
        raise NoReceipt(f"{what} is signed by this very key: no camera acknowledges what it has made itself")


def _require_copy(what: str, storage: Path | None) -> None:
    if storage is not None and _in_use(storage):
        raise NoReceipt(f"{what} lies on a camera that is running: a receipt is for a copy of it")


def _require_same(path: Path, receipt: Receipt | ArchiveReceipt, signer: KeySigner) -> None:
    """A receipt that is there may stay if it says the same. Its time is when the recording was received first."""
    try:
        text, key = read_signed(path, RECEIPT_NAMESPACE)
        there = msgspec.json.decode(text, type=type(receipt))
    except (OSError, SignatureBad, msgspec.DecodeError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else one_line(error)
        raise NoReceipt(f"{path} is there, and no receipt: {said}; nothing is overwritten") from None
    if msgspec.structs.replace(there, received_utc=receipt.received_utc) != receipt:
        raise NoReceipt(f"{path} is there, and is a receipt for something else; nothing is overwritten")
    if key.blob != (signer.certificate or signer.key).blob:
        raise NoReceipt(f"{path} is there, and signed by another key; nothing is overwritten")


def _place(report: Report) -> Path:
    """The recording's folder, or the proof that it lies in."""
    path = Path(report.path)
    return next((one for one in (path, *path.parents) if one.exists()), path)


def _settle(place: Path) -> None:
    """Make all of it durable, and every folder's name on the way to it."""
    for name in _names(place):
        with open_regular(name, follow=True) as file:
            os.fsync(file.fileno())
    folder = place.absolute()
    for above in (folder, *folder.parents) if folder.is_dir() else folder.parents:
        if above != folder and not os.access(above, os.R_OK):
            return  # nor was anything made in it by who may not look into it
        sync_path(above)
        if above.is_mount():
            return


def _changed(before: Look, place: Path) -> bool:
    try:
        if place.is_dir():
            return before.get(str(place)) != {path.name: _state(path) for path in _names(place)}
        return before.get(str(place.parent), {}).get(place.name) != _state(place)
    except OSError:
        return True


def _names(place: Path) -> Sequence[Path]:
    return [path for path in place.iterdir() if not path.is_dir()] if place.is_dir() else [place]


def _state(path: Path) -> tuple[int, ...]:
    with suppress(OSError):
        found = path.stat()
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    return ()


def _in_use(storage: Path) -> bool:
    """Whether a camera that runs holds the lock of a storage; the copy of one has a lock that nobody holds."""
    with suppress(OSError), open_regular(storage / LOCK) as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
