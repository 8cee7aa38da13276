"""Catalogue of recordings: for `bwvd list` and `bwvd show`. Reads; judges nothing.

What a list shows stands at a manifest's two ends, so that a list of thousands is read in a second. Only what may stand
anywhere (gaps where there are any; markers and officers where they are asked for) is looked for in all of it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from io import RawIOBase
from pathlib import Path

from bwvd.clock import NS
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.export.private_text import PrivateText, Reader, unopened
from bwvd.evidence.flash.regular_file import open_regular
from bwvd.evidence.format import records
from bwvd.evidence.format.decode import MAX_LINE, SIGNATURE_BEGIN, decode, signature_of
from bwvd.evidence.format.layout import MANIFEST, MANIFEST_BYTES, RECORDINGS, is_litter
from bwvd.evidence.format.line_reader import LineReader, lines_before
from bwvd.evidence.format.missing import MissingMedia
from bwvd.evidence.verify.gather import Place
from bwvd.text import one_line

_HEAD_BYTES = 65_536  # the `open` record with its init segment and padding lies in here, and who wears the device
_NUMBER = re.compile("[0-9]{1,18}")
_GAP = b'{"type":"gap"'
_RECORD = re.compile(rb'^\{"type"[^\n]*', re.MULTILINE)
_MARK = b'{"type":"mark"'
_OFFICER = b'{"type":"officer"'
_TAIL_BYTES = 65_536  # and the last records in here


class NoSuchRecording(EvidenceError):
    """There is no such recording, or its name says too little. One line."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of `bwvd list`."""

    id: str
    path: str
    serial: int | None
    device: str
    started: str  # UTC of the first frame
    seconds: float
    pre_event_s: float
    segments: int
    bytes: int
    end: str  # "open" (not closed, or in progress) | "recovered" | the reason of the `close` record | "unreadable"
    encrypted: bool
    gaps: int = 0
    missing_video_s: float = 0.0  # that the gaps name
    missing_audio_s: float = 0.0
    missing_pre_event_s: float = 0.0  # of the time before the press: asked for, and not there
    clock: str = ""  # its quality at the press: "synchronised" | "free" | "not_set"
    officers: list[PrivateText] = field(default_factory=list)  # at its beginning, and the later ones that were read
    markers: list[PrivateText] | None = None  # labels; None = nobody has looked for any
    verdict: str = ""  # "" = nobody has verified it
    position: str = ""  # at the press: "known" | "sealed" | "unknown"; "" = the recording says nothing of it


def catalogue(storage: Path) -> list[Entry]:
    """All recordings of a storage, oldest first.

    Raises: EvidenceError when the folder can't be read.
    """
    folder = storage / RECORDINGS
    try:
        folders = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
        names = sorted(path.name for path in folders if not is_litter(path.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise EvidenceError(f"{folder}: {error.strerror}") from None
    found = (entry(Place(folder / name)) for name in names)
    return sorted(found, key=lambda entry: (entry.serial or 0, entry.id))


def named_folder(name: str) -> Path | None:
    """The folder of that name, if it is one; not for "last" or a number, by which a command means the device's."""
    if name == "last" or _NUMBER.fullmatch(name) or not os.path.isdir(name):  # noqa: PTH112  raises nothing for a name that no file can have
        return None
    return Path(name)


def find(storage: Path, name: str) -> Path:
    """The folder of a recording: a path, the name of a folder in the current directory, an id, a serial number, "last".

    Raises: NoSuchRecording.
    """
    if (folder := named_folder(name)) is not None:
        return folder
    if "/" in name:
        raise NoSuchRecording(f"{name}: no such folder")
    entries = catalogue(storage)
    if name == "last" and entries:
        return storage / RECORDINGS / entries[-1].id
    number = int(name) if _NUMBER.fullmatch(name) else None
    wanted = [entry for entry in entries if entry.id == name or (number is not None and entry.serial == number)]
    if len(wanted) == 1:
        return storage / RECORDINGS / wanted[0].id
    if not wanted and os.path.isdir(name):  # noqa: PTH112  raises nothing for a name that no file can have
        return Path(name)
    if wanted:
        raise NoSuchRecording(f"{name}: {len(wanted)} recordings carry this serial number; give the whole id")
    raise NoSuchRecording(f"{name}: no such folder, and no such recording in {storage}")


def signed_records(where: Path | Place) -> Iterator[records.ManifestRecord]:
    """The records of a manifest that have a signature's line behind them, unverified. `where` is a folder, or a place.

    Raises: EvidenceError when there is no readable manifest.
    """
    with opened(where if isinstance(where, Place) else Place(where)) as file:
        yield from signed_in(file)


def signed_in(file: RawIOBase) -> Iterator[records.ManifestRecord]:
    """The same of a manifest that is open."""
    for unsigned, signature in lines_before(LineReader(file, MAX_LINE), SIGNATURE_BEGIN):
        if signature_of(signature) is not None:
            record = decode(unsigned)
            if isinstance(record, records.ManifestRecord):
                yield record


def entry(place: Place, read: Reader = unopened) -> Entry:
    """One recording as a list shows it; of one that can't be read, that it can't.

    Args:
        read: gives the officers' ids.
    """
    opening: records.Open | None = None
    last: records.ManifestRecord | None = None
    segment: records.Segment | None = None
    officers: list[PrivateText] = []
    total = 0
    with contextlib.suppress(EvidenceError, OSError):
        with opened(place) as file:
            head, tail = _ends(file)
        for record in _decoded(head):
            if isinstance(record, records.Open):
                opening = opening or record
            elif isinstance(record, records.Officer):
                officers = _with_officer(officers, read(record))
        for record in _decoded(tail):
            last = record
            if isinstance(record, records.Segment):
                segment = record
        if not isinstance(last, records.Close | records.Recovered):
            total = _stored(place)
    if opening is None:
        return Entry(place.name, str(place), None, "", "", 0.0, 0.0, 0, 0, "unreadable", False)
    ended = last if isinstance(last, records.Close | records.Recovered) else None
    missing = MissingMedia()
    missing.opened(opening)
    if not (isinstance(ended, records.Close) and ended.gaps == 0):
        for record in _every(place, _GAP):
            if isinstance(record, records.Gap):
                missing.gap(record)
    duration_ns = ended.duration_ns if ended else segment.pts_ns + segment.duration_ns if segment else 0
    return Entry(
        id=place.name,
        path=str(place),
        serial=opening.serial,
        device=opening.device,
        started=opening.origin_utc,
        seconds=round(duration_ns / NS, 3),
        pre_event_s=round(opening.pre_event.got_s, 3),
        segments=ended.segments if ended else segment.segment if segment else 0,
        bytes=ended.bytes if ended else total,
        end=ended.reason if isinstance(ended, records.Close) else "recovered" if ended else "open",
        encrypted=bool(opening.recipients),
        gaps=missing.gaps,
        missing_video_s=missing.video_s,
        missing_audio_s=missing.audio_s,
        missing_pre_event_s=missing.pre_event_s,
        clock=opening.press.stamp.quality,
        officers=officers,
        position=opening.press.position.known if opening.press.position is not None else "",
    )


def with_texts(one: Entry, place: Place, read: Reader = unopened) -> Entry:
    """The entry with everybody who wore the device and every marker: all of the manifest is looked through."""
    officers: list[PrivateText] = []
    markers: list[PrivateText] = []
    for record in _every(place, _MARK, _OFFICER):
        if isinstance(record, records.Mark):
            markers.append(read(record))
        elif isinstance(record, records.Officer):
            officers = _with_officer(officers, read(record))
    return replace(one, officers=officers, markers=markers)


@contextlib.contextmanager
def opened(place: Place) -> Iterator[RawIOBase]:
    """A recording's manifest, in its folder or inside a proof. Raises: OSError."""
    if not place.inside:
        with open_regular(place.path / MANIFEST) as file:
            yield file
        return
    import zipfile  # here: a card holds no proofs

    from bwvd.evidence.verify.zip_folder import ZipFolder

    try:
        with (
            zipfile.ZipFile(place.path) as archive,
            ZipFolder(archive, place.inside, str(place)).open(MANIFEST) as member,
        ):
            if archive.getinfo(place.inside + MANIFEST).file_size > MANIFEST_BYTES:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), f"{place}/{MANIFEST}")
            yield member
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise OSError(errno.EIO, one_line(error), str(place.path)) from None


def _stored(place: Place) -> int:
    """Bytes of a recording's segments. Raises: OSError."""
    if not place.inside:
        return sum(path.stat().st_size for path in place.path.glob("*.m4s*"))
    import zipfile

    with zipfile.ZipFile(place.path) as archive:
        members = archive.infolist()
    return sum(one.file_size for one in members if one.filename.startswith(place.inside) and ".m4s" in one.filename)


def _with_officer(officers: list[PrivateText], one: PrivateText) -> list[PrivateText]:
    """Each once; of what is sealed nobody knows whether it is the same."""
    return officers if one == PrivateText() or one in officers else [*officers, one]


def _ends(file: RawIOBase) -> tuple[bytes, bytes]:
    """A file's beginning with at least one line, and its end with at least one record's; an archive's is read through.

    Raises: OSError.
    """
    head = _filled(file, _HEAD_BYTES)
    while b"\n" not in head and len(head) < MAX_LINE and (more := _filled(file, _HEAD_BYTES)):
        head += more  # hundreds of recipients
    tail = head
    if file.seekable():
        size = file.seek(0, 2)
        for keep in (_TAIL_BYTES, 2 * MAX_LINE):  # what a start has found in a damaged recording may be long
            file.seek(max(0, size - keep))
            tail = _filled(file, keep)
            if b'\n{"type"' in tail or size <= keep:
                break
    else:
        while data := _filled(file, _TAIL_BYTES):
            tail = (tail + data)[-2 * MAX_LINE :]
    return head, tail


def _filled(file: RawIOBase, size: int) -> bytes:
    """So many bytes, or what is left. Raises: OSError."""
    parts = []
    while size > 0 and (data := file.read(size)):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def _every(place: Place, *beginnings: bytes) -> Iterator[records.ManifestRecord]:
    """All records of a manifest whose lines begin so, as far as it can be read."""
    with contextlib.suppress(EvidenceError, OSError), opened(place) as file:
        lines = LineReader(file, MAX_LINE)
        while True:
            while lines.skip(*beginnings):
                pass
            line = lines.next()
            if not line:
                return
            if line.startswith(beginnings):
                record = decode(line.rstrip(b"\n"))
                if isinstance(record, records.ManifestRecord):
                    yield record


def _decoded(data: bytes) -> Iterator[records.ManifestRecord]:
    for line in _RECORD.finditer(data):  # not split: a megabyte of newlines would be a million lines
        record = decode(line[0])
        if isinstance(record, records.ManifestRecord):
            yield record
