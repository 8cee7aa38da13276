"""Page of a contact sheet: one HTML file that needs nothing else, runs nothing, and prints on A4. Pure.

What people and devices wrote may be in any script and may be hostile: it is text, never markup, each in a direction of
its own, and no character in it turns the writing around it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from html import escape

from bwvd import hashing
from bwvd.evidence.export.private_text import PrivateText

TEXT_CHARACTERS = 1000  # of one text; what is longer says how much longer
CAPTION_CHARACTERS = 160  # of a label below a picture; the table has all of it

# What no page may hold, and what turns the writing round beyond the element that it stands in.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")

_STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; padding: 1rem; max-width: 75rem; background: #fff; color: #111;
  font: 1rem/1.4 system-ui, "Noto Sans", "Liberation Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: 0 0 .5rem; }
h2 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; break-after: avoid; }
.verdict { margin: 0 0 1rem; padding: .5rem .8rem; border: .2rem solid; border-inline-start-width: 1rem; }
.verdict p, .verdict ul { margin: .2rem 0; }
.verdict strong { font-size: 1.2rem; }
.good { border-color: #17692b; }
.good strong { color: #17692b; }
.bad { border-color: #a8170c; }
.bad strong { color: #a8170c; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0; }
dt { color: #555; }
dd { margin: 0; min-width: 0; }
.digest, time, td.at { font-variant-numeric: tabular-nums; }
.digest { font: .8rem/1.3 ui-monospace, "Noto Sans Mono", monospace; }
.pictures { list-style: none; margin: 0; padding: 0; display: grid; gap: .8rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 13rem), 1fr)); }
.pictures li { min-width: 0; break-inside: avoid; }
figure { margin: 0; border-top: .3rem solid #bbb; }
.pressed figure { border-color: #a8170c; }
.marked figure { border-color: #b06a00; }
figure img, .instead { display: block; width: 100%; aspect-ratio: 16 / 9; box-sizing: border-box; }
figure img { object-fit: contain; background: #000; height: auto; }
.instead { padding: .5rem; overflow: hidden; background: #e4e4e4; border: 1px dashed #555; }
.broken { background: #f6dcda; border: 2px solid #a8170c; }
figcaption { font-size: .85rem; padding-top: .2rem; }
figcaption span { display: block; }
.since { color: #555; }
.note { font-weight: 600; }
.warning { color: #a8170c; font-weight: 600; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: start; vertical-align: top; padding: .2rem .6rem .2rem 0; border-bottom: 1px solid #ddd; }
tr { break-inside: avoid; }
td.at, td.utc { white-space: nowrap; }
.where { break-inside: avoid; }
.track { display: block; width: 100%; max-width: 40rem; height: auto; border: 1px solid #bbb; background: #fff; }
.track-line { fill: none; stroke: #1757a6; stroke-width: 2.5; stroke-linejoin: round; stroke-linecap: round; }
.track-end { fill: #1757a6; }
.track-start { fill: none; stroke: #17692b; stroke-width: 2.5; }
.track-press { fill: #a8170c; stroke: #fff; }
.track-stop { fill: #111; stroke: #fff; }
.track-scale { fill: none; stroke: #111; stroke-width: 1.5; }
.track-north { fill: #111; }
.track text { font-size: 14px; fill: #111; paint-order: stroke; stroke: #fff; stroke-width: 3px; }
.track .track-name { font-weight: 600; }
.where table { margin-top: .5rem; }
footer { margin-top: 1.5rem; font-size: .85rem; color: #555; }
@media (max-width: 40rem) {
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .4rem; }
  .pictures { grid-template-columns: 1fr 1fr; }
  .pictures .wide { grid-column: 1 / -1; }
  td.utc, th.utc { display: none; }
}
@page { size: A4; margin: 12mm; }
@media print {
  body { max-width: none; padding: 0; font-size: 9.5pt; }
  .pictures { grid-template-columns: repeat(3, 1fr); gap: 4mm; }
  .track { max-width: 120mm; }
  .verdict, .instead, figure, .track { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  thead { display: table-header-group; }
  td.utc, th.utc { display: table-cell; }
}
"""
_STYLE_HASH = base64.b64encode(hashing.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; img-src data:; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'"


@dataclass(slots=True)
class Cell:
    """One field of the grid: a picture, or what is said in its place."""

    utc: str  # "" = no time of day is known
    offset: str  # since the first frame
    since: str  # since the press
    notes: list[PrivateText | None] = field(default_factory=list)  # markers' labels; None for the press
    muted: bool = False
    not_set: bool = False  # the clock, when this was recorded
    jpeg: bytes = b""
    width: int = 0
    height: int = 0
    instead: str = ""  # where there is no picture
    broken: bool = False  # there should be one


@dataclass(slots=True)
class Row:
    """One thing that happened."""

    offset: str
    utc: str
    what: str
    quoted: PrivateText | None = None


@dataclass(slots=True)
class Where:
    """The track of a recording."""

    drawing: str = ""  # an SVG element; "" = there is no position that can be read
    rows: list[tuple[str, str, str]] = field(default_factory=list)  # which place, when (UTC), and where
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Page:
    """Everything that a sheet shows. Texts are as their authors wrote them."""

    title: str
    good: bool
    verdict: str
    standing: str  # behind the verdict
    problems: list[str] = field(default_factory=list)
    facts: list[tuple[str, Sequence[str | PrivateText]]] = field(default_factory=list)  # a name, and its values
    digest: str = ""  # of the manifest, SHA-512, hex
    cells: list[Cell] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    left_out: str = ""  # what is not shown for want of room; "" = nothing
    made_by: str = ""
    where: Where | None = None  # None = the recording holds no position


def render(page: Page) -> bytes:
    """The whole file. The same page gives the same bytes."""
    return "".join(f"{line}\n" for line in _lines(page)).encode()


def _lines(page: Page) -> Iterator[str]:
    yield "<!doctype html>"
    yield '<html lang="en">'
    yield "<head>"
    yield '<meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="referrer" content="no-referrer">'
    yield f"<title>Contact sheet of {_text(page.title)}</title>"
    yield f"<style>{_STYLE}</style>"
    yield "</head>"
    yield "<body>"
    yield "<header>"
    yield f"<h1>{_text(page.title)}</h1>"
    yield f'<div class="verdict {"good" if page.good else "bad"}">'
    yield f"<p><strong>{_text(page.verdict)}</strong> {_text(page.standing)}</p>"
    if page.problems:
        yield f"<ul>{''.join(f'<li>{_text(problem)}</li>' for problem in page.problems)}</ul>"
    yield "</div>"
    yield "<dl>"
    for name, values in page.facts:
        shown = ", ".join(_foreign(value) if isinstance(value, PrivateText) else _text(value) for value in values)
        yield f"<dt>{_text(name)}</dt><dd>{shown}</dd>"
    yield f'<dt>Manifest, SHA-512</dt><dd class="digest">{_text(page.digest)}</dd>'
    yield "</dl>"
    yield "</header>"
    yield "<main>"
    yield "<h2>Pictures</h2>"
    yield '<ol class="pictures" role="list">'
    for cell in page.cells:
        yield from _cell(cell)
    yield "</ol>"
    if page.left_out:
        yield f'<p class="warning">{_text(page.left_out)}</p>'
    if page.where is not None:
        yield from _where(page.where)
    yield "<h2>What happened</h2>"
    yield "<p>Times are counted from the first frame.</p>"
    yield "<table>"
    yield (
        '<thead><tr><th scope="col">Time</th><th scope="col" class="utc">UTC</th><th scope="col">What</th></tr></thead>'
    )
    yield "<tbody>"
    for row in page.rows:
        quoted = f" {_foreign(row.quoted)}" if row.quoted is not None else ""
        utc = _time(row.utc)
        yield (
            f'<tr><td class="at">{_text(row.offset)}</td><td class="utc">{utc}</td>'
            f"<td>{_text(row.what)}{quoted}</td></tr>"
        )
    yield "</tbody>"
    yield "</table>"
    yield "</main>"
    yield f"<footer><p>A copy for viewing; the evidence is the recording itself. {_text(page.made_by)}</p></footer>"
    yield "</body>"
    yield "</html>"


def _where(where: Where) -> Iterator[str]:
    yield '<section class="where">'
    yield "<h2>Where it was</h2>"
    if where.drawing:
        yield where.drawing
        yield "<table>"
        yield '<thead><tr><th scope="col">Place</th><th scope="col">UTC</th><th scope="col">WGS 84</th></tr></thead>'
        yield "<tbody>"
        for name, utc, place in where.rows:
            yield f'<tr><td class="at">{_text(name)}</td><td>{_time(utc)}</td><td>{_text(place)}</td></tr>'
        yield "</tbody>"
        yield "</table>"
    for note in where.notes:
        yield f"<p>{_text(note)}</p>"
    yield "</section>"


def _cell(cell: Cell) -> Iterator[str]:
    pressed, marked = None in cell.notes, any(note is not None for note in cell.notes)
    kind = "pressed" if pressed else "marked" if marked else ""
    yield f'<li class="{kind}"><figure>' if kind else "<li><figure>"
    if cell.jpeg:
        why = [_words(note) for note in cell.notes]
        alternative = ", ".join([f"Picture at {cell.offset}", *why])
        source = base64.b64encode(cell.jpeg).decode()
        yield (
            f'<img width="{cell.width}" height="{cell.height}" alt="{_text(alternative)}" '
            f'src="data:image/jpeg;base64,{source}">'
        )
    else:
        yield f'<div class="instead{" broken" if cell.broken else ""}">{_text(cell.instead)}</div>'
    yield "<figcaption>"
    yield f"<span>{_time(cell.utc) or 'time unknown'}</span>"
    yield f'<span class="since">{_text(cell.offset)} · press {_text(cell.since)}</span>'
    if cell.not_set:
        yield '<span class="warning">the clock was not set</span>'
    if cell.muted:
        yield "<span>no audio</span>"
    for note in cell.notes:
        if note is None:
            yield '<span class="note">Press</span>'
        else:
            text = "" if note == PrivateText() else f": {_foreign(_short(note))}"
            yield f'<span class="note">Marker{text}</span>'
    yield "</figcaption>"
    yield "</figure></li>"


def _words(note: PrivateText | None) -> str:
    if note is None:
        return "the press"
    return f"marker {_short(note).text or note.unknown}".rstrip()


def _short(note: PrivateText) -> PrivateText:
    return replace(note, text=f"{note.text[:CAPTION_CHARACTERS]}…") if len(note.text) > CAPTION_CHARACTERS else note


def _time(utc: str) -> str:
    return f'<time datetime="{_text(utc)}">{_text(utc)}</time>' if utc else ""


def _foreign(text: PrivateText) -> str:
    """What a person wrote, in a language and a direction that nobody knows; or that it is not known."""
    if text.unknown:
        return f"({_text(text.unknown)})"
    return f'<bdi lang="" dir="auto">{_text(text.text)}</bdi>'


def _text(text: str) -> str:
    """Any text as text of the page, also inside quotes: nothing in it is markup or turns what stands around it.

    Marks and joiners that scripts and emoji are written with stay.
    """
    more = len(text) - TEXT_CHARACTERS
    cut = f"{text[:TEXT_CHARACTERS]}… ({more} more characters)" if more > 0 else text
    return escape(_HARMFUL.sub(lambda found: f"\\u{ord(found[0]):04x}", cut))
