"""The parts of what lies closed on the flash, each to become one object of a store. Blocking; writes nothing.

A recording is closed when its SHA256SUMS.sig is whole: it is the last thing that the recorder writes. What is carried
is what the signed sums name, with their digests: a file that the flash gives back otherwise never gets an object.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from bwvd.evidence.flash.pieces import PIECE_BYTES
from bwvd.evidence.format.decode import MAX_LINE, SIGNATURE_BEGIN, decode
from bwvd.evidence.format.digest_list import is_list, token_of
from bwvd.evidence.format.layout import ARCHIVE, JOURNAL, MANIFEST, RECORDINGS, SUMS, SUMS_SIGNATURE, WITNESS
from bwvd.evidence.format.recording_id import device_of
from bwvd.evidence.format.records import Journal
from bwvd.evidence.format.sums_text import SIGNATURE_BYTES, SUMS_BYTES, is_whole, parse_sums
from bwvd.offload.book import Closed
from bwvd.offload.flash import Flash
from bwvd.store import names
from bwvd.store.errors import NameRefused
from bwvd.text import clean

ONE_AFTER_THE_OTHER = 3  # at the end of a recording: its manifest, the sums, their signature

_TAIL_BYTES = 4 * MAX_LINE  # of the journal, in which its last signature is looked for


class Unfit(Exception):
    """The recording is not what its own sums say, so it can't be carried whole. One line."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file, or the beginning of one, and the object that it becomes."""

    name: str  # in the store
    path: str  # on the flash
    size: int  # bytes
    sha256: bytes


@dataclass(frozen=True, slots=True)
class OnFlash:
    """What there is to be carried."""

    closed: dict[str, Closed]  # by recording, oldest first
    archives: tuple[str, ...]  # of the journal
    journal: int  # bytes of the file that grows; 0 = there is none
    witness: tuple[str, ...] = ()  # lists of digests, and the tokens over them


def look(flash: Flash, device: str, known: dict[str, Closed]) -> OnFlash:
    """What lies on the flash. `known`: closed recordings of the last look, of which only the names are looked at.

    Raises: OSError.
    """
    top = flash.names("")
    folders = [name[:-1] for name in (flash.names(RECORDINGS) if f"{RECORDINGS}/" in top else ()) if name[-1:] == "/"]
    closed = {}
    for recording in folders:
        if device_of(recording) != device:
            continue  # another device's, which the recorder leaves alone as well
        found = known.get(recording) or _closed(flash, recording)
        if found is not None:
            closed[recording] = found
    archives = tuple(name for name in top if ARCHIVE.fullmatch(name))
    witness = tuple(
        name for name in (flash.names(WITNESS) if f"{WITNESS}/" in top else ()) if is_list(name) or token_of(name)
    )
    return OnFlash(closed, archives, flash.size(JOURNAL) if JOURNAL in top else 0, witness)


def _closed(flash: Flash, recording: str) -> Closed | None:
    folder = f"{RECORDINGS}/{recording}"
    try:
        sizes = flash.sizes(folder)
        if SUMS_SIGNATURE not in sizes or not is_whole(flash.read(f"{folder}/{SUMS_SIGNATURE}", 0, SIGNATURE_BYTES)):
            return None
        # A key whose signatures are never twice the same would sign it anew after a power cut that took this one.
        flash.settle(f"{folder}/{SUMS_SIGNATURE}")
    except FileNotFoundError:  # it is being released, or finished anew
        return None
    return Closed(recording, len(sizes), sum(sizes.values()))


def parts_of(flash: Flash, device: str, recording: str) -> list[Part]:
    """All parts of a closed recording in the order in which they go: the signature of the sums last.

    Raises: Unfit; OSError (FileNotFoundError: it has been released meanwhile, or is being finished anew).
    """
    folder = f"{RECORDINGS}/{recording}"
    texts = {
        SUMS: flash.read(f"{folder}/{SUMS}", 0, SUMS_BYTES),
        SUMS_SIGNATURE: flash.read(f"{folder}/{SUMS_SIGNATURE}", 0, SIGNATURE_BYTES),
    }
    try:
        listed = parse_sums(texts[SUMS])
    except ValueError as error:
        raise Unfit(f"{recording}: {SUMS}: {error}") from None
    sizes = flash.sizes(folder)
    if SUMS_SIGNATURE not in sizes:
        raise FileNotFoundError(2, "no such file", f"{folder}/{SUMS_SIGNATURE}")
    if MANIFEST not in listed:
        raise Unfit(f"{recording}: {SUMS} names no {MANIFEST}")
    digests = {name: listed[name] for name in sorted(listed) if name != MANIFEST}
    digests[MANIFEST] = listed[MANIFEST]
    digests |= {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()}
    parts = []
    for name, sha256 in digests.items():
        if name not in sizes:
            raise Unfit(f"{recording}: {SUMS} names {clean(name, 80)}, which is not there")
        try:
            target = names.recording_file(device, recording, name)
        except NameRefused:
            raise Unfit(f"{recording}: a store has no name for {clean(name, 80)}") from None
        parts.append(Part(target, f"{folder}/{name}", sizes[name], bytes.fromhex(sha256)))
    return parts


def archive_part(flash: Flash, device: str, archive: str) -> Part:
    """An archive of the journal, whole. Raises: NameRefused, OSError."""
    storage = _storage(_opening(flash, archive))
    size = flash.size(archive)
    return Part(
        names.journal_archive(device, storage, archive),
        archive,
        size,
        _digests(flash, archive, size, hashlib.sha256())[0].digest(),
    )


def witness_part(flash: Flash, device: str, file: str) -> Part:
    """A list of digests, or a token. Raises: NameRefused, OSError."""
    path = f"{WITNESS}/{file}"
    size = flash.size(path)
    digest = _digests(flash, path, size, hashlib.sha256())[0].digest()
    return Part(names.witness_file(device, file), path, size, digest)


def head_part(flash: Flash, device: str) -> Part | None:
    """The journal file that grows, up to its last signature; None if it has none, or is being exchanged just now.

    What is read is synced first: a store must not know more of the journal than the flash after a power cut.
    Raises: NameRefused, OSError.
    """
    before = flash.read(JOURNAL, 0, MAX_LINE)
    opening = _first(before)
    end = _signed_end(flash, flash.size(JOURNAL))
    if opening is None or not end:
        return None
    flash.settle(JOURNAL)
    sha256, sha512 = _digests(flash, JOURNAL, end, hashlib.sha256(), hashlib.sha512())
    if _first(flash.read(JOURNAL, 0, MAX_LINE)) != opening:
        return None
    name = names.journal_head(device, _storage(opening), opening.file_number, end, sha512.hexdigest())
    return Part(name, JOURNAL, end, sha256.digest())


def _opening(flash: Flash, path: str) -> Journal | None:
    return _first(flash.read(path, 0, MAX_LINE))


def _first(beginning: bytes) -> Journal | None:
    record = decode(beginning.partition(b"\n")[0])
    return record if isinstance(record, Journal) else None


def _storage(opening: Journal | None) -> str:
    return (opening.storage if opening is not None else "") or names.NO_STORAGE


def _signed_end(flash: Flash, size: int) -> int:
    """Where the last whole signature line in the first `size` bytes of the journal ends; 0 if there is none."""
    begin = max(0, size - _TAIL_BYTES)
    tail = flash.read(JOURNAL, begin, size - begin)
    end = len(tail)
    while (at := tail.rfind(b"\n" + SIGNATURE_BEGIN, 0, end)) >= 0:
        newline = tail.find(b"\n", at + 1)
        if newline >= 0:
            return begin + newline + 1
        end = at
    return 0


def _digests(flash: Flash, path: str, size: int, *hashes: hashlib._Hash) -> tuple[hashlib._Hash, ...]:
    at = 0
    while at < size:
        piece = flash.read(path, at, min(PIECE_BYTES, size - at))
        if not piece:
            raise OSError(5, f"shorter than {size} bytes, which it had", path)
        for one in hashes:
            one.update(piece)
        at += len(piece)
    return hashes
