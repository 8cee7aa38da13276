"""Placing of a verification's findings on the timeline: which stretch each one is about. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

from bwvd.desk.timeline import Timeline
from bwvd.evidence.format.layout import MANIFEST, sealed_number
from bwvd.evidence.verify.report import Finding, Severity

_SEGMENT = re.compile(r"([0-9]{6,12})\.m4s(?:\.age)?(?![A-Za-z0-9._-])")
_LINE = re.compile(re.escape(MANIFEST) + r" line ([0-9]{1,12})\b")
_BYTE = re.compile(re.escape(MANIFEST) + r" byte ([0-9]{1,15})\b")
_SEALED = re.compile(r"(sealed-[0-9]{6,12}\.json\.age)\b")


@dataclass(frozen=True, slots=True)
class PlacedFinding:
    """A finding, and what of the axis it is about. Media time; None where it is about the whole."""

    finding: Finding
    span: tuple[int, int] | None


def placed(findings: list[Finding], line: Timeline) -> list[PlacedFinding]:
    """Each with its place, in their order."""
    return [PlacedFinding(finding, _place(finding, line)) for finding in findings]


def _place(finding: Finding, line: Timeline) -> tuple[int, int] | None:
    if finding.severity is Severity.UNVOUCHED:
        return None  # of the key, and so of everything
    if found := _SEGMENT.match(finding.where):
        number = int(found[1])
        span = line.span_of(number)
        if span is not None:
            return span.begin_ns, span.end_ns
        if line.index.segments and number > max(segment.segment for segment in line.index.segments):
            return line.end_ns, line.end_ns  # a file behind the last one that the manifest names
        return None
    if found := _SEALED.match(finding.where):
        wanted = sealed_number(found[1])
        for mark, _ in line.marks:
            if mark.sealed is not None and sealed_number(mark.sealed.file) == wanted:
                return mark.at_ns, mark.at_ns
        return None
    places = line.placed
    if found := _LINE.match(finding.where):
        index = bisect_right(places, int(found[1]), key=lambda place: place.line) - 1
    elif found := _BYTE.match(finding.where):
        index = bisect_right(places, int(found[1]), key=lambda place: place.offset) - 1
    else:
        return None
    if not places or index <= 0:
        return None  # of the record that opens it, and so of everything
    at_ns = min(max(places[index].at_ns, line.first_ns), line.end_ns)
    # From a line of the manifest on that is not what was signed, nothing behind it is proved.
    return (at_ns, line.end_ns) if finding.severity is Severity.ALTERED else (at_ns, at_ns)
