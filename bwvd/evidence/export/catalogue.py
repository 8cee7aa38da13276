"""Catalogue of the recordings in a storage: for `bwvd list` and `bwvd show`. Reads; judges nothing."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bwvd.clock import NS
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.flash.regular_file import open_regular
from bwvd.evidence.format import records
from bwvd.evidence.format.decode import MAX_LINE, SIGNATURE_BEGIN, decode, signature_of
from bwvd.evidence.format.layout import MANIFEST, RECORDINGS
from bwvd.evidence.format.line_reader import LineReader, lines_before
from bwvd.evidence.format.missing import MissingMedia

_HEAD_BYTES = 262_144  # the `open` record with its init segment and padding lies in here
_NUMBER = re.compile("[0-9]{1,18}")
_GAP = b'{"type":"gap"'
_TAIL_BYTES = 65_536  # and the last records in here


class NoSuchRecording(EvidenceError):
    """There is no such recording, or its name says too little. One line."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of `bwvd list`."""

    id: str
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


def catalogue(storage: Path) -> list[Entry]:
    """All recordings of a storage, oldest first.

    Raises: EvidenceError when the folder can't be read.
    """
    folder = storage / RECORDINGS
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise EvidenceError(f"{folder}: {error.strerror}") from None
    return sorted((_entry(folder / name) for name in names), key=lambda entry: (entry.serial or 0, entry.id))


def find(storage: Path, name: str) -> Path:
    """The folder of a recording: a path, the name of a folder in the current directory, an id, a serial number, "last".

    Raises: NoSuchRecording.
    """
    counts = name == "last" or _NUMBER.fullmatch(name) is not None  # what a command on a device means before any folder
    if not counts and Path(name).is_dir():
        return Path(name)
    if "/" in name:
        raise NoSuchRecording(f"{name}: no such folder")
    entries = catalogue(storage)
    if name == "last" and entries:
        return storage / RECORDINGS / entries[-1].id
    number = int(name) if _NUMBER.fullmatch(name) else None
    wanted = [entry for entry in entries if entry.id == name or (number is not None and entry.serial == number)]
    if len(wanted) == 1:
        return storage / RECORDINGS / wanted[0].id
    if not wanted and Path(name).is_dir():
        return Path(name)
    if wanted:
        raise NoSuchRecording(f"{name}: {len(wanted)} recordings carry this serial number; give the whole id")
    raise NoSuchRecording(f"{name}: no such folder, and no such recording in {storage}")


def signed_records(folder: Path) -> Iterator[records.ManifestRecord]:
    """The records of a manifest that have a signature's line behind them, unverified.

    Raises: EvidenceError when there is no readable manifest.
    """
    with open_regular(folder / MANIFEST) as file:
        for unsigned, signature in lines_before(LineReader(file, MAX_LINE), SIGNATURE_BEGIN):
            if signature_of(signature) is not None:
                record = decode(unsigned)
                if isinstance(record, records.ManifestRecord):
                    yield record


def _entry(folder: Path) -> Entry:
    opening: records.Open | None = None
    last: records.ManifestRecord | None = None
    segment: records.Segment | None = None
    total = 0
    with contextlib.suppress(EvidenceError, OSError):
        with open_regular(folder / MANIFEST) as file:
            head = file.read(_HEAD_BYTES)
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            tail = file.read(_TAIL_BYTES)
        for record in _decoded(head):
            if isinstance(record, records.Open):
                opening = record
                break
        for record in _decoded(tail):
            last = record
            if isinstance(record, records.Segment):
                segment = record
        if not isinstance(last, records.Close | records.Recovered):
            total = sum(path.stat().st_size for path in folder.glob("*.m4s*"))
    if opening is None:
        return Entry(folder.name, None, "", "", 0.0, 0.0, 0, 0, "unreadable", False)
    ended = last if isinstance(last, records.Close | records.Recovered) else None
    missing = MissingMedia()
    missing.opened(opening)
    if not (isinstance(ended, records.Close) and ended.gaps == 0):
        _count_gaps(folder, missing)
    duration_ns = ended.duration_ns if ended else segment.pts_ns + segment.duration_ns if segment else 0
    return Entry(
        id=folder.name,
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
    )


def _count_gaps(folder: Path, missing: MissingMedia) -> None:
    """Take all gaps of a manifest: they stand where they happened, so that all of it is read."""
    with contextlib.suppress(EvidenceError, OSError), open_regular(folder / MANIFEST) as file:
        lines = LineReader(file, MAX_LINE)
        while True:
            while lines.skip(_GAP):
                pass
            line = lines.next()
            if not line:
                return
            if line.startswith(_GAP) and isinstance(gap := decode(line.rstrip(b"\n")), records.Gap):
                missing.gap(gap)


def _decoded(data: bytes) -> Iterator[records.ManifestRecord]:
    for line in data.split(b"\n"):
        if line.startswith(b'{"type"'):
            record = decode(line)
            if isinstance(record, records.ManifestRecord):
                yield record
