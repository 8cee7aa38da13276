"""Continuity of a journal with what a witness remembers of it: whether the card is as the device had left it."""

from __future__ import annotations

from collections.abc import Sequence

from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format import records
from bwvd.evidence.format.layout import JOURNAL, MANIFEST, RECORDINGS, archive_name
from bwvd.evidence.format.recording_id import device_of
from bwvd.evidence.format.records import JournalHead
from bwvd.evidence.journal.files import archive_number, first_record, following, is_there
from bwvd.evidence.journal.witness import Remembered


def not_continued(
    volume: Volume,
    storages: Sequence[Remembered],
    *,
    storage: str,
    new: bool,
    number: int,
    device: str,
    signer: str,
    released: JournalHead | None = None,
    head: JournalHead | None = None,
) -> Remembered | None:
    """What a witness remembers and the journal in force does not go on from; None if it goes on, or is a new storage's.

    Args:
        storage: the id that the storage has by its journal.
        new: it has it since this start, or no entry was made since.
        number: of the file in force.
        signer: the device's key. A key that was changed begins a journal anew, on the same storage: what was remembered
            of the one before it must lie behind the new one.
        released: the newest archive that was taken over; what the witness remembers of it or of an older one is gone.
        head: of the file in force as it was just read; it need not be read again where the witness knows it as long.

    A storage without a journal that holds recordings of this device, by its key, is none that is new. Blocking;
    raises OSError.
    """
    known_as = next((one for one in storages if one.storage == storage), None)
    if known_as is None:
        storages = [one for one in storages if one.signer == signer]  # an earlier key's tell nothing of a new storage
        if not new or not storages:
            return None
        folders = volume.names(RECORDINGS)
        return storages[-1] if any(_is_ours(volume, name, device, signer) for name in folders) else None
    if released is not None and known_as.number <= archive_number(released.file):
        return None if following(volume, released.file) == released else known_as
    name = JOURNAL if known_as.number == number else archive_name(known_as.number)
    wanted = JournalHead(file=name, bytes=known_as.bytes, sha512=known_as.sha512)
    if head is not None and (head.file, head.bytes) == (wanted.file, wanted.bytes):
        return None if head.sha512 == wanted.sha512 else known_as
    return None if _leads_to(volume, name) and is_there(volume, wanted) else known_as


def _is_ours(volume: Volume, folder: str, device: str, signer: str) -> bool:
    """Whether a recording of this device was begun under its key of today; those of an earlier key tell nothing."""
    if not folder.endswith("/") or device_of(folder) != device:
        return False
    try:
        opening = first_record(volume, f"{RECORDINGS}/{folder}{MANIFEST}")
    except OSError:  # recovery names it
        return False
    return isinstance(opening, records.Open) and opening.signer == signer


def _leads_to(volume: Volume, name: str) -> bool:
    """Whether the file in force names the one of this name as what came before it, over however many others.

    An earlier file that was put in force again does not, though all that came after it lies beside it.
    """
    at, seen = JOURNAL, {""}
    while at != name:
        opening = first_record(volume, at)
        before = opening.previous if isinstance(opening, records.Journal) else None
        if before is None or before.file in seen or not is_there(volume, before):
            return False
        at = before.file
        seen.add(at)
    return True
