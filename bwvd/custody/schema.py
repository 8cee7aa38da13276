"""Tables of the index, and the stamp that says which version of them a database has.

The index holds nothing that is not in the store as well: a database that is lost or too old is made anew from it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    delete,
    exists,
    func,
    insert,
    inspect,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from bwvd.custody.texts import Kind, Said, text_number, texts_of
from bwvd.evidence.errors import EvidenceError
from bwvd.text import printable

VERSION = 2  # of the tables below

METADATA = MetaData()


class CleanText(TypeDecorator[str]):
    """Text that any database holds, whoever has written it: PostgreSQL refuses a NUL, and no driver sends what is no
    character. All that goes into a column, or is compared with one, comes by here.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: object) -> str | None:  # noqa: ARG002  SQLAlchemy's
        return None if value is None else printable(value)


FACTS = Table(  # about the database itself: "schema", "store", "log NAME" (the newest object of that log)
    "facts",
    METADATA,
    Column("name", CleanText, primary_key=True),
    Column("value", CleanText, nullable=False),
)

CUSTODIANS = Table(  # processes that share the devices; each says again and again that it is there
    "custodians",
    METADATA,
    Column("instance", CleanText, primary_key=True),
    Column("name", CleanText, nullable=False),
    Column("beat_s", BigInteger, nullable=False),  # Unix time by the database's clock, which they all share
)

DEVICES = Table(
    "devices",
    METADATA,
    Column("device", CleanText, primary_key=True),
    Column(
        "signer", CleanText, nullable=False
    ),  # fingerprint of the key, or of its authority, behind its newest recording
    Column("settled", CleanText, nullable=False),  # all recordings up to this id are settled; "" = none
)

JOURNALS = (
    Table(  # the newest head of each journal (there is one for each storage of a device) that goes on from all before
        "journals",
        METADATA,
        Column("device", CleanText, primary_key=True),
        Column("storage", CleanText, primary_key=True),
        Column("number", BigInteger, nullable=False),
        Column("bytes", BigInteger, nullable=False),
        Column("sha512", CleanText, nullable=False),
    )
)

NUMBERS = Table(  # what journals say of recordings
    "numbers",
    METADATA,
    Column("device", CleanText, primary_key=True),
    Column("storage", CleanText, primary_key=True),
    Column("serial", BigInteger, primary_key=True),
    Column("recording", CleanText, nullable=False),
    Column("released_utc", CleanText, nullable=False),  # "" = not released
)

RECORDINGS = Table(
    "recordings",
    METADATA,
    Column("device", CleanText, primary_key=True),
    Column("recording", CleanText, primary_key=True),
    Column("serial", BigInteger),
    Column("started_utc", CleanText, nullable=False),
    Column("press_utc", CleanText, nullable=False),
    Column("duration_s", Float, nullable=False),
    Column("segments", BigInteger, nullable=False),
    Column("frames", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("encrypted", Boolean, nullable=False),
    Column("ended", CleanText, nullable=False),
    Column("signer", CleanText, nullable=False),
    Column("manifest_sha512", CleanText, nullable=False),
    Column("verdict", CleanText, nullable=False),
    Column("state", CleanText, nullable=False),  # of bwvd.custody.judge.State
    Column("since_utc", CleanText, nullable=False),  # it is in this state
    Column("signers", CleanText, nullable=False),  # SHA-256 of the list by which it was judged
)

MARKERS = Table(
    "markers",
    METADATA,
    Column("device", CleanText, primary_key=True),
    Column("recording", CleanText, primary_key=True),
    Column("marker", Integer, primary_key=True),  # counts from 1
    Column("at_ns", BigInteger, nullable=False),  # media time
    Column("utc", CleanText, nullable=False),
    Column("label", CleanText, nullable=False),  # "" where it is sealed
    Column("sealed", Boolean, nullable=False),
)

OFFICERS = Table(
    "officers",
    METADATA,
    Column("device", CleanText, primary_key=True),
    Column("recording", CleanText, primary_key=True),
    Column("at_ns", BigInteger, primary_key=True),
    Column("officer", CleanText, nullable=False),
)

RECEIPTS = Table(
    "receipts",
    METADATA,
    Column("device", CleanText, primary_key=True),
    Column("recording", CleanText, primary_key=True),
    Column("manifest_sha512", CleanText, nullable=False),
    Column("received_utc", CleanText, nullable=False),
    Column("by", CleanText, nullable=False),
    Column("key", CleanText, nullable=False),  # fingerprint
)

FINDINGS = Table(
    "findings",
    METADATA,
    Column("id", CleanText, primary_key=True),
    Column("device", CleanText, nullable=False),
    Column("recording", CleanText, nullable=False),  # "" = about the device
    Column("kind", CleanText, nullable=False),
    Column("detail", CleanText, nullable=False),
    Column("found_utc", CleanText, nullable=False),
    Column("resolved_utc", CleanText, nullable=False),  # "" = it still is so
    Column(
        "resolution", CleanText, nullable=False
    ),  # why it is no finding any more: seen by the custodian, or a person's
)

# A search for a part of a text goes through the different texts, each once, and from those that hold it to the
# recordings in the order of time. What people call things is said again and again: a hundred thousand recordings have a
# few thousand labels. Ids are all different, and ASCII (bwvd.store.names): they are compared where they stand, in the
# index of times, 10 ms for a hundred thousand. So it needs nothing that only one database has, or that only an
# administrator may put into one (FTS5, pg_trgm), and finds the same in both, as Python has folded it.

TEXTS = Table(
    "texts",
    METADATA,
    Column("text", BigInteger, primary_key=True, autoincrement=False),  # custody.texts.text_number of the other two
    Column("kind", CleanText, nullable=False),  # of custody.texts.Kind
    Column("folded", CleanText, nullable=False),
)

MENTIONS = Table(  # of texts by recordings; in the order of its key, which holds all that a page of the list is cut by
    "mentions",
    METADATA,
    Column("text", BigInteger, primary_key=True, autoincrement=False),
    Column("started_utc", CleanText, primary_key=True),  # of the recording
    Column("recording", CleanText, primary_key=True),
    Column("device", CleanText, primary_key=True),
    sqlite_with_rowid=False,
)

Index("findings_of_device", FINDINGS.c.device, FINDINGS.c.resolved_utc)
Index("texts_by_kind", TEXTS.c.kind)
_BY_TIME = RECORDINGS.c.started_utc, RECORDINGS.c.recording, RECORDINGS.c.device
_IN_TIME = (  # each holds all that a page of the list is cut by
    Index("recordings_in_time", *_BY_TIME),
    Index("recordings_of_verdict", RECORDINGS.c.verdict, *_BY_TIME),
    Index("recordings_of_state", RECORDINGS.c.state, *_BY_TIME),
)


def _with_texts(connection: Connection) -> None:
    """Version 2: what is searched for is in tables of its own."""
    for name in ("recordings_by_time", "recordings_by_state", "officers_by_officer"):
        connection.execute(text(f"DROP INDEX IF EXISTS {name}"))
    METADATA.create_all(connection, [TEXTS, MENTIONS])
    for index in _IN_TIME:
        index.create(connection)
    by_recording = RECORDINGS.c.device, RECORDINGS.c.recording
    last = "", ""
    while rows := connection.execute(
        select(*by_recording, RECORDINGS.c.started_utc)
        .where(tuple_(*by_recording) > last)
        .order_by(*by_recording)
        .limit(MIGRATED_TOGETHER)
    ).all():
        first, last = (rows[0].device, rows[0].recording), (rows[-1].device, rows[-1].recording)
        said: dict[tuple[str, str], list[tuple[Kind, str]]] = {}
        for kind, table, column in (
            (Kind.MARKER, MARKERS, MARKERS.c.label),
            (Kind.OFFICER, OFFICERS, OFFICERS.c.officer),
        ):
            key = tuple_(table.c.device, table.c.recording)
            for device, recording, one in connection.execute(
                select(table.c.device, table.c.recording, column).where(key >= first, key <= last)
            ):
                said.setdefault((device, recording), []).append((kind, one))
        enter_texts(
            connection,
            {
                (row.started_utc, row.recording, row.device): texts_of(
                    row.device, said.get((row.device, row.recording), ())
                )
                for row in rows
            },
        )


def enter_texts(connection: Connection, said: Mapping[tuple[str, str, str], Mapping[int, Said]]) -> None:
    """Enter what recordings say, each by its begin, its id and its device; what is there already stays."""
    texts = {number: one for every in said.values() for number, one in every.items()}
    _insert_new(  # sorted: two that enter the same texts at once must not wait for each other
        connection,
        TEXTS,
        [{"text": number, "kind": one.kind, "folded": one.folded} for number, one in sorted(texts.items())],
    )
    _insert_new(
        connection,
        MENTIONS,
        [
            {"text": number, "started_utc": started_utc, "recording": recording, "device": device}
            for (started_utc, recording, device), every in said.items()
            for number in sorted(every)
        ],
    )


def exchange_texts(
    connection: Connection, said: Mapping[tuple[str, str, str], Mapping[int, Said]], before: Collection[int]
) -> None:
    """Enter what recordings say, and forget those of the texts with the numbers `before` that none says any more.

    What was opened once is gone with its last mention: the next custodian may have no identity, and with reason.
    """
    if connection.dialect.name == "postgresql":  # SQLite has one writer
        # Who enters a text that is there already must not be seen to mention it only after another has forgotten it.
        lock = func.pg_advisory_xact_lock if before else func.pg_advisory_xact_lock_shared
        connection.execute(select(lock(_TEXTS_LOCK)))
    enter_texts(connection, said)
    if before:
        mentioned = exists().where(MENTIONS.c.text == TEXTS.c.text)
        connection.execute(delete(TEXTS).where(TEXTS.c.text.in_(before), ~mentioned))


def lock_recording(connection: Connection, device: str, recording: str) -> None:
    """Let nobody else enter this recording before the transaction ends: what he enters would not be forgotten here."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer
        number = text_number(Kind.DEVICE, f"{device}/{recording}")
        connection.execute(select(func.pg_advisory_xact_lock(number)))


def _insert_new(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    if rows:
        connection.execute(dialect.insert(table).on_conflict_do_nothing(), rows)


MIGRATED_TOGETHER = 2000  # recordings
_TEXTS_LOCK = 0x62777665  # of PostgreSQL's advisory locks: shared by those who enter texts, alone who forgets one

# From a version to the next: MIGRATIONS[1] makes version 2 of version 1.
MIGRATIONS: dict[int, Callable[[Connection], None]] = {1: _with_texts}


LIVE_S = 30  # who has not said for so long that he is at work is not


class IndexUnusable(EvidenceError):
    """A database that can't be used as an index. One line."""


class IndexInUse(EvidenceError):
    """Custodians of an older version are at work with the tables, which can't be brought up to date now. One line."""


def now_s(connection: Connection) -> int:
    """Unix time by the database's clock."""
    seconds = (
        func.cast(func.extract("epoch", func.clock_timestamp()), CUSTODIANS.c.beat_s.type)
        if connection.dialect.name == "postgresql"
        else func.cast(func.strftime("%s", "now"), CUSTODIANS.c.beat_s.type)
    )
    return int(connection.execute(select(seconds)).scalar_one())


def require(connection: Connection) -> None:
    """Raises: IndexUnusable for a database that has not the tables of this very version."""
    there = set(inspect(connection).get_table_names())
    if not {FACTS.name, RECORDINGS.name} <= there:
        raise IndexUnusable("the database has no index of a custodian")
    stamp = connection.execute(select(FACTS.c.value).where(FACTS.c.name == "schema")).scalar() or ""
    if stamp.isascii() and stamp.isdigit() and 0 < int(stamp) < VERSION:
        raise IndexUnusable(
            f"the database has the tables of version {stamp[:20]!r}, and this version of bwvd reads {VERSION}: "
            "bwvd custody brings them up to date when it is started"
        )
    if stamp != str(VERSION) or not METADATA.tables.keys() <= there:
        raise IndexUnusable(
            f"the database has the tables of version {stamp[:20]!r}; this version of bwvd reads {VERSION}"
        )


def prepare(connection: Connection) -> None:
    """Make the tables in an empty database, or bring older ones up to date.

    Raises: IndexUnusable for the tables of a newer version, or of something else; IndexInUse where older ones are in
    use: a custodian of that version would go on to write what no search of this one finds.
    """
    there = set(inspect(connection).get_table_names())
    if FACTS.name not in there:
        if taken := sorted(there & METADATA.tables.keys()):
            raise IndexUnusable(f"the database has tables of something else: {', '.join(taken)}")
        METADATA.create_all(connection)
        connection.execute(insert(FACTS).values(name="schema", value=str(VERSION)))
        return
    stamp = connection.execute(select(FACTS.c.value).where(FACTS.c.name == "schema")).scalar() or ""
    if not (stamp.isascii() and stamp.isdigit()) or int(stamp) > VERSION:
        raise IndexUnusable(
            f"the database has the tables of version {stamp[:20]!r}; this version of bwvd knows {VERSION}"
        )
    at_work = select(CUSTODIANS.c.instance).where(CUSTODIANS.c.beat_s >= now_s(connection) - LIVE_S)
    if int(stamp) < VERSION and (others := sorted(connection.execute(at_work).scalars())):
        raise IndexInUse(
            f"has the tables of version {stamp[:20]!r}, and {', '.join(others)[:200]} at work: end these first"
        )
    for version in range(int(stamp), VERSION):
        MIGRATIONS[version](connection)
        connection.execute(update(FACTS).where(FACTS.c.name == "schema").values(value=str(version + 1)))
