"""Engines of SQLAlchemy's for the databases that an index may be in: SQLite and PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from bwvd.custody.schema import IndexUnusable
from bwvd.text import one_line, printable

_LOCK_S = 30  # to wait for another process that writes


def engine_of(url: str, *, read_only: bool = False) -> Engine:
    """The engine for a URL of SQLAlchemy's, or for an SQLite file of that path; nothing is opened yet.

    Raises: IndexUnusable; also where an SQLite file is only to be read, and there is none.
    """
    if "://" not in url:
        url = f"sqlite:///{url}"
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise IndexUnusable(f"--index: {parsed.get_backend_name()}: the index is in sqlite or postgresql")
        if parsed.get_backend_name() == "postgresql":
            return create_engine(
                parsed, pool_pre_ping=True, execution_options={"postgresql_readonly": True} if read_only else {}
            )
        if read_only:
            name = os.path.abspath(parsed.database or "")  # noqa: PTH100  resolve() would follow links
            if not os.path.lexists(name):
                raise IndexUnusable(f"{printable(parsed.database or url)}: there is no index")
            parsed = parsed.set(database=f"file:{quote(name)}", query={"mode": "ro", "uri": "true"})
        engine = create_engine(parsed, connect_args={"timeout": _LOCK_S})
    except ArgumentError as error:
        raise IndexUnusable(f"--index: {one_line(error)}") from None
    except ImportError:
        raise IndexUnusable("--index: PostgreSQL needs psycopg: pip install 'bwvd[custody]'") from None

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver's guess
        if read_only:
            return
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")  # what a power cut takes is in the store

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        # Two that read first and write then would wait for each other.
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine
