"""Query of the list: what is looked for, as it stands in the page's address. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from bwvd.evidence.export.search import Wanted, folded
from bwvd.evidence.format.moment import NoMoment, parse_day, parse_time_of_day
from bwvd.evidence.verify.report import OF_RECORDINGS

PAGE_ROWS = 100
MOST_PAGES = 100_000
MOST_CHARACTERS = 200  # of one field

UNKNOWN = "unknown"  # in the place of a verdict: nobody has verified it yet
TEXTS = ("device", "officer", "marker", "text")


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for; "" = anything. `problems` names the fields that say nothing that can be looked for."""

    begin: str = ""
    end: str = ""
    device: str = ""
    officer: str = ""
    marker: str = ""
    any_marker: bool = False
    text: str = ""  # a part of the id, the device, an officer or a marker
    verdict: str = ""
    receipt: str = ""  # "yes" | "no"
    page: int = 1
    wanted: Wanted = field(default_factory=Wanted)
    problems: tuple[str, ...] = ()

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Query:
        """From an address' query string; what is not known there is passed over."""
        given = {name: fields.get(name, "").strip()[:MOST_CHARACTERS] for name in ("begin", "end", *TEXTS)}
        problems = []
        times: list[datetime.datetime | None] = []
        for name, behind in (("begin", False), ("end", True)):
            try:
                times.append(_time(given[name], end=behind))
            except (NoMoment, OverflowError):
                problems.append(name)
                times.append(None)
        begin, end = times
        if begin and end and begin >= end:
            problems.append("end")
        verdict = fields.get("verdict", "")
        receipt = fields.get("receipt", "")
        page = fields.get("page", "1")
        any_marker = fields.get("any_marker", "") == "1"
        marker = given["marker"] or ("" if any_marker else None)
        return cls(
            **given,
            any_marker=any_marker,
            verdict=verdict if verdict in (*OF_RECORDINGS, UNKNOWN) else "",
            receipt=receipt if receipt in ("yes", "no") else "",
            page=min(max(int(page), 1), MOST_PAGES) if page.isascii() and page.isdigit() and len(page) < 9 else 1,
            wanted=Wanted(begin, end, given["device"] or None, given["officer"] or None, marker),
            problems=tuple(problems),
        )

    @property
    def narrow(self) -> bool:
        """Whether anything is looked for at all."""
        return bool(self.fields())

    @property
    def first(self) -> int:
        """How many rows are on the pages before."""
        return (self.page - 1) * PAGE_ROWS

    @property
    def sought(self) -> str:
        """The text as texts are compared."""
        return folded(self.text)

    def fields(self) -> dict[str, str]:
        """What is looked for, as an address says it, without the page."""
        found = {name: getattr(self, name) for name in ("begin", "end", *TEXTS, "verdict", "receipt")}
        return {name: value for name, value in found.items() if value} | (
            {"any_marker": "1"} if self.any_marker else {}
        )

    def address(self, page: int) -> str:
        """Of another page of the same list."""
        fields = self.fields() | ({"page": str(page)} if page > 1 else {})
        return f"/?{urlencode(fields)}" if fields else "/"


def _time(text: str, *, end: bool) -> datetime.datetime | None:
    """A time of day in UTC, or a day: its beginning, or its end. Raises: NoMoment, OverflowError."""
    if not text:
        return None
    day = parse_day(text)
    if day is None:
        return parse_time_of_day(text).utc
    return day + datetime.timedelta(days=1) if end else day
