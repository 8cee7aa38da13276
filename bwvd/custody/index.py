"""Index: what a custodian knows of a store, in SQLite or PostgreSQL, for whoever looks for a recording or a finding.

Nothing depends on it being there: it is made anew from the store, and what two custodians write at once is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import trio
from sqlalchemy import (
    Connection,
    Engine,
    Table,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from bwvd.custody import schema
from bwvd.custody.engine import engine_of
from bwvd.custody.findings import Finding, finding
from bwvd.custody.journals import KnownHead
from bwvd.custody.schema import IndexUnusable
from bwvd.custody.texts import Kind, texts_of
from bwvd.text import one_line

T = TypeVar("T")
Row = Mapping[str, Any]

MOST_FINDINGS = 1000  # open ones of a device; what is more is one, that says so
_SCHEMA_LOCK = 0x62777664  # of PostgreSQL's advisory locks: who makes the tables, makes them alone


class IndexLost(Exception):
    """The database does not answer, or not now. One line."""


class Index:
    """An open index.

    **Synchronization:** `run` from trio's thread; the rest inside its jobs, or where there is no trio.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # SQLite has one writer anyway, and what PostgreSQL is asked takes less than a millisecond.
        self._limiter = trio.CapacityLimiter(1 if engine.dialect.name == "sqlite" else 4)

    @classmethod
    def open(cls, url: str, store: str) -> Index:
        """The index at a URL of SQLAlchemy's, or in an SQLite file of that path, of the store with that address.

        Raises: IndexUnusable; IndexLost.
        """

        def ready(connection: Connection) -> None:
            if connection.dialect.name == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
            schema.prepare(connection)
            _bind(connection, store)

        return cls._with(engine_of(url), ready)

    @classmethod
    def reading(cls, url: str) -> Index:
        """The index at a URL, to look into: nothing of it is changed, made or brought up to date.

        Raises: IndexUnusable; IndexLost.
        """
        return cls._with(engine_of(url, read_only=True), schema.require)

    @classmethod
    def _with(cls, engine: Engine, ready: Callable[[Connection], None]) -> Index:
        """Of an engine for which `ready` has been called; closed again where that fails."""
        index = cls(engine)
        try:
            with index.begin() as connection:
                ready(connection)
        except SQLAlchemyError as error:
            index.close()
            raise _lost(error) from None
        except schema.IndexInUse as error:
            index.close()
            raise IndexLost(f"the index: {error}") from None
        except BaseException:
            index.close()
            raise
        return index

    def begin(self) -> Any:
        """A transaction, as a context manager of a Connection. Raises: SQLAlchemyError."""
        return self._engine.begin()

    async def run(self, job: Callable[[Connection], T]) -> T:
        """Do `job` in one transaction, in a thread. Raises: IndexLost, after which nothing of it is done.

        **Cancellation:** not while it runs.
        """
        return await trio.to_thread.run_sync(self.do, job, limiter=self._limiter)

    def do(self, job: Callable[[Connection], T]) -> T:
        """The same without trio. Blocking."""
        try:
            with self._engine.begin() as connection:
                return job(connection)
        except SQLAlchemyError as error:
            raise _lost(error) from None

    def close(self) -> None:
        self._engine.dispose()


def _bind(connection: Connection, store: str) -> None:
    if (known := fact(connection, "store")) and store and known != store:
        raise IndexUnusable(f"the index is of the store {known}, not of {store}: name another with --index")
    if store and not known:
        set_fact(connection, "store", store)


def _lost(error: SQLAlchemyError) -> IndexLost:
    said = error.orig if isinstance(error, OperationalError) and error.orig is not None else error
    return IndexLost(f"the index: {one_line(said)}")


def put(connection: Connection, table: Table, **values: Any) -> None:
    """A row: new, or in the place of the one with the same key."""
    statement: Any
    if connection.dialect.name == "postgresql":
        statement = postgresql.insert(table).values(**values)
    else:
        statement = sqlite.insert(table).values(**values)
    keys = [column.name for column in table.primary_key]
    rest = {name: value for name, value in values.items() if name not in keys}
    connection.execute(
        statement.on_conflict_do_update(index_elements=keys, set_=rest)
        if rest
        else statement.on_conflict_do_nothing(index_elements=keys)
    )


# --- facts about the database -------------------------------------------------------------------------------------


def fact(connection: Connection, name: str) -> str:
    """One of the database's own facts; "" if it has none of that name."""
    return str(connection.execute(select(schema.FACTS.c.value).where(schema.FACTS.c.name == name)).scalar() or "")


def set_fact(connection: Connection, name: str, value: str) -> None:
    put(connection, schema.FACTS, name=name, value=value)


def empty(connection: Connection) -> None:
    """Forget everything but who else is at work, the schema and the store."""
    keep = ("schema", "store")
    for table in schema.METADATA.sorted_tables:
        if table is schema.FACTS:
            connection.execute(delete(table).where(table.c.name.not_in(keep)))
        elif table is not schema.CUSTODIANS:
            connection.execute(delete(table))


# --- who else is at work --------------------------------------------------------------------------------------------


def beat(connection: Connection, instance: str, name: str, live_s: int) -> list[str]:
    """Say that `instance` is at work; returns all that have said so in the last `live_s` seconds, sorted."""
    now = schema.now_s(connection)
    connection.execute(delete(schema.CUSTODIANS).where(schema.CUSTODIANS.c.beat_s < now - 10 * live_s))
    put(connection, schema.CUSTODIANS, instance=instance, name=name, beat_s=now)
    found = connection.execute(
        select(schema.CUSTODIANS.c.instance).where(schema.CUSTODIANS.c.beat_s >= now - live_s)
    ).scalars()
    return sorted(found)


def leave(connection: Connection, instance: str) -> None:
    connection.execute(delete(schema.CUSTODIANS).where(schema.CUSTODIANS.c.instance == instance))


# --- devices and journals -------------------------------------------------------------------------------------------


def settled_up_to(connection: Connection, device: str) -> str:
    """All recordings of a device up to this id have a receipt or a finding."""
    found = select(schema.DEVICES.c.settled).where(schema.DEVICES.c.device == device)
    return str(connection.execute(found).scalar() or "")


def set_device(connection: Connection, device: str, *, signer: str = "", settled: str = "") -> None:
    """Enter a device, or what is new of it; "" leaves what is known."""
    known = connection.execute(select(schema.DEVICES).where(schema.DEVICES.c.device == device)).mappings().first()
    was = dict(known) if known is not None else {"signer": "", "settled": ""}
    put(
        connection,
        schema.DEVICES,
        device=device,
        signer=signer or was["signer"],
        settled=max(settled, was["settled"]),
    )


def known_heads(connection: Connection, device: str) -> dict[str, KnownHead]:
    """By the storage's id."""
    rows = connection.execute(select(schema.JOURNALS).where(schema.JOURNALS.c.device == device)).mappings()
    return {row["storage"]: KnownHead(row["number"], row["bytes"], row["sha512"]) for row in rows}


def set_head(connection: Connection, device: str, storage: str, head: KnownHead) -> None:
    put(
        connection,
        schema.JOURNALS,
        device=device,
        storage=storage,
        number=head.number,
        bytes=head.bytes,
        sha512=head.sha512,
    )


def set_numbers(
    connection: Connection, device: str, storage: str, serials: Mapping[int, str], released: Mapping[str, str]
) -> None:
    """What a journal says of its recordings."""
    known = {
        row.serial: (row.recording, row.released_utc)
        for row in connection.execute(
            select(schema.NUMBERS).where(schema.NUMBERS.c.device == device, schema.NUMBERS.c.storage == storage)
        )
    }
    for serial, recording in serials.items():
        if known.get(serial) != (new := (recording, released.get(recording, ""))):
            put(
                connection,
                schema.NUMBERS,
                device=device,
                storage=storage,
                serial=serial,
                recording=new[0],
                released_utc=new[1],
            )


# --- recordings -------------------------------------------------------------------------------------------------------


def recording_rows(connection: Connection, device: str, after: str = "") -> dict[str, Row]:
    """What is known of a device's recordings behind the id `after`."""
    found = select(schema.RECORDINGS).where(schema.RECORDINGS.c.device == device, schema.RECORDINGS.c.recording > after)
    return {row["recording"]: dict(row) for row in connection.execute(found).mappings()}


def set_recording(
    connection: Connection, row: Row, markers: Iterable[Row], officers: Iterable[Row], receipt: Row | None
) -> None:
    """Enter a recording that was judged, with all that belongs to it. The tables' columns are the rows' keys."""
    key = {"device": row["device"], "recording": row["recording"]}
    markers, officers = list(markers), list(officers)
    schema.lock_recording(connection, **key)
    before = _forget_texts(connection, **key)
    put(connection, schema.RECORDINGS, **row)
    for table in (schema.MARKERS, schema.OFFICERS, schema.RECEIPTS):
        connection.execute(delete(table).where(table.c.device == key["device"], table.c.recording == key["recording"]))
    texts = [*((Kind.MARKER, one["label"]) for one in markers), *((Kind.OFFICER, one["officer"]) for one in officers)]
    name, said = (row["started_utc"], row["recording"], row["device"]), texts_of(row["device"], texts)
    schema.exchange_texts(connection, {name: said}, before - said.keys())
    for table, rows in ((schema.MARKERS, markers), (schema.OFFICERS, officers)):
        if rows:
            connection.execute(insert(table), [{**key, **one} for one in rows])
    if receipt is not None:
        connection.execute(insert(schema.RECEIPTS), [{**key, **receipt}])


def _forget_texts(connection: Connection, device: str, recording: str) -> set[int]:
    """Forget what a recording is found by, which its rows say: no other index than that of searches is needed.

    Returns the texts' numbers.
    """
    known = {
        table: connection.execute(select(column).where(table.c.device == device, table.c.recording == recording))
        .scalars()
        .all()
        for table, column in (
            (schema.RECORDINGS, schema.RECORDINGS.c.started_utc),
            (schema.MARKERS, schema.MARKERS.c.label),
            (schema.OFFICERS, schema.OFFICERS.c.officer),
        )
    }
    said = [
        *((Kind.MARKER, label) for label in known[schema.MARKERS]),
        *((Kind.OFFICER, officer) for officer in known[schema.OFFICERS]),
    ]
    mentions, before = schema.MENTIONS.c, texts_of(device, said)
    for started_utc in known[schema.RECORDINGS]:
        connection.execute(
            delete(schema.MENTIONS).where(
                mentions.text.in_(before),
                mentions.started_utc == started_utc,
                mentions.recording == recording,
                mentions.device == device,
            )
        )
    return set(before) if known[schema.RECORDINGS] else set()


# --- findings -----------------------------------------------------------------------------------------------------


def open_findings(connection: Connection, device: str) -> dict[str, Finding]:
    """Those of a device that still are so, by id."""
    found = select(schema.FINDINGS).where(schema.FINDINGS.c.device == device, schema.FINDINGS.c.resolved_utc == "")
    return {row.id: Finding(row.device, row.kind, row.detail, row.recording) for row in connection.execute(found)}


def is_known(connection: Connection, one: Finding) -> bool:
    """Whether the finding is there, open or resolved by a person."""
    found = select(schema.FINDINGS.c.resolved_utc, schema.FINDINGS.c.resolution).where(schema.FINDINGS.c.id == one.id)
    row = connection.execute(found).first()
    return row is not None and (not row.resolved_utc or row.resolution != SEEN)


def is_resolved(connection: Connection, one: Finding) -> bool:
    """Whether a person has resolved the finding."""
    found = select(schema.FINDINGS.c.resolved_utc, schema.FINDINGS.c.resolution).where(schema.FINDINGS.c.id == one.id)
    row = connection.execute(found).first()
    return row is not None and bool(row.resolved_utc) and row.resolution != SEEN


SEEN = "seen to be so no more"  # the custodian's own resolution; any other is a person's


def add_finding(connection: Connection, one: Finding, found_utc: str) -> None:
    put(
        connection,
        schema.FINDINGS,
        id=one.id,
        device=one.device,
        recording=one.recording,
        kind=one.kind,
        detail=one.detail,
        found_utc=found_utc,
        resolved_utc="",
        resolution="",
    )


def bounded(connection: Connection, device: str, found: Sequence[Finding]) -> list[Finding]:
    """Those of `found` for which there is room; what is more is one finding, where it is not known yet."""
    there = connection.execute(
        select(func.count())
        .select_from(schema.FINDINGS)
        .where(schema.FINDINGS.c.device == device, schema.FINDINGS.c.resolved_utc == "")
    ).scalar_one()
    room = max(0, MOST_FINDINGS - int(there))
    if len(found) <= room:
        return list(found)
    rest = others(device)
    return [*found[:room], *([] if is_known(connection, rest) else [rest])]


def new_of(connection: Connection, device: str, found: Iterable[Finding]) -> tuple[list[Finding], set[str]]:
    """Those of `found` to be entered, and by its id what says that there are more than are kept, where it is so."""
    unknown = [one for one in found if not is_known(connection, one)]
    new = bounded(connection, device, unknown)
    return new, set() if set(unknown) <= set(new) else {others(device).id}


def others(device: str) -> Finding:
    """That there are more findings than are kept."""
    return finding(device, "stranger", f"more than {MOST_FINDINGS} findings: the others are not kept")


def resolve(connection: Connection, ids: Iterable[str], resolved_utc: str, resolution: str) -> None:
    for one in ids:
        connection.execute(
            update(schema.FINDINGS)
            .where(schema.FINDINGS.c.id == one, schema.FINDINGS.c.resolved_utc == "")
            .values(resolved_utc=resolved_utc, resolution=resolution)
        )


def resolve_for_good(connection: Connection, id_: str, resolved_utc: str, resolution: str) -> None:
    """Enter a person's resolution, the first one that he gave, whatever a custodian has seen before or since."""
    findings = schema.FINDINGS.c
    connection.execute(
        update(schema.FINDINGS)
        .where(findings.id == id_, or_(findings.resolved_utc == "", findings.resolution == SEEN))
        .values(resolved_utc=resolved_utc, resolution=resolution)
    )


def find_finding(connection: Connection, id_: str) -> Row | None:
    row = connection.execute(select(schema.FINDINGS).where(schema.FINDINGS.c.id == id_)).mappings().first()
    return dict(row) if row is not None else None


def all_findings(connection: Connection, *, resolved: bool = False) -> list[Row]:
    """Of all devices, the oldest first; with those that were resolved, or without."""
    found = select(schema.FINDINGS).order_by(schema.FINDINGS.c.found_utc, schema.FINDINGS.c.id)
    if not resolved:
        found = found.where(schema.FINDINGS.c.resolved_utc == "")
    return [dict(row) for row in connection.execute(found).mappings()]


def count_of(connection: Connection) -> dict[str, int]:
    """How many rows each table has."""
    with suppress(SQLAlchemyError):
        return {
            table.name: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
            for table in schema.METADATA.sorted_tables
        }
    return {}
