"""A contact sheet: one page (HTML) that shows on one look what a recording holds, when, and what is missing.

It is made from the verified recording and says in its head what the verdict was. A copy for viewing, like an export.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bwvd import __version__
from bwvd.clock import NS
from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.export.catalogue import signed_in
from bwvd.evidence.export.contact_sheet_page import Cell, Page, Row, render
from bwvd.evidence.export.contact_sheet_plan import Hole, Moment, Plan, plan
from bwvd.evidence.export.contact_sheet_where import where
from bwvd.evidence.export.media_index import Outline, SegmentUnusable, Span, read_outline
from bwvd.evidence.export.mp4 import admit, require_key, standing
from bwvd.evidence.export.narrative import Narrative, narrative, pre_event_text, press_text, track_text
from bwvd.evidence.export.private_text import PrivateText
from bwvd.evidence.export.sealed_text import reader
from bwvd.evidence.export.thumbnails import Thumbnail, thumbnails
from bwvd.evidence.export.track import Track
from bwvd.evidence.flash.whole_file import new_files
from bwvd.evidence.format.layout import MANIFEST
from bwvd.evidence.format.moment import clock_text
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.decode import NotDecodable
from bwvd.evidence.verify.files import Progress
from bwvd.evidence.verify.folder import Where
from bwvd.evidence.verify.recording import verify_recording
from bwvd.evidence.verify.report import Report
from bwvd.text import counted

BOX = 400, 225  # pixels of the largest thumbnail: three beside each other on A4 have 170 a 25.4 mm
ROWS_MOST = 200  # things that happened
PROBLEMS_MOST = 20
OFFICERS_MOST = 20

_PAGE_FORMATS = (".html", ".htm")


@dataclass(frozen=True, slots=True)
class Sheet:
    """What was written, and of what."""

    path: str
    pictures: int
    report: Report
    notes: list[str] = field(default_factory=list)


def export_sheet(
    folder: Where,
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

    A segment that can't be read, is not what was recorded or does not decode is shown as such. The same recording with
    the same verdict gives the same bytes; the number of pictures and of texts has a bound, however long it is.

    Args:
        identities: to open sealed segments with.
        from_s, to_s: seconds since the first frame; None = from the beginning, to the end.
        force: make one also of what does not verify.
        report: of a verification that was just made; None = the recording is verified first.
        progress: counts the bytes that are read for verifying.

    Raises: ExportRefused, naming why; then no file is left behind and none has been changed.
    """
    require_page(Path(out))
    notes: list[str] = []
    if report is None:
        report = verify_recording(folder, signers, progress=progress)
        # What is wrong with its files a sheet shows by itself.
        notes += standing(report) if report.verdict in ("unvouched", "not_closed") else []
    admit(report, force=force)
    require_key(report, identities)
    try:
        with read_outline(folder, signed_only=not force) as outline, new_files([Path(out)]) as (temporary,):
            begin_ns, end_ns = _stretch(outline, from_s, to_s)
            read = reader(outline.folder, identities)
            with outline.folder.open(MANIFEST) as file:
                track = Track(identities)
                told = narrative(track.seen(signed_in(file)), read)
            planned = plan(outline, begin_ns, end_ns, [read(mark) for mark in outline.marks])
            page = _page(report, outline, told, begin_ns, end_ns)
            page.cells = _cells(planned, outline, told, identities, notes)
            page.where = where(track, begin_ns, end_ns)
            _tell_what_is_left_out(page, planned, told)
            temporary.write_bytes(render(page))
    except SegmentUnusable as error:
        raise ExportRefused(str(error)) from None
    return Sheet(str(out), sum(bool(cell.jpeg) for cell in page.cells), report, notes)


def require_page(out: Path) -> None:
    """Raises: ExportRefused for any other name, as a picture's: nothing here can draw labels in every script."""
    if out.suffix.lower() not in _PAGE_FORMATS:
        raise ExportRefused(f"{out}: a contact sheet is a page: name it FILE.html; any browser shows and prints it")


def _stretch(outline: Outline, from_s: float | None, to_s: float | None) -> tuple[int, int]:
    if not outline.spans:
        raise ExportRefused(f"{outline.open.recording} has no segment to show")
    first, last = outline.first_ns, max(span.end_ns for span in outline.spans)
    begin = first if from_s is None else first + round(from_s * NS)
    end = last if to_s is None else min(last, first + round(to_s * NS))
    if not max(begin, first) < end:
        raise ExportRefused(f"{outline.open.recording} is {outline.length_s:.3f} s long; nothing of that was asked for")
    return max(begin, first), end


# --- the head, and what happened -------------------------------------------------------------------------------------


def _page(report: Report, outline: Outline, told: Narrative, begin_ns: int, end_ns: int) -> Page:
    opening = outline.open
    verdict, _, behind = report.standing.partition(":")
    page = Page(title=opening.recording, good=report.good, verdict=verdict, standing=behind.strip())
    if report.signer is not None and not behind:
        name = f"vouched for as {report.signer.name}" if report.signer.trusted else "for which nobody vouches"
        page.standing = f"signed by the key {report.signer.signed_by}, {name}"
    causes = [finding for finding in report.findings if not finding.follows]
    if report.verdict != "unvouched":  # its one finding is the verdict's own text
        page.problems = [f"{finding.where}: {finding.what}" for finding in causes[:PROBLEMS_MOST]]
    if (more := len(report.findings) - PROBLEMS_MOST) > 0:
        page.problems.append(f"and {more} more")
    page.facts = [
        ("Device", [f"{opening.device}, recording number {opening.serial}"]),
        ("Officer", told.officers[:OFFICERS_MOST] or ["not named"]),
        ("First frame", [report.started_utc or "time unknown"]),
        ("Press", [press_text(opening.press)]),
        ("Before the press", [pre_event_text(opening.pre_event)]),
        (
            "Length",
            [f"{clock_text(told.length_ns)}, {counted(report.segments, 'segment')}, {counted(report.frames, 'frame')}"],
        ),
        ("Missing", [_missing(report)]),
        ("Recorded as", ["; ".join(track_text(track) for track in opening.tracks)]),
        ("Stored", ["encrypted" if opening.recipients else "in the clear"]),
    ]
    last_ns = max(span.end_ns for span in outline.spans)
    if (begin_ns, end_ns) != (outline.first_ns, last_ns):
        page.facts.append(("Shown here", [f"{told.offset(begin_ns)} to {told.offset(end_ns)}"]))
    if report.end:
        page.facts.append(("End", [_words(report.end)]))
    page.digest = outline.manifest_sha512
    page.rows = [
        Row(told.offset(one.at_ns), one.utc, one.what, one.quoted)
        for one in told.happenings
        # What was noted before the first frame and behind the last one belongs to the beginning and to the end.
        if (one.at_ns >= begin_ns or begin_ns == outline.first_ns) and (one.at_ns < end_ns or end_ns == last_ns)
    ]
    page.made_by = f"Made by bwvd {__version__}."
    return page


def _missing(report: Report) -> str:
    parts = []
    if report.gaps:
        parts.append(
            f"{report.missing_video_s:.3f} s of video and {report.missing_audio_s:.3f} s of audio "
            f"in {counted(report.gaps, 'gap')}"
        )
    if report.missing_pre_event_s:
        parts.append(f"{report.missing_pre_event_s:.3f} s before the press")
    return ", ".join(parts) or "nothing, by its own records"


def _tell_what_is_left_out(page: Page, planned: Plan, told: Narrative) -> None:
    more_rows = max(0, len(page.rows) - ROWS_MOST)
    page.rows = page.rows[:ROWS_MOST]
    left = [
        (planned.marks_left_out, "markers without their picture"),
        (planned.gaps_left_out, "gaps in the grid"),
        (more_rows, "things that happened"),
        (max(0, len(told.officers) - OFFICERS_MOST), "officers"),
    ]
    said = ", ".join(f"{count} more {what}" for count, what in left if count)
    page.left_out = f"Not shown here: {said}." if said else ""


def _words(text: str) -> str:
    return text.replace("_", " ")


# --- cells -----------------------------------------------------------------------------------------------------------


def _cells(planned: Plan, outline: Outline, told: Narrative, identities: Sequence[Any], notes: list[str]) -> list[Cell]:
    """Read each segment that is needed once, in order."""
    by_span: dict[int, list[int]] = {}
    for moment in planned.cells:
        if isinstance(moment, Moment):
            by_span.setdefault(id(moment.span), []).append(moment.at_ns)
    shown: dict[int, dict[int, Thumbnail] | str] = {}
    cells: list[Cell] = []
    at: dict[tuple[int, int], Cell] = {}  # by segment and picture
    for item in planned.cells:
        if isinstance(item, Hole):
            cells.append(_hole(item, outline, told))
            continue
        key = id(item.span)
        if key not in shown:
            shown[key] = _pictures(outline, item.span, by_span[key], identities, notes)
        pictures = shown[key]
        picture = pictures if isinstance(pictures, str) else pictures.get(item.at_ns, "does not decode")
        labels: list[PrivateText | None] = [note.label for note in item.notes]
        if isinstance(picture, Thumbnail) and (same := at.get((key, picture.pts_ns))) is not None:
            same.notes += labels  # the picture of two moments is shown once
            continue
        cell = _moment(item, picture, outline, told)
        cell.notes = labels
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
            what = f"{span.record.file}: {what}"
        notes.append(f"no picture: {what}")
        return what


def _moment(moment: Moment, picture: Thumbnail | str, outline: Outline, told: Narrative) -> Cell:
    at_ns = picture.pts_ns if isinstance(picture, Thumbnail) else moment.at_ns
    cell = Cell(moment.span.utc_at(at_ns), told.offset(at_ns), _since(at_ns, outline))
    cell.not_set = moment.span.record.stamp.quality == "not_set"
    cell.muted = any(from_ns <= at_ns < to_ns for from_ns, to_ns in told.muted)
    if isinstance(picture, Thumbnail):
        cell.jpeg, cell.width, cell.height = picture.jpeg, picture.width, picture.height
    else:
        cell.instead, cell.broken = picture, True
    return cell


def _hole(hole: Hole, outline: Outline, told: Narrative) -> Cell:
    before = [span for span in outline.spans if span.begin_ns <= hole.at_ns]
    utc = before[-1].utc_at(hole.at_ns) if before else ""
    what = {"both": "no video, no audio", "audio": "no audio"}.get(hole.track, "no video")
    text = f"Gap of {(hole.to_ns - hole.at_ns) / NS:.3f} s: {what} ({_words(hole.cause)})"
    return Cell(utc, told.offset(hole.at_ns), _since(hole.at_ns, outline), instead=text)


def _since(at_ns: int, outline: Outline) -> str:
    """Seconds before or behind the press: `-17.655 s`."""
    press_ns = outline.open.press.stamp.mono_ns - outline.open.origin_mono_ns
    return f"{(at_ns - press_ns) / NS:+.3f} s"
