"""Media index of a recording: its segments and what lies between them, with the init segments they need. Pure."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from bwvd.evidence.format import records
from bwvd.evidence.format.decode import Unknown


@dataclass(slots=True)
class MediaIndex:
    """A fold over the records of a manifest; nothing before the `open` record counts, nor a second one."""

    open: records.Open | None = None
    inits: list[bytes] = field(default_factory=list)  # by epoch, from 1
    tracks: list[list[records.TrackInfo]] = field(default_factory=list)  # likewise
    segments: list[records.Segment] = field(default_factory=list)  # those whose epoch there is
    gaps: list[records.Gap] = field(default_factory=list)
    marks: list[records.Mark] = field(default_factory=list)
    audio: list[records.Audio] = field(default_factory=list)  # it went on or off
    entries: list[records.Segment | records.Gap | records.Mark] = field(default_factory=list)  # all, in order

    def take(self, record: records.Record | Unknown) -> None:
        """The next record."""
        match record:
            case records.Open() if self.open is None:
                self.open = record
                self._begin_epoch(record)
            case _ if self.open is None:
                return
            case records.Init():
                self._begin_epoch(record)
            case records.Segment() if 1 <= record.epoch <= len(self.inits):
                self.segments.append(record)
                self.entries.append(record)
            case records.Gap():
                self.gaps.append(record)
                self.entries.append(record)
            case records.Mark():
                self.marks.append(record)
                self.entries.append(record)
            case records.Audio():
                self.audio.append(record)

    def _begin_epoch(self, record: records.Open | records.Init) -> None:
        self.inits.append(base64.b64decode(record.init))
        self.tracks.append(record.tracks)
