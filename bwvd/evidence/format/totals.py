"""Totals and files of a recording: folds over the records of its manifest. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from bwvd.evidence.format import records
from bwvd.evidence.format.decode import Unknown

NOTES = (
    records.Mark,
    records.Officer,
    records.Gap,
    records.Fault,
    records.Audio,
    records.ClockStep,
    records.Power,
    records.Position,
    records.State,
)


@dataclass(slots=True)
class Totals:
    """What the recording's end repeats: sums over the segments, and how many records there are of some kinds."""

    open: records.Open | None = None  # the first one
    end: records.Close | records.Recovered | None = None  # the last one
    notes: int = 0  # of all kinds that a note of the recorder becomes, gaps included
    gaps: int = 0
    segments: int = 0
    frames: int = 0
    audio_frames: int = 0
    silent_frames: int = 0
    bytes: int = 0
    duration_ns: int = 0

    @property
    def ended(self) -> bool:
        return self.end is not None

    def take(self, record: records.Record | Unknown) -> None:
        """The next record."""
        self.notes += isinstance(record, NOTES)
        match record:
            case records.Open():
                self.open = self.open or record
            case records.Segment():
                self.segments += 1
                self.frames += record.frames
                self.audio_frames += record.audio_frames
                self.silent_frames += record.silent_frames
                self.bytes += record.bytes
                self.duration_ns = max(self.duration_ns, record.pts_ns + record.duration_ns)
            case records.Gap():
                self.gaps += 1
            case records.Close() | records.Recovered():
                self.end = record


class Stored(NamedTuple):
    """A file as its record has it."""

    bytes: int
    sha256: str
    span: tuple[int, int] | None = None  # media time from, to; of a segment


@dataclass(slots=True)
class Contents(Totals):
    """The totals, and the files that records name: segments and sealed texts, by name."""

    files: dict[str, Stored] = field(default_factory=dict)

    def take(self, record: records.Record | Unknown) -> None:
        Totals.take(self, record)
        named = record.sealed if isinstance(record, records.Mark | records.Officer) else record
        if isinstance(named, records.Segment | records.Sealed):
            span = None
            if isinstance(named, records.Segment):
                span = (named.pts_ns, named.pts_ns + named.duration_ns)
            self.files[named.file] = Stored(named.bytes, named.sha256, span)
