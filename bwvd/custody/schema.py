"""Tables of the index, and the stamp that says which version of them a database has.

The index holds nothing that is not in the store as well: a database that is lost or too old is made anew from it.
"""

from __future__ import annotations

from collections.abc import Callable

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
    insert,
    inspect,
    select,
    update,
)

from bwvd.evidence.errors import EvidenceError

VERSION = 1  # of the tables below

METADATA = MetaData()

FACTS = Table(  # about the database itself: "schema", "store", "log NAME" (the newest object of that log)
    "facts",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

CUSTODIANS = Table(  # processes that share the devices; each says again and again that it is there
    "custodians",
    METADATA,
    Column("instance", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("beat_s", BigInteger, nullable=False),  # Unix time by the database's clock, which they all share
)

DEVICES = Table(
    "devices",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("signer", Text, nullable=False),  # fingerprint of the key, or of its authority, behind its newest recording
    Column("settled", Text, nullable=False),  # all recordings up to this id are settled; "" = none
)

JOURNALS = (
    Table(  # the newest head of each journal (there is one for each storage of a device) that goes on from all before
        "journals",
        METADATA,
        Column("device", Text, primary_key=True),
        Column("storage", Text, primary_key=True),
        Column("number", BigInteger, nullable=False),
        Column("bytes", BigInteger, nullable=False),
        Column("sha512", Text, nullable=False),
    )
)

NUMBERS = Table(  # what journals say of recordings
    "numbers",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("storage", Text, primary_key=True),
    Column("serial", BigInteger, primary_key=True),
    Column("recording", Text, nullable=False),
    Column("released_utc", Text, nullable=False),  # "" = not released
)

RECORDINGS = Table(
    "recordings",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("recording", Text, primary_key=True),
    Column("serial", BigInteger),
    Column("started_utc", Text, nullable=False),
    Column("press_utc", Text, nullable=False),
    Column("duration_s", Float, nullable=False),
    Column("segments", BigInteger, nullable=False),
    Column("frames", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("encrypted", Boolean, nullable=False),
    Column("ended", Text, nullable=False),
    Column("signer", Text, nullable=False),
    Column("manifest_sha512", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("state", Text, nullable=False),  # of bwvd.custody.judge.State
    Column("since_utc", Text, nullable=False),  # it is in this state
    Column("signers", Text, nullable=False),  # SHA-256 of the list by which it was judged
)

MARKERS = Table(
    "markers",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("recording", Text, primary_key=True),
    Column("marker", Integer, primary_key=True),  # counts from 1
    Column("at_ns", BigInteger, nullable=False),  # media time
    Column("utc", Text, nullable=False),
    Column("label", Text, nullable=False),  # "" where it is sealed
    Column("sealed", Boolean, nullable=False),
)

OFFICERS = Table(
    "officers",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("recording", Text, primary_key=True),
    Column("at_ns", BigInteger, primary_key=True),
    Column("officer", Text, nullable=False),
)

RECEIPTS = Table(
    "receipts",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("recording", Text, primary_key=True),
    Column("manifest_sha512", Text, nullable=False),
    Column("received_utc", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("key", Text, nullable=False),  # fingerprint
)

FINDINGS = Table(
    "findings",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("device", Text, nullable=False),
    Column("recording", Text, nullable=False),  # "" = about the device
    Column("kind", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("found_utc", Text, nullable=False),
    Column("resolved_utc", Text, nullable=False),  # "" = it still is so
    Column("resolution", Text, nullable=False),  # why it is no finding any more: seen by the custodian, or a person's
)

Index("findings_of_device", FINDINGS.c.device, FINDINGS.c.resolved_utc)
Index("recordings_by_time", RECORDINGS.c.started_utc)
Index("recordings_by_state", RECORDINGS.c.device, RECORDINGS.c.state)
Index("officers_by_officer", OFFICERS.c.officer)

# From a version to the next: MIGRATIONS[1] makes version 2 of version 1.
MIGRATIONS: dict[int, Callable[[Connection], None]] = {}


class IndexUnusable(EvidenceError):
    """A database that can't be used as an index. One line."""


def require(connection: Connection) -> None:
    """Raises: IndexUnusable for a database that has not the tables of this very version."""
    there = set(inspect(connection).get_table_names())
    if not METADATA.tables.keys() <= there:
        raise IndexUnusable("the database has no index of a custodian")
    stamp = connection.execute(select(FACTS.c.value).where(FACTS.c.name == "schema")).scalar() or ""
    if stamp != str(VERSION):
        raise IndexUnusable(
            f"the database has the tables of version {stamp[:20]!r}; this version of bwvd reads {VERSION}"
        )


def prepare(connection: Connection) -> None:
    """Make the tables in an empty database, or bring older ones up to date.

    Raises: IndexUnusable for the tables of a newer version, or of something else.
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
    for version in range(int(stamp), VERSION):
        MIGRATIONS[version](connection)
        connection.execute(update(FACTS).where(FACTS.c.name == "schema").values(value=str(version + 1)))
