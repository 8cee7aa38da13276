"""A custodian's index as a source: a hundred thousand recordings by what the custodian has found of each.

The index is read, never written. The recordings themselves lie in the store that it is of.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    false,
    func,
    or_,
    select,
    true,
    tuple_,
)

from bwvd.custody import schema
from bwvd.custody.index import FOLDED, Index, IndexLost
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

_R, _M, _O, _T = schema.RECORDINGS, schema.MARKERS, schema.OFFICERS, schema.RECEIPTS
_TAKEN = _R.outerjoin(_T, and_(_T.c.device == _R.c.device, _T.c.recording == _R.c.recording))
_ORDER = _R.c.started_utc.desc(), _R.c.recording.desc()
CUSTODIAN = "custodian"

MOST_LONG_S = 172_800.0  # of one recording
MOST_GOING_ON = 10_000  # at one moment


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

        def ask(connection: Connection) -> tuple[int, list[dict[Any, Any]], Texts, Texts]:
            condition = conditions(query, going_on(connection, query), exactly=connection.dialect.name == "sqlite")
            table = _TAKEN if query.receipt else _R
            page = select(_R.c.device, _R.c.recording).select_from(table).where(condition).order_by(*_ORDER)
            if query.wanted.texts or query.text or query.receipt:
                # A search through texts takes longer than to read what it finds: it is made once.
                every = connection.execute(page).all()
                total, found = len(every), every[first : first + most]
            else:  # in the order of its index a page of keys is read, and no more
                counting = select(func.count()).select_from(table).where(condition)
                total = int(connection.execute(counting).scalar_one())
                found = connection.execute(page.limit(most).offset(first)).all()
            keys = [(row.device, row.recording) for row in found]
            wanted = set(keys)
            answered = connection.execute(_rows(keys)).mappings() if keys else ()
            rows = [dict(row) for row in answered if (row["device"], row["recording"]) in wanted]
            keys = keys[-PAGE_ROWS:]  # the others are on the pages before
            return total, rows, _texts(connection, _M, keys), _texts(connection, _O, keys)

        total, rows, markers, officers = await self._ask(ask)
        made = [self._row(row, markers, officers, memory) for row in rows]
        return Rows(sorted(made, key=lambda row: row.order, reverse=True), total)

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


def going_on(connection: Connection, query: Query) -> list[str]:
    """The recordings that had begun before the time that is looked for, and went on into it."""
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
    return [row.recording for row in found if in_time(row.started_utc, row.duration_s, "", Wanted(begin=begin))][
        :MOST_GOING_ON
    ]


def conditions(query: Query, also: Sequence[str], *, exactly: bool) -> ColumnElement[bool]:
    """What is looked for, of the recordings with their receipts; `also` had begun before.

    Args:
        exactly: the database's `lower` is `folded`; where it is its own, a letter may have more ways to be written.

    Pure.
    """
    wanted = query.wanted
    found: list[ColumnElement[bool]] = []
    if wanted.end is not None:
        found.append(_R.c.started_utc < _stamp(wanted.end))
    if wanted.begin is not None:
        found.append(or_(_R.c.started_utc >= _stamp(wanted.begin), _R.c.recording.in_(also)))
    if wanted.device is not None:
        found.append(_is(_R.c.device, wanted.device, exactly=exactly))
    if wanted.officer is not None:
        found.append(_in(_O, _is(_O.c.officer, wanted.officer, exactly=exactly)))
    if wanted.marker is not None:
        found.append(_in(_M, _holds(_M.c.label, wanted.marker, exactly=exactly) if wanted.marker else true()))
    if query.text:
        found.append(
            or_(
                _holds(_R.c.recording, query.text, exactly=exactly),
                _in(_M, _holds(_M.c.label, query.text, exactly=exactly)),
                _in(_O, _holds(_O.c.officer, query.text, exactly=exactly)),
            )
        )
    if query.verdict:
        found.append(_R.c.verdict == ("" if query.verdict == UNKNOWN else query.verdict))
    if query.receipt:
        found.append(_T.c.received_utc.is_not(None) if query.receipt == "yes" else _T.c.received_utc.is_(None))
    return and_(true(), *found)


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


def _in(table: Table, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """That a recording has such a row in another table."""
    return tuple_(_R.c.device, _R.c.recording).in_(select(table.c.device, table.c.recording).where(condition))


def _is(column: ColumnElement[str], text: str, *, exactly: bool) -> ColumnElement[bool]:
    return _compared(column, text, lambda one, sought: one == sought, exactly=exactly)


def _holds(column: ColumnElement[str], part: str, *, exactly: bool) -> ColumnElement[bool]:
    return _compared(column, part, lambda one, sought: one.contains(sought, autoescape=True), exactly=exactly)


def _compared(
    column: ColumnElement[str],
    text: str,
    compare: Callable[[ColumnElement[str], str], ColumnElement[bool]],
    *,
    exactly: bool,
) -> ColumnElement[bool]:
    """A text against what is looked for, neither case nor Unicode's ways to write a letter counting.

    Most texts are ASCII, which SQLite compares by itself; `folded` is Python's, and a hundred times as slow.
    """
    sought = folded(text)
    lower: ColumnElement[str] = getattr(func, FOLDED)(column)
    if not exactly:
        return compare(lower, sought)
    strange = column.op("GLOB", is_comparison=True)("*[^ -~]*")
    own = compare(column.collate("NOCASE"), sought) if sought.isascii() else false()
    return or_(own, and_(strange, compare(lower, sought)))


def _stamp(moment: datetime.datetime) -> str:
    """As the index writes times: they sort as text."""
    return moment.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _between(started: str, press: str) -> float | None:
    first, second = parse_utc(started), parse_utc(press)
    return None if first is None or second is None else round(max((second - first).total_seconds(), 0.0), 3)
