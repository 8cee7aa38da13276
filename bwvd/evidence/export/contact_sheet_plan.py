"""Plan of a contact sheet: moments at even distances, the press, the markers and the gaps. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from bwvd.clock import NS
from bwvd.evidence.export.media_index import Outline, Span
from bwvd.evidence.export.private_text import PrivateText

EVEN_MOST = 24  # pictures at even distances
EVEN_LEAST_NS = NS  # between two of them
MARKS_MOST = 24
GAPS_MOST = 12


@dataclass(frozen=True, slots=True)
class Note:
    """Why a moment is shown, if not for its even distance."""

    label: PrivateText | None = None  # a marker's; None for the press


@dataclass(slots=True)
class Moment:
    """A picture to show. Times are media time, in nanoseconds."""

    at_ns: int
    span: Span
    notes: list[Note] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Hole:
    """A gap to show."""

    at_ns: int
    to_ns: int
    track: str
    cause: str


@dataclass(slots=True)
class Plan:
    """In the order of time."""

    cells: list[Moment | Hole]
    marks_left_out: int
    gaps_left_out: int


def plan(outline: Outline, begin_ns: int, end_ns: int, labels: Sequence[PrivateText]) -> Plan:
    """Choose what to show between two moments.

    Args:
        labels: of the outline's markers, in their order.
    """
    spans = sorted((span for span in outline.spans if span.record.frames), key=lambda span: span.begin_ns)
    moments: dict[int, Moment] = {}

    def show(at_ns: int, *notes: Note) -> None:
        span = _span_at(spans, at_ns)
        if span is not None:
            moments.setdefault(at_ns, Moment(at_ns, span)).notes.extend(notes)

    length_ns = max(end_ns - begin_ns, 1)
    count = min(EVEN_MOST, max(1, length_ns // EVEN_LEAST_NS))
    for index in range(count):
        show(begin_ns + index * length_ns // count)
    press_ns = outline.open.press.stamp.mono_ns - outline.open.origin_mono_ns
    if begin_ns <= press_ns < end_ns:
        show(press_ns, Note())
    marks = [
        (mark.at_ns, Note(label))
        for mark, label in zip(outline.marks, labels, strict=True)
        if begin_ns <= mark.at_ns < end_ns
    ]
    for at_ns, note in marks[:MARKS_MOST]:
        show(at_ns, note)
    holes = [
        Hole(gap.from_ns, gap.to_ns, gap.track, gap.cause)
        for gap in outline.gaps
        if gap.to_ns > begin_ns and gap.from_ns < end_ns
    ]
    cells: list[Moment | Hole] = [*moments.values(), *holes[:GAPS_MOST]]
    cells.sort(key=lambda cell: cell.at_ns)
    return Plan(cells, max(0, len(marks) - MARKS_MOST), max(0, len(holes) - GAPS_MOST))


def _span_at(spans: Sequence[Span], at_ns: int) -> Span | None:
    """The one of the ascending spans in which a moment lies."""
    index = bisect_right(spans, at_ns, key=lambda span: span.begin_ns) - 1
    return spans[index] if index >= 0 and at_ns < spans[index].end_ns else None
