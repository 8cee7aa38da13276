"""Names of the objects in a store: those of the flash under the device's id. Pure.

    devices/ID/recordings/REC/manifest.jsonl …           as in the recording's folder; SHA256SUMS.sig is put last
    devices/ID/journal/STORAGE/journal-000001.jsonl      an archive of the journal on the storage (card) of that id
    devices/ID/journal/STORAGE/heads/NUMBER-BYTES-SHA    the first BYTES bytes of journal file NUMBER, by their SHA-512:
                                                         one object for each head, in the order of their names
    devices/ID/witness/SHA256.digests                    a list of digests that was stamped, and
    devices/ID/witness/SHA256.AUTHORITY.tsr              what a time-stamp authority has answered to it
    devices/ID/receipts/REC.json                         the custodian's receipt
    devices/ID/receipts/STORAGE/journal-000001.json      the same for an archive

Other names of the same characters are the custodian's to give (its log, its findings). Every name is ASCII, so that
no two of them look alike, and every part of it is a file's name on any file system.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bwvd.evidence.format.layout import ARCHIVE, RECORDINGS, WITNESS
from bwvd.evidence.format.recording_id import device_of
from bwvd.store.errors import NameRefused
from bwvd.text import printable

DEVICES = "devices/"
JOURNAL = "journal"
HEADS = "heads"
RECEIPTS = "receipts"
NO_STORAGE = "0" * 32  # of a journal from before storages had an id

MOST_CHARACTERS = 512  # of a name; S3 takes 1024 bytes with the prefix
MOST_PARTS = 12

# A head has 148 characters and more; the name of a file may have 255.
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,191}", re.ASCII)
_STORAGE = re.compile(r"[0-9a-f]{32}", re.ASCII)
_HEAD = re.compile(r"([0-9]{6,12})-([0-9]{12})-([0-9a-f]{128})", re.ASCII)
_SHOWN = 200  # characters


def is_name(name: str) -> bool:
    """True if an object of ours may have that name."""
    if len(name) > MOST_CHARACTERS:
        return False
    parts = name.split("/")
    return len(parts) <= MOST_PARTS and all(_PART.fullmatch(part) for part in parts)


def is_folder(prefix: str) -> bool:
    """True for "" and for what names may begin with: parts with a final "/"."""
    return not prefix or (prefix.endswith("/") and is_name(prefix[:-1]))


def check_name(name: str) -> None:
    """Raises: NameRefused."""
    if not is_name(name):
        raise NameRefused(f"{shown(name)}: not the name of an object")


def check_folder(prefix: str) -> None:
    """Raises: NameRefused."""
    if not is_folder(prefix):
        raise NameRefused(f"{shown(prefix)}: not the name of a folder in a store")


def shown(name: str) -> str:
    """A name from outside for a person: printable, cut."""
    return printable(name[:_SHOWN]) + ("…" if len(name) > _SHOWN else "")


def device_folder(device: str) -> str:
    return _folder(f"{DEVICES}{device}/")


def recordings_folder(device: str) -> str:
    return _folder(f"{DEVICES}{device}/{RECORDINGS}/")


def recording_folder(device: str, recording: str) -> str:
    return _folder(f"{DEVICES}{device}/{RECORDINGS}/{recording}/")


def recording_file(device: str, recording: str, file: str) -> str:
    """A file of a recording, by its name in the recording's folder."""
    return _name(recording_folder(device, recording) + file)


def journal_folder(device: str, storage: str = "") -> str:
    """All of a device's journals, or that of the storage with that id."""
    return _folder(f"{DEVICES}{device}/{JOURNAL}/" + (f"{storage}/" if storage else ""))


def journal_archive(device: str, storage: str, archive: str) -> str:
    """`archive` is its name on the flash, as of `layout.archive_name`."""
    return _name(journal_folder(device, storage) + archive)


def heads_folder(device: str, storage: str) -> str:
    return _folder(f"{journal_folder(device, storage)}{HEADS}/")


def journal_head(device: str, storage: str, number: int, size: int, sha512: str) -> str:
    """The first `size` bytes of the journal file `number`, whose SHA-512 is that, in hex."""
    return _name(f"{heads_folder(device, storage)}{number:06d}-{size:012d}-{sha512}")


def witness_folder(device: str) -> str:
    return _folder(f"{DEVICES}{device}/{WITNESS}/")


def witness_file(device: str, file: str) -> str:
    """A list of digests or a time-stamp token, by its name on the flash."""
    return _name(witness_folder(device) + file)


def receipts_folder(device: str) -> str:
    return _folder(f"{DEVICES}{device}/{RECEIPTS}/")


def receipt(device: str, recording: str) -> str:
    return _name(f"{receipts_folder(device)}{recording}.json")


def archive_receipt(device: str, storage: str, archive: str) -> str:
    """The receipt for an archive of the journal."""
    return _name(f"{receipts_folder(device)}{storage}/{archive.removesuffix('.jsonl')}.json")


@dataclass(frozen=True, slots=True)
class RecordingFile:
    """A file in a recording's folder."""

    device: str
    recording: str
    file: str


@dataclass(frozen=True, slots=True)
class JournalArchive:
    """A journal file that was full."""

    device: str
    storage: str
    archive: str


@dataclass(frozen=True, slots=True)
class JournalHead:
    """The beginning of a journal file, as far as it went when it was sent."""

    device: str
    storage: str
    number: int
    size: int  # bytes
    sha512: str  # hex


@dataclass(frozen=True, slots=True)
class ReceiptFile:
    """A receipt for `about`, a recording's id; or with `storage` for the archive of that storage's journal."""

    device: str
    about: str
    storage: str = ""


Named = RecordingFile | JournalArchive | JournalHead | ReceiptFile


def parsed(name: str) -> Named | None:
    """What an object of that name is; None for any name that none of the camera's objects and receipts has.

    A recording's id must be of the device under which it lies.
    """
    if not is_name(name):
        return None
    match name.split("/"):
        case ["devices", device, "recordings", recording, file] if device_of(recording) == device:
            return RecordingFile(device, recording, file)
        case ["devices", device, "journal", storage, archive] if _STORAGE.fullmatch(storage):
            return JournalArchive(device, storage, archive) if ARCHIVE.fullmatch(archive) else None
        case ["devices", device, "journal", storage, "heads", head] if _STORAGE.fullmatch(storage):
            found = _HEAD.fullmatch(head)
            return JournalHead(device, storage, int(found[1]), int(found[2]), found[3]) if found else None
        case ["devices", device, "receipts", file] if device_of(about := file.removesuffix(".json")) == device:
            return ReceiptFile(device, about) if file.endswith(".json") else None
        case ["devices", device, "receipts", storage, file] if _STORAGE.fullmatch(storage) and file.endswith(".json"):
            archive = f"{file.removesuffix('.json')}.jsonl"
            return ReceiptFile(device, archive, storage) if ARCHIVE.fullmatch(archive) else None
    return None


def _name(name: str) -> str:
    check_name(name)
    return name


def _folder(prefix: str) -> str:
    check_folder(prefix)
    return prefix
