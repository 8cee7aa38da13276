"""What stands in a recording's manifest, counted: what its end repeats (a fold). Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

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
    records.State,
)


@dataclass(slots=True)
class Totals:
    """Sums over the segments, and how many records there are of some kinds."""

    ended: bool = False
    notes: int = 0  # of all kinds that a note of the recorder becomes, gaps included
    gaps: int = 0
    segments: int = 0
    frames: int = 0
    audio_frames: int = 0
    bytes: int = 0
    duration_ns: int = 0

    def take(self, record: records.Record | Unknown) -> None:
        """The next record."""
        self.notes += isinstance(record, NOTES)
        match record:
            case records.Segment():
                self.segments += 1
                self.frames += record.frames
                self.audio_frames += record.audio_frames
                self.bytes += record.bytes
                self.duration_ns = max(self.duration_ns, record.pts_ns + record.duration_ns)
            case records.Gap():
                self.gaps += 1
            case records.Close():
                self.ended = True


@dataclass(slots=True)
class Listed(Totals):
    """The same, and the files that are named."""

    files: set[str] = field(default_factory=set)

    def take(self, record: records.Record | Unknown) -> None:
        Totals.take(self, record)
        match record:
            case records.Segment(file=file):
                self.files.add(file)
            case records.Mark(sealed=records.Sealed(file=file)) | records.Officer(sealed=records.Sealed(file=file)):
                self.files.add(file)
