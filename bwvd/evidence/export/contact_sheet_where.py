"""Where a recording was, for its contact sheet: the drawing, its three places in figures, and what is not known."""

from __future__ import annotations

from bwvd.evidence.export.contact_sheet_page import Where
from bwvd.evidence.export.track import Track, coordinates
from bwvd.evidence.export.track_drawing import draw, svg
from bwvd.text import counted

NAMES = {"start": "Start", "press": "Press", "end": "End"}
WORDS = {**NAMES, "north": "N", "title": "Drawing of where the camera was, north up"}


def where(track: Track, from_ns: int, to_ns: int) -> Where | None:
    """A stretch of media time; None where the recording holds no position in it."""
    shown = Where()
    if track.sealed:
        shown.notes.append(f"{counted(track.sealed, 'sealed position')}, opened by none of the identities.")
    drawing = draw(track, from_ns, to_ns)
    if drawing is not None:
        shown.drawing = svg(drawing, WORDS)
        shown.rows = [(NAMES[name], point.fix.stamp.utc, coordinates(point.fix)) for name, point in drawing.marks]
        lost = f", lost {counted(len(drawing.losses), 'time')}: nothing is drawn between" if drawing.losses else ""
        shown.notes.insert(0, f"{counted(drawing.fixes, 'position')}{lost}.")
    return shown if shown.drawing or shown.notes else None
