"""Facts about a recording that a list shows, from its own records. Judges nothing."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from bwvd.clock import NS
from bwvd.desk.query import UNKNOWN, Query
from bwvd.desk.receipts import Taken
from bwvd.desk.source import Found, Key, Source
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.export.catalogue import Entry, signed_in
from bwvd.evidence.export.private_text import PrivateText
from bwvd.evidence.export.sealed_text import reader
from bwvd.evidence.export.search import Unsure, folded, has, in_time
from bwvd.evidence.format import records
from bwvd.evidence.format.layout import MANIFEST
from bwvd.evidence.verify.folder import Folder
from bwvd.evidence.verify.report import Report

MOST_REPORTS = 200  # kept whole: one that is altered may have thousands of findings
MOST_TEXTS = 1000  # markers and officers of one recording that a list knows


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known so far. `markers` None: nobody has looked for any."""

    device: str = ""
    started: str = ""  # UTC of the first frame
    seconds: float | None = None
    pre_event_s: float | None = None
    officers: Sequence[PrivateText] = ()
    markers: Sequence[PrivateText] | None = None
    end: str = ""  # "open" | "recovered" | the reason of the `close` record | "unreadable"
    encrypted: bool = False
    missing_s: float = 0.0  # of video, that gaps name
    clock: str = ""  # its quality at the press

    @classmethod
    def of_entry(cls, entry: Entry) -> Facts:
        """Of a manifest whose two ends were read."""
        if entry.end == "unreadable":
            return cls(end=entry.end, markers=())
        return cls(
            entry.device,
            entry.started,
            entry.seconds,
            entry.pre_event_s,
            tuple(entry.officers),
            tuple(entry.markers) if entry.markers is not None else None,
            entry.end,
            entry.encrypted,
            entry.missing_video_s,
            entry.clock,
        )

    @property
    def whole(self) -> bool:
        return self.markers is not None


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the list. `verdict` "" = not known yet; `judged_by` "" = this desk."""

    found: Found
    facts: Facts
    verdict: str = ""
    judged_by: str = ""
    receipt: Taken | None = None  # None = none is known

    @property
    def key(self) -> Key:
        return self.found.key

    @property
    def order(self) -> tuple[str, str]:
        return self.facts.started, self.found.name


@dataclass(frozen=True, slots=True)
class Known:
    """What came of a verification."""

    verdict: str
    why: str  # in one line


class Memory:
    """What the desk has found out of recordings; forgotten with the process.

    **Synchronization:** trio's thread.
    """

    def __init__(self) -> None:
        self.facts: dict[Key, Facts] = {}
        self.verdicts: dict[Key, Known] = {}
        self.reports: dict[Key, Report] = {}  # the newest
        self._stamps: dict[Key, object] = {}

    def stands(self, key: Key, stamp: object) -> None:
        """How a recording stands now: if it is another than it was, what is known of it is no more."""
        if self._stamps.get(key) != stamp:
            self.forget(key)
            self._stamps[key] = stamp

    def forget(self, key: Key) -> None:
        self.facts.pop(key, None)
        self.verdicts.pop(key, None)
        self.reports.pop(key, None)

    def take(self, key: Key, report: Report) -> None:
        self.verdicts[key] = Known(report.verdict, report.why)
        self.reports.pop(key, None)
        self.reports[key] = report
        while len(self.reports) > MOST_REPORTS:
            del self.reports[next(iter(self.reports))]

    def verdict(self, key: Key) -> str:
        return self.verdicts[key].verdict if key in self.verdicts else ""


@dataclass(slots=True)
class Rows:
    """The newest rows that match, and how many there are."""

    rows: list[Row] = field(default_factory=list)  # the newest first
    total: int = 0
    unsure: Unsure = field(default_factory=Unsure)
    problems: list[str] = field(default_factory=list)  # of sources that could not be asked, a line each
    unread: int = 0  # left out because nothing is known of them yet

    def paged(self, first: int, most: int) -> Rows:
        """The same, counted and in order, with rows `first` to `first + most` alone."""
        self.total = len(self.rows)
        self.rows.sort(key=lambda row: row.order, reverse=True)
        self.rows = self.rows[first : first + most]
        return self


def merged(found: Iterable[Rows], first: int, most: int) -> Rows:
    """Rows `first` to `first + most` of all of them together."""
    parts = list(found)
    every = heapq.merge(*(part.rows for part in parts), key=lambda row: row.order, reverse=True)
    result = Rows(list(every)[first : first + most])
    for part in parts:
        result.total += part.total
        result.unread += part.unread
        result.problems += part.problems
        result.unsure.clock += part.unsure.clock
        result.unsure.sealed += part.unsure.sealed
        result.unsure.unreadable += part.unsure.unreadable
    return result


def read_facts(folder: Folder, identities: Sequence[Any]) -> Facts:
    """All that a list shows, from the whole manifest. Blocking. Raises: OSError."""
    read = reader(folder, identities)
    facts = Facts(end="unreadable", markers=())
    officers: list[PrivateText] = []
    markers: list[PrivateText] = []
    missing_ns, end_ns = 0, 0
    with folder.open(MANIFEST) as file:
        for record in signed_in(file):
            match record:
                case records.Open():
                    facts = replace(
                        facts,
                        device=record.device,
                        started=record.origin_utc,
                        pre_event_s=round(record.pre_event.got_s, 3),
                        end="open",
                        encrypted=bool(record.recipients),
                        clock=record.press.stamp.quality,
                    )
                case records.Segment():
                    end_ns = record.pts_ns + record.duration_ns
                case records.Gap() if record.track in ("both", "video"):
                    missing_ns += max(0, record.to_ns - record.from_ns)
                case records.Mark() if len(markers) < MOST_TEXTS:
                    markers.append(read(record))
                case records.Officer() if len(officers) < MOST_TEXTS:
                    if (one := read(record)) != PrivateText() and one not in officers:
                        officers.append(one)
                case records.Close():
                    end_ns, facts = record.duration_ns, replace(facts, end=record.reason)
                case records.Recovered():
                    end_ns, facts = record.duration_ns, replace(facts, end="recovered")
                case _:
                    pass
    return replace(
        facts,
        seconds=round(end_ns / NS, 3) if facts.started else None,
        officers=tuple(officers),
        markers=tuple(markers),
        missing_s=round(missing_ns / NS, 3),
    )


def facts_or_none(folder: Folder, identities: Sequence[Any]) -> Facts:
    """The same; of what can't be read, that it can't."""
    try:
        return read_facts(folder, identities)
    except (OSError, EvidenceError):
        return Facts(end="unreadable", markers=())


def matches(row: Row, query: Query, unsure: Unsure) -> bool:
    """Whether a row is what is looked for; counts it where nobody can tell. What is not read has to be read before."""
    facts, wanted = row.facts, query.wanted
    if query.verdict and query.verdict != (row.verdict or UNKNOWN):
        return False
    if query.receipt and (query.receipt == "yes") != (row.receipt is not None):
        return False
    narrowed = wanted.begin or wanted.end or wanted.device is not None or wanted.texts or query.text
    if facts.end == "unreadable" and narrowed:
        unsure.unreadable += 1
        return False
    if wanted.device is not None and folded(facts.device) != folded(wanted.device):
        return False
    if not in_time(facts.started, facts.seconds or 0.0, facts.clock, wanted):
        unsure.clock += facts.clock == "not_set"
        return False
    officer = has(facts.officers, wanted.officer, whole=True)
    marker = has(facts.markers or (), wanted.marker, whole=False)
    text = _text(row, query.sought)
    if None in (officer, marker, text):
        unsure.sealed += False not in (officer, marker, text)
        return False
    return bool(officer and marker and text)


def _text(row: Row, sought: str) -> bool | None:
    if not sought or any(sought in folded(one) for one in (row.found.name, row.facts.device)):
        return True
    return has([*row.facts.officers, *(row.facts.markers or ())], sought, whole=False)


class Listed(Source, Protocol):
    """A source of rows."""

    async def rows(self, query: Query, first: int, most: int, memory: Memory) -> Rows:
        """Of the rows that match, the newest first: `most` of them, behind the first `first`.

        Raises: EvidenceError, StoreError, OSError.
        """
        ...

    async def complete(self, found: Found, /) -> Facts | None:
        """All facts about a recording; None where the rows have them already. Raises: StoreError."""
        ...

    def said(self) -> list[str]:
        """What verifications have found to be wrong with the storages themselves, a printable line each."""
        ...
