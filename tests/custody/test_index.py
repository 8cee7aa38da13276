"""The index: tables with a stamp, in SQLite and PostgreSQL, made anew from the store with the same contents."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from sqlalchemy import Connection, inspect, select, text, update

from bwvd.custody import index as at
from bwvd.custody import reindex, schema
from bwvd.custody.findings import act_of, finding
from bwvd.custody.index import Index, IndexLost
from bwvd.custody.log import Act, CustodyLog, Detail
from bwvd.custody.reindex import replay
from bwvd.custody.schema import IndexUnusable
from bwvd.custody.texts import Kind, text_number
from bwvd.store import names
from bwvd.testing.clock import VirtualClock
from bwvd.testing.store import Held, VirtualStore
from tests.support.custody_store import (
    CUSTODIAN,
    OTHER,
    Camera,
    carry,
    custodian_line,
    custody,
    device_line,
    draft,
    list_of,
    recording_id,
)
from tests.support.postgresql import a_database


def contents(index: Index) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables but of those that say who is at work."""
    tables = [table for table in schema.METADATA.sorted_tables if table is not schema.CUSTODIANS]
    return index.do(
        lambda db: {table.name: sorted(map(tuple, db.execute(select(table)).all()), key=repr) for table in tables}
    )


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.engines, pytest.mark.short])])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield str(tmp_path / "index.sqlite")
        return
    with a_database() as database:
        yield database


async def test_an_index_is_made_anew_with_the_same_contents(tmp_path: Path, url: str) -> None:
    store = VirtualStore()
    good, bad = Camera(tmp_path / "good"), Camera(tmp_path / "bad", device="BWV-0002")
    good.record(3, seconds=2)
    bad.record(3)
    await carry(store, good)
    await carry(store, bad, but=(recording_id(2, "BWV-0002"),))
    name = names.recording_file("BWV-0002", recording_id(1, "BWV-0002"), "000001.m4s")
    store.objects[name] = Held(store.objects[name].content[:-1])
    async with custody(store, url) as working:
        await working.once()
        await carry(store, bad, but=(recording_id(1, "BWV-0002"),))
        good.enter(draft("storage_rolled_back"))
        await carry(store, good)
        await trio.sleep(0.01)
        await working.once()
        (one,) = [row for row in working.post.index.do(at.all_findings) if row["kind"] == "rollback"]
        utc = await working.post.log.enter(Act("resolved", {"finding": one["id"], "why": "clerk: known"}))
        working.post.index.do(lambda db: at.resolve(db, [one["id"]], utc, "clerk: known"))
        await working.once()
        before = contents(working.post.index)
        assert {name for name, rows in before.items() if not rows} == set()
        assert await replay(working.post) == []
        assert contents(working.post.index)["recordings"] == []
        done = await working.once()
        assert done.findings == 0
        assert contents(working.post.index) == before


@pytest.mark.parametrize("why", ["clerk: known", at.SEEN])
async def test_what_was_resolved_stays_so_in_an_index_that_is_made_anew_whatever_the_clocks(
    tmp_path: Path, why: str
) -> None:
    """Invariant 16: the one who resolved it has a clock that is behind; another's was set back in between."""
    store, later, behind = VirtualStore(), *(VirtualClock(seconds=lambda: 0.0) for _ in range(2))
    one = finding("BWV-0001", "fork", "storage x: two ends")
    other = finding("BWV-0002", "altered", "000001.m4s", recording_id(1, "BWV-0002"))
    signers = list_of(device_line(), custodian_line(CUSTODIAN, "first"), custodian_line(OTHER, "second"))
    async with custody(store, tmp_path / "index", name="first", signers=signers) as working:
        behind.step(-7200)
        log = CustodyLog(store, CUSTODIAN, "first", later)
        await log.enter(Act("finding", act_of(one)))
        utc = await CustodyLog(store, OTHER, "second", behind).enter(Act("resolved", {"finding": one.id, "why": why}))
        await log.enter(Act("finding", act_of(other)))
        later.step(-3600)
        await log.enter(Act("resolved", {"finding": other.id, "why": why}))
        assert await replay(working.post) == []
        assert working.post.index.do(at.all_findings) == []
        rows = working.post.index.do(lambda db: at.all_findings(db, resolved=True))
        assert [(row["resolved_utc"], row["resolution"]) for row in rows if row["id"] == one.id] == [(utc, why)]


async def test_a_person_s_resolution_outlives_what_a_custodian_saw(tmp_path: Path) -> None:
    """Invariant 16: found, seen to be so no more, and found again; a person resolved it in between, or after that."""
    store, one = VirtualStore(), finding("BWV-0001", "missing_serial", "number 2")
    async with custody(store, tmp_path / "index") as working:
        for event, why in (("finding", ""), ("resolved", at.SEEN), ("resolved", "clerk: known"), ("finding", "")):
            detail: Detail = act_of(one) if event == "finding" else {"finding": one.id, "why": why}
            await working.post.log.enter(Act(event, detail))
        assert await replay(working.post) == []
        (row,) = working.post.index.do(lambda db: at.all_findings(db, resolved=True))
        assert row["resolution"] == "clerk: known"


async def test_entries_that_an_index_has_no_room_for_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reindex, "MOST_ENTRIES", 2)
    async with custody(VirtualStore(), tmp_path / "index") as working:
        found = [finding("BWV-0001", "stranger", f"{number}") for number in range(5)]
        await working.post.log.enter(*(Act("finding", act_of(one)) for one in found))
        (problem,) = await replay(working.post)
        assert "2 entries" in problem
        assert "not 3 more" in problem
        assert len(working.post.index.do(at.all_findings)) == 2


async def test_the_index_of_another_store_is_refused(tmp_path: Path, url: str) -> None:
    Index.open(url, "s3://one").close()
    with pytest.raises(IndexUnusable, match="s3://one"):
        Index.open(url, "s3://two")
    Index.open(url, "").close()


async def test_a_newer_index_is_refused_and_an_older_one_brought_up_to_date(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index.open(url, "")
    now = schema.VERSION
    monkeypatch.setattr(schema, "VERSION", now + 2)
    done = []
    monkeypatch.setattr(schema, "MIGRATIONS", {now: lambda _: done.append(1), now + 1: lambda _: done.append(2)})
    index.close()
    Index.open(url, "").close()
    assert done == [1, 2]
    Index.open(url, "").close()
    assert done == [1, 2]
    monkeypatch.setattr(schema, "VERSION", now + 1)
    with pytest.raises(IndexUnusable, match=f"version '{now + 2}'"):
        Index.open(url, "")


async def test_no_older_index_is_brought_up_to_date_under_a_custodian_that_is_at_work(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would go on to write as its version does: rows that no search of the newer one finds. Later there is a way."""
    index = Index.open(url, "")
    index.do(lambda db: at.beat(db, "server/1", "server", 30))
    monkeypatch.setattr(schema, "MIGRATIONS", {schema.VERSION: lambda _: None})
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    with pytest.raises(IndexLost, match="server/1 at work: end these first"):
        Index.open(url, "")
    index.do(lambda db: at.leave(db, "server/1"))
    Index.open(url, "").close()
    index.close()


async def test_an_index_without_texts_gets_them(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the version before is brought up to date by a custodian, and a reader is told so."""
    monkeypatch.setattr(schema, "MIGRATED_TOGETHER", 2)
    index = Index.open(url, "")
    with index.begin() as connection:
        for serial in range(1, 6):
            enter(connection, serial, "a Door" if serial % 2 else "Straße", officers=("4711", f"471{serial}"))
    before = contents(index)
    assert len(before["mentions"]) == 5 * 4 - 1  # the first has one officer twice
    assert {row[2] for row in before["texts"] if row[1] == "marker"} == {"a door", "strasse"}
    with index.begin() as connection:
        connection.execute(update(schema.FACTS).where(schema.FACTS.c.name == "schema").values(value="1"))
        for table in (schema.TEXTS, schema.MENTIONS):
            table.drop(connection)
        for one in ("recordings_in_time", "recordings_of_verdict", "recordings_of_state"):
            connection.execute(text(f"DROP INDEX {one}"))
        connection.execute(text("CREATE INDEX recordings_by_time ON recordings (started_utc)"))
    index.close()
    with pytest.raises(IndexUnusable, match=r"version '1'.*bwvd custody brings them up to date"):
        Index.reading(url)
    index = Index.open(url, "")
    assert contents(index) == before
    assert "recordings_by_time" not in index.do(
        lambda db: {one["name"] for one in inspect(db).get_indexes("recordings")}
    )
    index.close()
    Index.reading(url).close()


async def test_a_recording_is_found_by_what_it_says_and_by_nothing_else(url: str) -> None:
    """Judged again with other texts: none of the old ones stays with it, and another's stay."""
    index = Index.open(url, "")

    def found() -> set[tuple[str, str]]:
        with index.begin() as connection:
            joined = schema.MENTIONS.join(schema.TEXTS, schema.MENTIONS.c.text == schema.TEXTS.c.text)
            asked = select(schema.MENTIONS.c.recording, schema.TEXTS.c.folded).select_from(joined)
            return {(row.recording[-1], row.folded) for row in connection.execute(asked)}

    with index.begin() as connection:
        enter(connection, 1, "ﷺ" * 500)  # each is eighteen letters, as texts are compared
        enter(connection, 2, "knife")
    with index.begin() as connection:
        enter(connection, 1, "a door", started_utc="2026-11-22T08:00:00.000Z")
    assert found() == {("1", "a door"), ("2", "knife"), ("1", "bwv-0001"), ("2", "bwv-0001")}
    index.close()


async def test_a_text_is_gone_with_its_last_mention(url: str) -> None:
    """Opened by one custodian, judged again by one without the identity: what was said is nowhere in the index."""
    index = Index.open(url, "")

    def kept() -> set[str]:
        return index.do(lambda db: set(db.execute(select(schema.TEXTS.c.folded)).scalars()))

    index.do(lambda db: enter(db, 1, "a door", officers=("4711",)))
    index.do(lambda db: enter(db, 2, "a door", officers=("4711", "4712")))
    assert kept() == {"bwv-0001", "a door", "4711", "4712"}
    index.do(lambda db: enter(db, 1, ""))
    assert kept() == {"bwv-0001", "a door", "4711", "4712", ""}
    index.do(lambda db: enter(db, 2, ""))
    assert kept() == {"bwv-0001", ""}
    index.close()


@pytest.mark.engines
@pytest.mark.short
async def test_a_text_that_another_is_entering_is_not_forgotten() -> None:
    """Whoever comes first: the one who forgets it, or the one who says it anew and finds it there."""
    with a_database() as url:
        first, second = Index.open(url, ""), Index.open(url, "")
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        for enters_first in (True, False):
            first.do(lambda db: enter(db, 1, "a door"))
            second.do(lambda db: enter(db, 2, ""))
            one, other = (2, "a door"), (1, "")
            before, after = (one, other) if enters_first else (other, one)
            async with trio.open_nursery() as nursery:
                with first.begin() as connection:
                    enter(connection, *before)
                    nursery.start_soon(second.run, partial(_enter_one, after))
                    while not connection.execute(waiting).scalar_one():  # noqa: ASYNC110  only the database knows it
                        await trio.sleep(0.01)
            said = second.do(lambda db: set(db.execute(select(schema.TEXTS.c.folded)).scalars()))
            assert said == {"bwv-0001", "", "a door"}
        first.close()
        second.close()


def _enter_one(one: tuple[int, str], connection: Connection) -> None:
    enter(connection, *one)


async def test_text_of_any_kind_is_entered_as_what_a_database_holds(url: str) -> None:
    """Invariant 16: what a store's writers wrote is compared and kept, and loses nobody the index."""
    index = Index.open(url, "")
    index.do(lambda db: at.set_numbers(db, "BWV-0001", "s", {1: "x\0y"}, {"x\0y": "\ud800"}))
    index.do(lambda db: at.set_device(db, "\0"))
    assert index.do(lambda db: at.settled_up_to(db, "\0")) == ""
    found = contents(index)
    assert found["numbers"] == [("BWV-0001", "s", 1, "x\\x00y", "\\ud800")]
    assert found["devices"] == [("\\x00", "", "")]
    index.close()


@pytest.mark.engines
@pytest.mark.short
async def test_of_two_that_enter_a_recording_at_once_the_last_ones_texts_stay() -> None:
    """One custodian opens its texts, another can't: what stays is what its rows say, and nothing is found by more."""
    with a_database() as url:
        first, second = Index.open(url, ""), Index.open(url, "")
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        async with trio.open_nursery() as nursery:
            with first.begin() as connection:
                enter(connection, 1, "a door", officers=("4711",))
                nursery.start_soon(second.run, lambda db: enter(db, 1, ""))
                while not connection.execute(waiting).scalar_one():  # noqa: ASYNC110  only the database knows it
                    await trio.sleep(0.01)
        mentioned = second.do(lambda db: db.execute(select(schema.MENTIONS.c.text)).scalars().all())
        assert sorted(mentioned) == sorted([text_number(Kind.DEVICE, "bwv-0001"), text_number(Kind.MARKER, "")])
        first.close()
        second.close()


def enter(
    connection: Connection,
    serial: int,
    label: str,
    *,
    officers: tuple[str, ...] = (),
    started_utc: str = "2026-11-22T07:15:05.000Z",
) -> None:
    row: dict[str, Any] = {column.name: "" for column in schema.RECORDINGS.columns if str(column.type) == "TEXT"}
    row |= {"serial": serial, "duration_s": 1.0, "segments": 1, "frames": 1, "bytes": 1, "encrypted": False}
    row |= {"device": "BWV-0001", "recording": recording_id(serial, "BWV-0001"), "started_utc": started_utc}
    marker = {"marker": 1, "at_ns": 0, "utc": "", "label": label, "sealed": False}
    worn = [{"at_ns": at_ns, "officer": officer} for at_ns, officer in enumerate(officers)]
    at.set_recording(connection, row, [marker], worn, None)


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense://x", "sqlite:////nowhere/at/all/index"])
async def test_what_can_not_be_an_index_is_said_in_one_line(url: str) -> None:
    with pytest.raises((IndexUnusable, IndexLost)) as raised:
        Index.open(url, "")
    assert "\n" not in str(raised.value)


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "index"
    path.write_bytes(os.urandom(10_000))
    with pytest.raises(IndexLost, match="not a database"):
        Index.open(str(path), "")


async def test_tables_of_something_else_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "index"
    with sqlite3.connect(path) as connection:
        connection.execute("create table recordings (x)")
    connection.close()
    with pytest.raises(IndexUnusable, match="recordings"):
        Index.open(str(path), "")


async def test_who_is_at_work(tmp_path: Path, url: str) -> None:
    index = Index.open(url, "")
    assert index.do(lambda db: at.beat(db, "a/1", "a", 30)) == ["a/1"]
    assert index.do(lambda db: at.beat(db, "b/1", "b", 30)) == ["a/1", "b/1"]
    index.do(lambda db: at.leave(db, "a/1"))
    assert index.do(lambda db: at.beat(db, "b/1", "b", 30)) == ["b/1"]
    index.do(lambda db: at.put(db, schema.CUSTODIANS, instance="c/1", name="c", beat_s=1))
    assert index.do(lambda db: at.beat(db, "b/1", "b", 30)) == ["b/1"]
    index.close()


async def test_many_write_at_once(tmp_path: Path, url: str) -> None:
    """What two processes enter at once is entered, and neither waits for the other for ever."""
    indexes = [Index.open(url, "") for _ in range(3)]

    async def write(index: Index, first: int) -> None:
        for number in range(20):
            one = finding(f"BWV-{first}", "missing_serial", f"number {number}")
            await index.run(lambda db, one=one: at.add_finding(db, one, "2026-11-30T12:00:00Z"))  # type: ignore[misc]  # mypy infers no lambda with defaults
            await index.run(lambda db: at.set_device(db, "BWV-0001", settled="x"))

    async with trio.open_nursery() as nursery:
        for number, index in enumerate(indexes):
            nursery.start_soon(write, index, number)
    assert len(indexes[0].do(at.all_findings)) == 60
    for index in indexes:
        index.close()
