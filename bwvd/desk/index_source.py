"""A custodian's index as a source: a hundred thousand recordings by what the custodian has found of each.

The index is read, never written. The recordings themselves lie in the store that it is of.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    Table,
    and_,
    desc,
    func,
    not_,
    or_,
    select,
    tuple_,
    union_all,
)

from bwvd.custody import schema
from bwvd.custody.index import Index, IndexLost
from bwvd.custody.judge import State
from bwvd.custody.texts import Kind, text_number
from bwvd.desk.facts import Facts, Memory, Row, Rows
from bwvd.desk.query import PAGE_ROWS, UNKNOWN, Query
from bwvd.desk.receipts import Taken
from bwvd.desk.source import Found, Key, SourceLost
from bwvd.desk.store_source import StoreSource
from bwvd.evidence.export.private_text import SEALED, PrivateText
from bwvd.evidence.export.search import Wanted, folded, in_time
from bwvd.evidence.format.utc import parse_utc
from bwvd.evidence.verify.files import Progress
from bwvd.evidence.verify.folder import Folder
from bwvd.evidence.verify.report import Report
from bwvd.text import printable

T = TypeVar("T")
Texts = dict[Any, list[Any]]  # rows of a table by device and recording

Matching = Select[Any] | CompoundSelect[Any]

_R, _M, _O, _T = schema.RECORDINGS, schema.MARKERS, schema.OFFICERS, schema.RECEIPTS
_X, _N = schema.TEXTS, schema.MENTIONS
_TAKEN = _R.outerjoin(_T, and_(_T.c.device == _R.c.device, _T.c.recording == _R.c.recording))
CUSTODIAN = "custodian"
_OF_AN_ID = re.compile(r"[a-z0-9._-]+", re.ASCII)  # folded; no other can be in one: bwvd.store.names

MOST_LONG_S = 172_800.0  # of one recording
MOST_GOING_ON = 15_000  # at one moment: SQLite takes 32,766 values in a statement, and one may have these twice


class IndexSource:
    """What an index knows, and the store behind it.

    **Synchronization:** trio's thread.
    """

    def __init__(self, index: Index, name: str, store: StoreSource, *, number: int = 1) -> None:
        self.name = printable(name)
        self.number = number
        self._index = index
        self._store = store

    # --- the list ----------------------------------------------------------------------------------------------------

    async def rows(self, query: Query, first: int, most: int, memory: Memory) -> Rows:
        """Raises: SourceLost."""

        problems: list[str] = []

        def ask(connection: Connection) -> tuple[int, list[dict[Any, Any]], Texts, Texts]:
            also = going_on(connection, query)
            if len(also) > MOST_GOING_ON:
                problems.append(
                    f"{self.name}: of {len(also)} recordings that were going on at {query.begin} only "
                    f"{MOST_GOING_ON} are looked through: look from an earlier moment on"
                )
            every = matching(query, also[:MOST_GOING_ON])
            counts = [connection.execute(count_of(one)).scalar_one() for one in every]
            there = [one for one, count in zip(every, counts, strict=True) if count]
            total = sum(counts)
            found = connection.execute(page_of(there, first, most)).all() if total > first else []
            keys = [(row.device, row.recording) for row in found]
            wanted = set(keys)
            answered = connection.execute(_rows(keys)).mappings() if keys else ()
            rows = [dict(row) for row in answered if (row["device"], row["recording"]) in wanted]
            keys = keys[-PAGE_ROWS:]  # the others are on the pages before
            return total, rows, _texts(connection, _M, keys), _texts(connection, _O, keys)

        total, rows, markers, officers = await self._ask(ask)
        made = [self._row(row, markers, officers, memory) for row in rows]
        return Rows(sorted(made, key=lambda row: row.order, reverse=True), total, problems=problems)

    def _row(self, row: Mapping[str, Any], markers: Texts, officers: Texts, memory: Memory) -> Row:
        key = row["device"], row["recording"]
        found = self._found(*key)
        facts = Facts(
            device=row["device"],
            started=row["started_utc"],
            seconds=row["duration_s"],
            pre_event_s=_between(row["started_utc"], row["press_utc"]),
            officers=tuple(PrivateText(one.officer) for one in officers.get(key, ())),
            markers=tuple(
                PrivateText(unknown=SEALED) if one.sealed else PrivateText(one.label) for one in markers.get(key, ())
            ),
            end=row["ended"],
            encrypted=bool(row["encrypted"]),
        )
        own = memory.verdict(found.key)
        receipt = None
        if row["received_utc"]:
            receipt = Taken(row["received_utc"], row["received_by"], row["receipt_sha512"], vouched=True)
        return Row(found, facts, own or row["verdict"], CUSTODIAN if row["verdict"] and not own else "", receipt)

    async def complete(self, _found: Found, /) -> Facts | None:
        return None

    def said(self) -> list[str]:
        return []  # the custodian holds a store's journals against what is there

    # --- one recording -----------------------------------------------------------------------------------------------

    async def find(self, key: Key) -> Found | None:
        """Raises: SourceLost."""
        recording = key.name_in(self.number)
        known = select(_R.c.device).where(_R.c.device == key.device, _R.c.recording == recording)
        if not recording or await self._ask(lambda db: db.execute(known).first()) is None:
            return None
        found = self._found(key.device, recording)
        return found if found.key == key else None

    async def _ask(self, job: Callable[[Connection], T]) -> T:
        try:
            return await self._index.run(job)
        except IndexLost as error:
            raise SourceLost(str(error)) from None

    def _found(self, device: str, recording: str) -> Found:
        where = f"{self._store.address}/devices/{printable(device)}/recordings/{printable(recording)}"
        return Found(Key.of(recording, where, number=self.number), recording, where, self)

    async def read(self, found: Found, job: Callable[[Folder], T]) -> T:
        return await self._store.read(found, job)

    async def verify(self, found: Found, progress: Progress | None = None) -> Report:
        return await self._store.verify(found, progress)

    async def aclose(self) -> None:
        self._index.close()
        await self._store.aclose()


def going_on(connection: Connection, query: Query) -> list[tuple[str, str]]:
    """The recordings that had begun before the time that is looked for, and went on into it: begin and id."""
    begin = query.wanted.begin
    if begin is None:
        return []
    longest = float(connection.execute(select(func.max(_R.c.duration_s))).scalar() or 0.0)
    before = begin - datetime.timedelta(seconds=min(max(longest, 0.0), MOST_LONG_S))
    found = connection.execute(
        select(_R.c.recording, _R.c.started_utc, _R.c.duration_s).where(
            _R.c.started_utc < _stamp(begin), _R.c.started_utc >= _stamp(before)
        )
    )
    return [
        (row.started_utc, row.recording)
        for row in found
        if in_time(row.started_utc, row.duration_s, "", Wanted(begin=begin))
    ]


def matching(query: Query, also: Sequence[tuple[str, str]]) -> list[Select[Any]]:
    """What is looked for: when each recording began, its id, its device. No recording is in two of these selections.

    What recordings mention comes in the order of time, each text by itself. A row of the recordings themselves is read
    where it is looked for by what only they say.

    Args:
        also: what had begun before and went on, by its begin and its id.

    Pure.
    """
    wanted, sought = query.wanted, query.sought
    mentioned: list[ColumnElement[bool]] = []  # what takes least away comes last
    if wanted.officer is not None:
        mentioned.append(_N.c.text == text_number(Kind.OFFICER, folded(wanted.officer)))
    if wanted.device is not None:
        mentioned.append(_N.c.text == text_number(Kind.DEVICE, folded(wanted.device)))
    if wanted.marker is not None:
        mentioned.append(_holding(folded(wanted.marker), Kind.MARKER))
    in_a_text = _holding(sought, Kind.MARKER, Kind.OFFICER)
    if mentioned:
        first, *others = mentioned
        found = _mentions(first, query, also).where(*(_key().in_(_mentioned(one, query, also)) for one in others))
        if sought:
            found = found.where(or_(_in_id(_N, sought), _key().in_(_mentioned(in_a_text, query, also))))
        return [_judged(found, _N, query)]
    by_id = _columns(_R).where(*_within(_R, query, also))
    if not sought:
        return [_judged(by_id, _R, query)]
    by_text = _mentions(in_a_text, query, also)
    if not _OF_AN_ID.fullmatch(sought):
        return [_judged(by_text, _N, query)]
    by_text = by_text.where(not_(_in_id(_N, sought)))
    return [_judged(by_id.where(_in_id(_R, sought)), _R, query), _judged(by_text, _N, query)]


def count_of(found: Select[Any]) -> Select[int]:
    return select(func.count()).select_from(found.subquery())


def page_of(found: Sequence[Select[Any]], first: int, most: int) -> Matching:
    """The newest first. Of one text alone they come in the order of its index, and no more than these are read."""
    every: Matching = found[0] if len(found) == 1 else union_all(*found)
    return every.order_by(desc("started_utc"), desc("recording")).limit(most).offset(first)


def _mentions(text: ColumnElement[bool], query: Query, also: Sequence[tuple[str, str]]) -> Select[Any]:
    return _columns(_N).where(text, *_within(_N, query, also)).distinct()


def _mentioned(text: ColumnElement[bool], query: Query, also: Sequence[tuple[str, str]]) -> Select[Any]:
    """For those of `_mentions` that mention another text too. What went on is not named again: there may be much."""
    return _columns(_N).where(text, *_since(_N, query, also))


def _judged(found: Select[Any], table: Table, query: Query) -> Select[Any]:
    """Those of them with the verdict that is looked for, and with a receipt or without."""
    if not (query.verdict or query.receipt):
        return found
    if table is not _R:
        found = found.join_from(table, _R, and_(_R.c.device == table.c.device, _R.c.recording == table.c.recording))
    if query.verdict:
        found = found.where(_R.c.verdict == ("" if query.verdict == UNKNOWN else query.verdict))
    if query.receipt:
        taken = query.receipt == "yes"
        found = found.where(_R.c.state.in_([state for state in State if (state is State.RECEIVED) == taken]))
    return found


def _key() -> Any:
    return tuple_(_N.c.started_utc, _N.c.recording, _N.c.device)


def _in_id(table: Table, sought: str) -> ColumnElement[bool]:
    column: ColumnElement[str] = table.c.recording
    return column.icontains(sought, autoescape=True)


def _columns(table: Table) -> Select[Any]:
    return select(table.c.started_utc, table.c.recording, table.c.device)


def _within(table: Table, query: Query, also: Sequence[tuple[str, str]]) -> Iterator[ColumnElement[bool]]:
    """That a recording lies in the time that is looked for, told by when it began, for which there is an index."""
    yield from _since(table, query, also)
    if (begin := query.wanted.begin) is not None and also:
        yield or_(table.c.started_utc >= _stamp(begin), table.c.recording.in_([name for _, name in also]))


def _since(table: Table, query: Query, also: Sequence[tuple[str, str]]) -> Iterator[ColumnElement[bool]]:
    """That it may lie there: it began between the first that went on and the end."""
    begin, end = query.wanted.begin, query.wanted.end
    if end is not None:
        yield table.c.started_utc < _stamp(end)
    if begin is not None:
        yield table.c.started_utc >= min([_stamp(begin), *(started for started, _ in also)])


def _holding(part: str, *kinds: Kind) -> ColumnElement[bool]:
    """That a text of one of these kinds, which a recording mentions, holds this one, folded; "" is in each."""
    texts = select(_X.c.text).where(_X.c.kind.in_(kinds))
    return _N.c.text.in_(texts.where(_X.c.folded.contains(part, autoescape=True)) if part else texts)


def _rows(keys: Sequence[tuple[str, str]]) -> Select[Any]:
    return (
        select(
            _R.c.device,
            _R.c.recording,
            _R.c.started_utc,
            _R.c.press_utc,
            _R.c.duration_s,
            _R.c.encrypted,
            _R.c.ended,
            _R.c.verdict,
            func.coalesce(_T.c.received_utc, "").label("received_utc"),
            func.coalesce(_T.c.by, "").label("received_by"),
            func.coalesce(_T.c.manifest_sha512, "").label("receipt_sha512"),
        )
        .select_from(_TAKEN)
        .where(_of(_R, keys))
    )


def _texts(connection: Connection, table: Table, keys: Sequence[tuple[str, str]]) -> Texts:
    """The rows of markers or of officers of these recordings, in their order."""
    found: Texts = {}
    if keys:
        order = table.c.marker if table is _M else table.c.at_ns
        for row in connection.execute(select(table).where(_of(table, keys)).order_by(order)):
            found.setdefault((row.device, row.recording), []).append(row)
    return found


def _of(table: Table, keys: Sequence[tuple[str, str]]) -> ColumnElement[bool]:
    """That a row is of one of these recordings: in two lists, which a database compiles sooner than one of pairs. An id
    has its device in it; a row that pairs them otherwise is one more than was asked for."""
    devices = sorted({device for device, _ in keys})
    return and_(table.c.device.in_(devices), table.c.recording.in_([recording for _, recording in keys]))


def _stamp(moment: datetime.datetime) -> str:
    """As the index writes times: they sort as text."""
    return moment.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _between(started: str, press: str) -> float | None:
    first, second = parse_utc(started), parse_utc(press)
    return None if first is None or second is None else round(max((second - first).total_seconds(), 0.0), 3)
