"""The figures of one run, written into the pages that give them: between their two marks, nothing by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.figures import Findings, Row
from tests.support.source_tree import ROOT

PAGE = ROOT / "bwvd" / "docs" / "costs.md"  # all figures
SHORT = ROOT / "README.md"  # the headlines
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
_HEAD = ("figure", "bwvd", "`ffmpeg`", "ratio", "goal", "")
_LEFT_OUT = "involuntary switches"  # they tell of the machine
_SAID = (
    "only ",
    "4:2:2 ",
)  # notes without which a row would mislead: it did not get through its frames; how large they are


def write(found: Findings, about: Mapping[str, Any], page: Path = PAGE, short: Path = SHORT) -> None:
    """Replace what stands between the marks of both pages. page: gets all rows. short: gets the headlines.

    Raises: ValueError where the marks are not there once each, in their order; then neither page is touched.
    """
    headlines = [row for row in found.rows if row.headline]
    texts = [_put(page, section(found.rows, about)), _put(short, section(headlines, about))]
    for one, text in zip((page, short), texts, strict=True):
        one.write_text(text, encoding="utf-8")


def _put(page: Path, rows: str) -> str:
    """The page's text with other rows."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or any(mark in before + after for mark in (BEGIN, END)):
        raise ValueError(f"{page.name}: {BEGIN} and {END} are not there once each")
    return f"{before}{BEGIN}\n{rows}{END}{after}"


def section(rows: Sequence[Row], about: Mapping[str, Any]) -> str:
    """The machine and a table of the rows, as Markdown."""
    machine = ", ".join(f"{name} {value}" for name, value in about.items())
    lines = [f"One run of `python -m tests.bench --write`, median (least..most); {machine}:", "", _line(_HEAD)]
    lines.append(_line(["---"] * len(_HEAD)))
    lines += [_line(_cells(row)) for row in rows if _LEFT_OUT not in row.what]
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> list[str]:
    ratio, verdict = row.ratio, {True: "met", False: "missed", None: ""}[row.met]
    note = f"; {row.note}" if row.note.startswith(_SAID) else ""
    return [
        f"{row.group}, {row.what}{f', {row.unit}' if row.unit else ''}",
        row.ours.text(row.digits),
        row.theirs.text(row.digits) if row.theirs else "",
        ratio.text(2) if ratio else "",
        row.goal.text.replace("ffmpeg", "`ffmpeg`") if row.goal else "",
        verdict + note if verdict else note.removeprefix("; "),
    ]


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
