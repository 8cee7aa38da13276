"""A contact sheet: one picture (PNG) that shows on one look what a recording holds, when, and what is missing.

It is made from the verified recording and says in its head what the verdict was. A copy for viewing, like an export.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bwvd.clock import NS
from bwvd.evidence.errors import ExportRefused, IdentityUnusable
from bwvd.evidence.export.canvas import BLACK, WHITE, Canvas, Colour, text_height, wrapped
from bwvd.evidence.export.contact_sheet_plan import PRESS, Hole, Moment, Plan, plan
from bwvd.evidence.export.media_index import Outline, SegmentUnusable, Span, read_outline
from bwvd.evidence.export.mp4 import admit, require_key, standing
from bwvd.evidence.export.thumbnails import Thumbnail, thumbnails
from bwvd.evidence.flash.whole_file import claimed, put_in_place
from bwvd.evidence.format import records
from bwvd.evidence.keys.age import open_sealed
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.decode import NotDecodable
from bwvd.evidence.verify.files import SEGMENT_BYTES, Progress
from bwvd.evidence.verify.folder import read_file
from bwvd.evidence.verify.recording import verify_recording
from bwvd.evidence.verify.report import Report
from bwvd.text import printable

COLUMNS = 4
BOX = 320, 180  # pixels of the largest thumbnail
SPACE = 10  # between cells, and around them
FRAME = 4  # around a picture that is more than one of many
SCALE = 2  # pixels a dot of the text
NOTE_LINES = 2
HEAD_SCALE = 3
TEXT_LINE = text_height(SCALE) + 4
CELL = BOX[0] + 2 * FRAME, BOX[1] + 2 * FRAME + (2 + NOTE_LINES) * TEXT_LINE
WIDTH = COLUMNS * (CELL[0] + SPACE) + SPACE
CHARACTERS = BOX[0] // (6 * SCALE)  # on a line below a picture

_BACK: Colour = (24, 24, 24)
_GREY: Colour = (150, 150, 150)
_HOLE: Colour = (56, 56, 56)
_RED: Colour = (225, 60, 50)
_AMBER: Colour = (240, 170, 40)
_BROKEN: Colour = (96, 24, 20)
_GREEN: Colour = (90, 200, 110)


@dataclass(frozen=True, slots=True)
class Sheet:
    """What was written, and of what."""

    path: str
    pictures: int
    report: Report
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Cell:
    """One field of the grid, ready to be drawn."""

    utc: str
    offset: str
    notes: list[str]
    warning: str = ""
    picture: Thumbnail | None = None
    instead: str = ""  # shown where there is no picture
    colour: Colour = _HOLE  # behind that text
    border: Colour = _BACK


def export_sheet(
    folder: str | Path,
    out: str | Path,
    identities: Sequence[Any] = (),
    *,
    from_s: float | None = None,
    to_s: float | None = None,
    signers: AllowedSigners | None = None,
    force: bool = False,
    report: Report | None = None,
    progress: Progress | None = None,
) -> Sheet:
    """Write a contact sheet of the recording in `folder` to `out`. Blocking.

    A segment that can't be read, is not what was recorded or does not decode is shown as such.

    Args:
        identities: to open sealed segments with.
        from_s, to_s: seconds since the first frame; None = from the beginning, to the end.
        force: make one also of what does not verify.
        report: of a verification that was just made; None = the recording is verified first.
        progress: counts the bytes that are read for verifying.

    Raises: ExportRefused, naming why; then no file is left behind and none has been changed.
    """
    notes: list[str] = []
    if report is None:
        report = verify_recording(folder, signers, progress=progress)
        notes += standing(report) if report.verdict == "unvouched" else []  # a sheet shows the rest by itself
    admit(report, force=force)
    require_key(report, identities)
    try:
        with read_outline(folder, signed_only=not force) as outline, claimed([Path(out)]) as temporary:
            begin_ns, end_ns = _stretch(outline, from_s, to_s)
            planned = plan(outline, begin_ns, end_ns, [_label(outline, mark, identities) for mark in outline.marks])
            cells = _cells(planned, outline, identities, notes)
            canvas = _drawn(_head(report, outline, planned, begin_ns, end_ns), cells, good=report.good)
            temporary.write_bytes(canvas.png())
            temporary.chmod(0o640)
            put_in_place(temporary, Path(out))
    except SegmentUnusable as error:
        raise ExportRefused(str(error)) from None
    return Sheet(str(out), sum(cell.picture is not None for cell in cells), report, notes)


def _stretch(outline: Outline, from_s: float | None, to_s: float | None) -> tuple[int, int]:
    if not outline.spans:
        raise ExportRefused(f"{outline.open.recording} has no segment to show")
    first, last = outline.first_ns, max(span.end_ns for span in outline.spans)
    begin = first if from_s is None else first + round(from_s * NS)
    end = last if to_s is None else min(last, first + round(to_s * NS))
    if not max(begin, first) < end:
        raise ExportRefused(f"{outline.open.recording} is {outline.length_s:.3f} s long; nothing of that was asked for")
    return max(begin, first), end


def _label(outline: Outline, mark: records.Mark, identities: Sequence[Any]) -> str:
    """A marker's text; where it is sealed, by the identities."""
    if mark.sealed is None:
        return printable(mark.label)
    try:
        data = read_file(outline.folder, mark.sealed.file, SEGMENT_BYTES)
        if hashlib.sha256(data).hexdigest() != mark.sealed.sha256:
            return "(ITS TEXT IS NOT WHAT WAS RECORDED)"
        return printable(str(json.loads(open_sealed(data, identities)).get("label", "")))
    except (OSError, IdentityUnusable, ValueError, AttributeError):
        return "(ITS TEXT CAN'T BE READ)"


# --- cells -----------------------------------------------------------------------------------------------------------


def _cells(planned: Plan, outline: Outline, identities: Sequence[Any], notes: list[str]) -> list[_Cell]:
    """Read each segment that is needed once, in order."""
    by_span: dict[int, list[int]] = {}
    for moment in planned.cells:
        if isinstance(moment, Moment):
            by_span.setdefault(id(moment.span), []).append(moment.at_ns)
    shown: dict[int, dict[int, Thumbnail] | str] = {}
    cells: list[_Cell] = []
    at: dict[tuple[int, int], _Cell] = {}  # by segment and picture
    for item in planned.cells:
        if isinstance(item, Hole):
            cells.append(_hole(item, outline))
            continue
        key = id(item.span)
        if key not in shown:
            shown[key] = _pictures(outline, item.span, by_span[key], identities, notes)
        pictures = shown[key]
        picture = pictures if isinstance(pictures, str) else pictures.get(item.at_ns, "does not decode")
        if isinstance(picture, Thumbnail) and (same := at.get((key, picture.pts_ns))) is not None:
            same.notes += item.notes  # the picture of two moments is shown once
            same.border = _border(same.notes)
            continue
        cell = _moment(item, picture, outline)
        cells.append(cell)
        if isinstance(picture, Thumbnail):
            at[key, picture.pts_ns] = cell
    return cells


def _pictures(
    outline: Outline, span: Span, moments: Sequence[int], identities: Sequence[Any], notes: list[str]
) -> dict[int, Thumbnail] | str:
    """The pictures of one segment, or why there are none."""
    try:
        plain = outline.plain(span, identities)
        return thumbnails(outline.inits[span.record.epoch - 1], plain, moments, BOX)
    except (SegmentUnusable, NotDecodable) as error:
        what = str(error)
        if isinstance(error, NotDecodable):
            what = f"{printable(span.record.file)}: {what}"
        notes.append(f"no picture: {what}")
        return what


def _moment(moment: Moment, picture: Thumbnail | str, outline: Outline) -> _Cell:
    shown_ns = picture.pts_ns if isinstance(picture, Thumbnail) else moment.at_ns
    utc = moment.span.utc_at(shown_ns) or "TIME UNKNOWN"
    cell = _Cell(utc, _offset(shown_ns, outline), list(moment.notes))
    if moment.span.record.stamp.quality == "not_set":
        cell.warning = "TIME NOT SET"
    cell.border = _border(moment.notes)
    if isinstance(picture, Thumbnail):
        cell.picture = picture
    else:
        cell.instead, cell.colour = picture, _BROKEN
    return cell


def _hole(hole: Hole, outline: Outline) -> _Cell:
    before = [span for span in outline.spans if span.begin_ns <= hole.at_ns]
    utc = before[-1].utc_at(hole.at_ns) if before else ""
    what = {"both": "NO PICTURE, NO SOUND", "audio": "NO SOUND"}.get(hole.track, "NO PICTURE")
    text = f"GAP {(hole.to_ns - hole.at_ns) / NS:.3f} S: {what} {printable(hole.cause).replace('_', ' ')}"
    return _Cell(utc or "TIME UNKNOWN", _offset(hole.at_ns, outline), [], instead=text)


def _border(notes: Sequence[str]) -> Colour:
    if PRESS in notes:
        return _RED
    return _AMBER if any(note.startswith("MARKER") for note in notes) else _BACK


def _offset(at_ns: int, outline: Outline) -> str:
    """Since the first frame, and before or behind the press: `0:00:12.345 PRESS-17.655`."""
    press_s = (at_ns - (outline.open.press.stamp.mono_ns - outline.open.origin_mono_ns)) / NS
    return f"{_clock(at_ns - outline.first_ns)} PRESS{press_s:+.3f}"


def _clock(ns: int) -> str:
    sign, ms = ("-" if ns < 0 else ""), abs(ns) // 1_000_000
    return f"{sign}{ms // 3_600_000}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"


# --- drawing ---------------------------------------------------------------------------------------------------------


def _head(report: Report, outline: Outline, planned: Plan, begin_ns: int, end_ns: int) -> list[str]:
    """What stands above the pictures; the verdict first."""
    opening, length_ns = outline.open, round(outline.length_s * NS)
    signer = report.signer
    signed = "NOT SIGNED" if signer is None else f"SIGNER {'TRUSTED' if signer.trusted else 'NOT VOUCHED FOR'}"
    press = opening.press.stamp
    counts = f"{report.segments} SEGMENTS  {report.frames} FRAMES  {report.gaps} GAPS"
    shown = f"SHOWN {_clock(begin_ns - outline.first_ns)} TO {_clock(end_ns - outline.first_ns)}"
    clock = f"CLOCK {press.quality.replace('_', ' ')}"
    lines = [
        f"{report.verdict.replace('_', ' ')}  {signed}",
        f"DEVICE {opening.device}  SERIAL NUMBER {opening.serial}  {counts}",
        f"FROM {report.started_utc or 'TIME UNKNOWN'}  LENGTH {_clock(length_ns)}  {shown}",
        f"PRESS {press.utc} BY {opening.press.source}  {clock}  {opening.pre_event.got_s:.3f} S KEPT FROM BEFORE",
        f"MANIFEST SHA-512 {outline.manifest_sha512[:64]}",
        f"{'':17}{outline.manifest_sha512[64:]}",
    ]
    if planned.marks_left_out or planned.gaps_left_out:
        lines.append(f"NOT SHOWN: {planned.marks_left_out} MORE MARKERS, {planned.gaps_left_out} MORE GAPS")
    return [opening.recording, *lines]


def _drawn(head: Sequence[str], cells: Sequence[_Cell], *, good: bool) -> Canvas:
    title = text_height(HEAD_SCALE) + SPACE
    top = SPACE + title + (len(head) - 1) * TEXT_LINE + SPACE
    rows = (len(cells) + COLUMNS - 1) // COLUMNS
    canvas = Canvas(WIDTH, top + rows * (CELL[1] + SPACE), _BACK)
    canvas.text(SPACE, SPACE, printable(head[0]), HEAD_SCALE, WHITE, _BACK)
    for index, line in enumerate(head[1:]):
        colour = (_GREEN if good else _RED) if index == 0 else WHITE
        canvas.text(SPACE, SPACE + title + index * TEXT_LINE, printable(line), SCALE, colour, _BACK)
    for index, cell in enumerate(cells):
        left = SPACE + index % COLUMNS * (CELL[0] + SPACE)
        _draw_cell(canvas, left, top + index // COLUMNS * (CELL[1] + SPACE), cell)
    return canvas


def _draw_cell(canvas: Canvas, left: int, top: int, cell: _Cell) -> None:
    width, height = BOX
    canvas.fill(left, top, CELL[0], height + 2 * FRAME, cell.border)
    inner = left + FRAME, top + FRAME
    if cell.picture is not None:
        picture = cell.picture
        canvas.fill(*inner, width, height, BLACK)
        at = inner[0] + (width - picture.width) // 2, inner[1] + (height - picture.height) // 2
        canvas.picture(*at, picture.width, picture.height, picture.rgb)
    else:
        canvas.fill(*inner, width, height, cell.colour)
        for number, line in enumerate(wrapped(cell.instead, CHARACTERS - 1, height // TEXT_LINE - 1)):
            canvas.text(inner[0] + 6, inner[1] + 8 + number * TEXT_LINE, line, SCALE, WHITE, cell.colour)
    below = top + height + 2 * FRAME + 4
    notes = [cell.warning] if cell.warning else []
    notes += wrapped("; ".join(cell.notes), CHARACTERS, NOTE_LINES - len(notes))
    for number, (line, colour) in enumerate(
        [(cell.utc, WHITE), (cell.offset[:CHARACTERS], _GREY), *((note, _AMBER) for note in notes)]
    ):
        canvas.text(inner[0], below + number * TEXT_LINE, line, SCALE, colour, _BACK)
