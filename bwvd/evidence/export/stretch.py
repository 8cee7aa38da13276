"""Stretch of a recording between two moments that a person names, in seconds since its first frame."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bwvd.clock import NS
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.export.catalogue import signed_records
from bwvd.evidence.format import records
from bwvd.evidence.format.moment import Elapsed, Given, clock_text
from bwvd.evidence.format.utc import parse_utc, utc_after
from bwvd.text import printable


class OutsideRecording(EvidenceError):
    """Nothing of the recording lies between the moments. One line that names the option."""


@dataclass(slots=True)
class Stretch:
    """Seconds since the first frame; None = from the beginning, to the end."""

    from_s: float | None = None
    to_s: float | None = None
    notes: list[str] = field(default_factory=list)  # a line each, for whoever asked


def stretch(folder: Path, begin: Given | None, end: Given | None) -> Stretch:
    """What of the recording in `folder` lies between two moments. Its manifest is read, and not verified.

    A moment that lies outside counts as the recording's beginning or end, and is noted, as long as anything is left.

    Raises: OutsideRecording where nothing is left; EvidenceError, OSError where there is no readable manifest.
    """
    found = Stretch()
    if begin is None and end is None:
        return found
    line = _TimeLine.read(folder)
    from_ns = line.at(begin) if begin else 0
    to_ns = line.at(end) if end else line.length_ns
    if begin and from_ns >= line.length_ns:
        raise OutsideRecording(f"{begin} is behind the end of the recording, which {line}")
    if end and to_ns <= 0:
        raise OutsideRecording(f"{end} is not behind the beginning of the recording, which {line}")
    if from_ns >= to_ns:
        raise OutsideRecording(f"{begin} is not before {end}")
    if begin and from_ns < 0:
        found.notes.append(f"{begin} is before the recording, which {line}: taken from its beginning")
    if end and to_ns > line.length_ns:
        found.notes.append(f"{end} is behind the end of the recording, which {line}: taken to its end")
    if line.not_set and any(given and not isinstance(given.moment, Elapsed) for given in (begin, end)):
        found.notes.append("the camera's clock was not set: its times of day are not those of the day")
    found.from_s = max(from_ns, 0) / NS if begin else None
    found.to_s = min(to_ns, line.length_ns) / NS if end else None
    return found


@dataclass(slots=True)
class _TimeLine:
    """Segments of one recording with the time of day of each."""

    device: str
    segments: list[records.Segment]

    @classmethod
    def read(cls, folder: Path) -> _TimeLine:
        device, segments = "", []
        for record in signed_records(folder):
            if isinstance(record, records.Open):
                device = device or record.device
            elif isinstance(record, records.Segment):
                segments.append(record)
        if not segments:
            raise OutsideRecording(f"{folder.name} has no segment")
        return cls(device, segments)

    @property
    def first_ns(self) -> int:
        return self.segments[0].pts_ns

    @property
    def length_ns(self) -> int:
        return max(segment.pts_ns + segment.duration_ns for segment in self.segments) - self.first_ns

    @property
    def not_set(self) -> bool:
        return any(segment.stamp.quality == "not_set" for segment in self.segments)

    def __str__(self) -> str:
        """Behind "the recording, which": how long it is, and its times of day where they are times."""
        first, last = self.segments[0], self.segments[-1]
        begin, end = utc_after(first.stamp.utc, 0), utc_after(last.stamp.utc, last.duration_ns)
        text = f"is {clock_text(self.length_ns)} long"
        return text + (f" (UTC {begin} to {end})" if begin and end else "")

    def at(self, given: Given) -> int:
        """Nanoseconds since the first frame; a time of day before or behind the recording gives one outside of it.

        Raises: OutsideRecording for the stamp of another device, and where no segment's stamp is a time.
        """
        if isinstance(given.moment, Elapsed):
            return given.moment.ns
        device, wanted = given.moment.device, given.moment.utc
        if device and device != self.device:
            raise OutsideRecording(f"{given}: the recording is one of {printable(self.device)}")
        known = [(begin, segment) for segment in self.segments if (begin := parse_utc(segment.stamp.utc)) is not None]
        if not known:
            raise OutsideRecording(f"{given}: no segment of the recording has a time of day")
        return _media_ns(known, wanted) - self.first_ns


def _media_ns(known: Sequence[tuple[datetime.datetime, records.Segment]], wanted: datetime.datetime) -> int:
    """Media time of a time of day: in the first segment that shows it, else in the gap where it lies."""
    for begin, segment in known:
        passed_ns = _ns(wanted - begin)
        if 0 <= passed_ns < segment.duration_ns:
            return segment.pts_ns + passed_ns
    # In a gap, skipped by a step of the clock, or outside: it follows the last segment that began before it.
    before = [number for number, (begin, _) in enumerate(known) if begin <= wanted]
    if not before:
        begin, segment = known[0]
        return segment.pts_ns + _ns(wanted - begin)
    begin, segment = known[before[-1]]
    at_ns = segment.pts_ns + _ns(wanted - begin)
    following = known[before[-1] + 1 :]
    return min(at_ns, following[0][1].pts_ns) if following else at_ns


def _ns(passed: datetime.timedelta) -> int:
    return passed // datetime.timedelta(microseconds=1) * 1000
