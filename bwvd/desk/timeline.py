"""Timeline of a recording: what its records say, each on the axis on which a person plays it. Pure.

The axis begins with the first frame and ends with the last moment that a segment or a gap names. It is covered by spans
without a hole or an overlap: each is one segment, or a stretch for which there is nothing to play. What is played, what
is drawn and what is exported all go by these spans.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from bwvd.clock import NS
from bwvd.evidence.export.private_text import PrivateText, Reader, unopened
from bwvd.evidence.format import records
from bwvd.evidence.format.decode import MAX_LINE, Unknown, decode, signature_of
from bwvd.evidence.format.line_reader import LineReader, Readable
from bwvd.evidence.format.media_index import MediaIndex
from bwvd.evidence.format.utc import parse_utc
from bwvd.media.audio_line import HOLE_NS

LONGEST_NS = 31 * 86_400 * NS  # a record that lies may say any time; nothing is drawn or played beyond
CLOCK_NS = 2_000_000  # segments whose times of day differ by less from the one before follow the same clock

NO_VIDEO = "no_video"  # why there is nothing to play: the segment holds audio alone
NOTHING = "nothing"  # no segment is there
NO_FILE = "no_file"  # its file is gone
WITHHELD = "withheld"  # an excerpt declares that it was left out


class Line(NamedTuple):
    """A record that a signature's line follows. Nobody has checked that signature."""

    number: int  # of the record's line, from 1
    offset: int  # of its first byte
    record: records.Record | Unknown


def signed_lines(file: Readable) -> Iterator[Line]:
    """The records of a manifest that have a signature's line behind them. Raises: OSError."""
    lines = LineReader(file, MAX_LINE)
    before, number, offset = b"", 0, 0
    while line := lines.next():
        if before and signature_of(line) is not None:
            record = decode(before)
            if not isinstance(record, str):
                yield Line(number, offset - len(before), record)
        before = line
        number += 1
        offset += len(line)


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the axis. Media time, in nanoseconds."""

    begin_ns: int
    end_ns: int
    record: records.Segment | None = None
    why: str = ""  # there is nothing to see of it; "" where there is

    @property
    def number(self) -> int:
        """The segment's; 0 where there is none."""
        return self.record.segment if self.record is not None else 0


@dataclass(frozen=True, slots=True)
class Reading:
    """The wall clock from a moment of the axis on, until the next reading."""

    at_ns: int
    utc_us: int | None  # microseconds since 1970; None: the stamp is no time
    quality: str
    uncertainty_us: int | None


@dataclass(frozen=True, slots=True)
class Lasting:
    """Something that began and may have ended."""

    name: str
    from_ns: int
    to_ns: int | None  # None: it went on to the end
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a record's line stands, and the media time that had been reached there."""

    line: int
    offset: int
    at_ns: int


@dataclass(slots=True)
class Timeline:
    """Everything that the records of one manifest say, on one axis."""

    index: MediaIndex = field(default_factory=MediaIndex)
    end: records.Close | records.Recovered | None = None
    spans: list[Span] = field(default_factory=list)
    misplaced: list[int] = field(default_factory=list)  # segments whose times fit nowhere
    clock: list[Reading] = field(default_factory=list)
    marks: list[tuple[records.Mark, PrivateText]] = field(default_factory=list)
    officers: list[tuple[records.Officer, PrivateText]] = field(default_factory=list)
    mutes: list[Lasting] = field(default_factory=list)  # audio off; the name is the reason
    faults: list[Lasting] = field(default_factory=list)
    steps: list[records.ClockStep] = field(default_factory=list)
    power: list[records.Power] = field(default_factory=list)
    states: list[records.State] = field(default_factory=list)
    epochs: list[records.Init] = field(default_factory=list)  # from the second on
    placed: list[Placed] = field(default_factory=list)  # one for each record, in order

    @property
    def open(self) -> records.Open | None:
        return self.index.open

    @property
    def first_ns(self) -> int:
        """Media time of the first frame, where the axis begins."""
        return self.spans[0].begin_ns if self.spans else 0

    @property
    def end_ns(self) -> int:
        """Media time at which the axis ends."""
        return self.spans[-1].end_ns if self.spans else 0

    @property
    def press_ns(self) -> int:
        opening = self.open
        return opening.press.stamp.mono_ns - opening.origin_mono_ns if opening is not None else 0

    def span_at(self, at_ns: int) -> Span | None:
        """The span that a moment lies in; None outside of the axis."""
        index = bisect_right(self.spans, at_ns, key=lambda span: span.begin_ns) - 1
        return self.spans[index] if index >= 0 and at_ns < self.spans[index].end_ns else None

    def span_of(self, segment: int) -> Span | None:
        """The span of a segment, by its number."""
        return next((span for span in self.spans if span.number == segment), None)

    def reading_at(self, at_ns: int) -> Reading | None:
        """The wall clock's reading that counts at a moment."""
        index = bisect_right(self.clock, at_ns, key=lambda reading: reading.at_ns) - 1
        return self.clock[max(index, 0)] if self.clock else None

    def utc_us_at(self, at_ns: int) -> int | None:
        """Microseconds since 1970 at a moment, by the reading that counts there."""
        reading = self.reading_at(at_ns)
        if reading is None or reading.utc_us is None:
            return None
        return reading.utc_us + (at_ns - reading.at_ns) // 1000

    def gaps(self) -> list[records.Gap]:
        """The gap records that name a stretch of time."""
        return [gap for gap in self.index.gaps if gap.to_ns > gap.from_ns]

    def lacking(self, why: Callable[[records.Segment], str]) -> Timeline:
        """The same, with what is not to be played for a reason that no record says: `why` gives it, or ""."""
        spans = [
            replace(span, why=reason) if span.record is not None and (reason := why(span.record)) else span
            for span in self.spans
        ]
        return replace(self, spans=spans)


def timeline(lines: Iterable[Line], read: Reader = unopened) -> Timeline:
    """The timeline of the records of one manifest. `read` gives the private texts."""
    made = Timeline()
    reached_ns = 0
    switches: list[records.Audio] = []
    faults: list[records.Fault] = []
    for line in lines:
        record = line.record
        made.index.take(record)
        made.placed.append(Placed(line.number, line.offset, reached_ns))
        match record:
            case records.Segment():
                reached_ns = max(reached_ns, min(record.pts_ns + record.duration_ns, LONGEST_NS))
            case records.Mark():
                made.marks.append((record, read(record)))
            case records.Officer():
                made.officers.append((record, read(record)))
            case records.Audio():
                switches.append(record)
            case records.Fault():
                faults.append(record)
            case records.ClockStep():
                made.steps.append(record)
            case records.Power():
                made.power.append(record)
            case records.State():
                made.states.append(record)
            case records.Init():
                made.epochs.append(record)
            case records.Close() | records.Recovered():
                made.end = record
            case _:
                pass
    made.spans, made.misplaced = _spans(made.index)
    made.clock = list(_readings(made.index.segments))
    made.mutes = [*_before_press(made, switches), *_mutes(switches, made.end_ns)]
    made.faults = _faults(faults)
    return made


def without_files(names: Collection[str], withheld: Callable[[int], bool]) -> Callable[[records.Segment], str]:
    """For `Timeline.lacking`: what is not among the names of the folder. `withheld`: by number, by an excerpt."""

    def why(segment: records.Segment) -> str:
        if withheld(segment.segment):
            return WITHHELD
        return "" if segment.file in names else NO_FILE

    return why


# --- parts of it -----------------------------------------------------------------------------------------------------


def _spans(index: MediaIndex) -> tuple[list[Span], list[int]]:
    """What covers the axis, and the segments that have no place on it."""
    spans: list[Span] = []
    misplaced: list[int] = []
    for segment in index.segments:
        begin, end = segment.pts_ns, segment.pts_ns + segment.duration_ns
        behind = spans[-1].begin_ns if spans else -1
        if segment.duration_ns <= 0 or begin <= behind or not 0 <= begin < end <= LONGEST_NS:
            misplaced.append(segment.segment)
            continue
        if spans:
            last = spans[-1]
            if begin - last.end_ns >= HOLE_NS:
                spans.append(Span(last.end_ns, begin, why=NOTHING))
            elif begin != last.end_ns:
                spans[-1] = Span(last.begin_ns, begin, last.record, last.why)  # `replace` takes three times as long
        spans.append(Span(begin, end, segment, "" if segment.frames > 0 else NO_VIDEO))
    if spans:
        behind_ns = max((min(gap.to_ns, LONGEST_NS) for gap in index.gaps), default=0)
        if behind_ns - spans[-1].end_ns >= HOLE_NS:
            spans.append(Span(spans[-1].end_ns, behind_ns, why=NOTHING))
    return spans, misplaced


def _readings(segments: Iterable[records.Segment]) -> Iterator[Reading]:
    """The clock by the stamp of each segment, where it is not what the one before says already."""
    last: Reading | None = None
    for segment in segments:
        stamp = segment.stamp
        moment = parse_utc(stamp.utc)
        utc_us = None if moment is None else round(moment.timestamp() * 1_000_000)
        reading = Reading(segment.pts_ns, utc_us, stamp.quality, stamp.uncertainty_us)
        if last is None or (last.at_ns < reading.at_ns and _differs(last, reading)):
            yield reading
            last = reading


def _differs(last: Reading, reading: Reading) -> bool:
    if (last.quality, last.uncertainty_us) != (reading.quality, reading.uncertainty_us):
        return True
    if last.utc_us is None or reading.utc_us is None:
        return last.utc_us != reading.utc_us
    return abs((reading.utc_us - last.utc_us) * 1000 - (reading.at_ns - last.at_ns)) > CLOCK_NS


def _before_press(made: Timeline, switches: list[records.Audio]) -> list[Lasting]:
    """What was kept from before the press without audio, where no record switches it off."""
    opening = made.open
    until_ns = min(made.press_ns, made.end_ns)
    told = any(record.at_ns <= made.first_ns for record in switches)
    if opening is None or opening.pre_event.audio or told or until_ns <= made.first_ns:
        return []
    return [Lasting("pre-event", made.first_ns, until_ns)]


def _mutes(switches: list[records.Audio], end_ns: int) -> list[Lasting]:
    found: list[Lasting] = []
    behind: list[int | None] = [*(record.at_ns for record in switches[1:]), None]
    for record, to_ns in zip(switches, behind, strict=False):
        if record.on:
            continue
        until = end_ns if to_ns is None else to_ns
        if found and found[-1].to_ns == record.at_ns and found[-1].name == record.reason:
            found[-1] = replace(found[-1], to_ns=until)
        elif until > record.at_ns:
            found.append(Lasting(record.reason, record.at_ns, until))
    return found


def _faults(faults: list[records.Fault]) -> list[Lasting]:
    found: list[Lasting] = []
    going: dict[str, int] = {}  # by name: which of `found`
    for record in faults:
        if record.active and record.name not in going:
            going[record.name] = len(found)
            found.append(Lasting(record.name, record.at_ns, None, record.detail))
        elif not record.active and record.name in going:
            place = going.pop(record.name)
            found[place] = replace(found[place], to_ns=max(record.at_ns, found[place].from_ns))
    return found
