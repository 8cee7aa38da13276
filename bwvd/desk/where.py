"""Where a recording was, for its page: the drawing of its track, and the places that a play position goes by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bwvd.desk.timeline import Timeline
from bwvd.evidence.export.track import Track, coordinates
from bwvd.evidence.export.track_drawing import MARKS, Point, draw, svg
from bwvd.text import printable


def where(track: Track, line: Timeline, words: Mapping[str, str]) -> dict[str, Any]:
    """As JSON: times are microseconds since the first frame, places are pixels of the drawing.

    words: as `svg` takes them. `drawing` "" = no position can be read; `sealed`: so many that no identity opens.
    """
    found: dict[str, Any] = {"drawing": "", "sealed": track.sealed, "fixes": 0, "runs": [], "losses": [], "marks": []}
    drawing = draw(track, line.first_ns, line.end_ns)
    if drawing is None:
        return found

    def us(at_ns: int) -> int:
        return (at_ns - line.first_ns + 500) // 1000

    def place(point: Point) -> list[Any]:
        return [us(point.at_ns), point.x, point.y, coordinates(point.fix), printable(point.fix.stamp.utc)]

    found["drawing"] = svg(drawing, words)
    found["fixes"] = drawing.fixes
    found["runs"] = [[place(point) for point in run] for run in drawing.runs]
    found["losses"] = [us(at_ns) for at_ns in drawing.losses]
    found["marks"] = [[mark.name, *place(mark.point)] for mark in drawing.marks]
    return found


def words_of(t: Callable[[str], str]) -> dict[str, str]:
    """What the drawing says, in the language of the page."""
    return {name: t(f"recording.where_{name}") for name in (*MARKS, "north", "title")}
