"""A custodian's index as the list shows it: the same search as in a folder, by what the custodian has found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import insert
from sqlalchemy.dialects import sqlite

from bwvd.custody import schema
from bwvd.custody.index import Index, set_recording
from bwvd.custody.schema import IndexUnusable
from bwvd.desk.index_source import MOST_GOING_ON, IndexSource, count_of, matching, page_of
from bwvd.desk.listing import rows_of
from bwvd.desk.query import Query
from bwvd.desk.store_source import StoreSource
from bwvd.testing.store import VirtualStore
from tests.support.custody_store import Camera, carry
from tests.support.desk import SIGNERS
from tests.support.desk_page import desk_of

STORE = "s3://evidence"


def recording(serial: int) -> str:
    return f"20261122T071505Z-BWV-0001-{serial:06d}"


def filled(path: Path, rows: int = 5) -> None:
    """Recordings an hour apart, each of ten minutes; the label, the officer, the verdict and the receipt differ."""
    index = Index.open(str(path), STORE)
    with index.begin() as connection:
        for serial in range(1, rows + 1):
            row = {
                "device": "BWV-0001",
                "recording": recording(serial),
                "serial": serial,
                "started_utc": f"2026-11-22T{serial:02d}:00:00.000Z",
                "press_utc": f"2026-11-22T{serial:02d}:00:30.000Z",
                "duration_s": 600.0,
                "segments": 600,
                "frames": 18_000,
                "bytes": 1,
                "encrypted": False,
                "ended": "stop",
                "signer": "",
                "manifest_sha512": "",
                "verdict": "altered" if serial == 2 else "" if serial == 3 else "authentic",
                "state": "finding" if serial == 2 else "received",
                "since_utc": "",
                "signers": "",
            }
            label = {1: "Straße", 2: "a DOOR", 3: "100%"}.get(serial, "<b>x</b>")
            marker = {"marker": 1, "at_ns": 0, "utc": "", "label": label, "sealed": serial == 5}
            officer = {"at_ns": 0, "officer": str(4710 + serial)}
            receipt = {"manifest_sha512": "", "received_utc": "2026-11-23T00:00:00Z", "by": "server", "key": ""}
            # The first says the same text with two markers, and the other's with a third.
            more = [{**marker, "marker": 2}, {**marker, "marker": 3, "label": "door"}] if serial == 1 else []
            set_recording(connection, row, [marker, *more], [officer], receipt if serial != 2 else None)
    index.close()


@pytest.fixture
def source(tmp_path: Path) -> Callable[[], IndexSource]:
    path = tmp_path / "index.sqlite"
    filled(path)
    return lambda: IndexSource(Index.reading(str(path)), "index", StoreSource(VirtualStore(), STORE, SIGNERS))


@pytest.mark.parametrize(
    ("asked", "serials"),
    [
        ({}, [5, 4, 3, 2, 1]),
        ({"marker": "STRASSE"}, [1]),
        ({"marker": "DOOR"}, [2, 1]),
        ({"marker": "r"}, [2, 1]),
        ({"marker": "%"}, [3]),
        ({"marker": "_"}, []),
        ({"any_marker": "1"}, [5, 4, 3, 2, 1]),
        ({"officer": "4712"}, [2]),
        ({"officer": "471"}, []),
        ({"text": "4713"}, [3]),
        ({"text": "000004"}, [4]),
        ({"text": "straße"}, [1]),
        ({"device": "bwv-0001"}, [5, 4, 3, 2, 1]),
        ({"device": "BWV-0002"}, []),
        ({"verdict": "altered"}, [2]),
        ({"verdict": "unknown"}, [3]),
        ({"receipt": "no"}, [2]),
        ({"receipt": "yes"}, [5, 4, 3, 1]),
        ({"begin": "2026-11-22T03:05:00Z"}, [5, 4, 3]),  # the third was going on
        ({"begin": "2026-11-22T03:11:00Z"}, [5, 4]),
        ({"end": "2026-11-22T02:00:00Z"}, [1]),
        ({"begin": "2026-11-22T02:09:00Z", "end": "2026-11-22T02:09:30Z"}, [2]),
        ({"text": "bwv-0001"}, [5, 4, 3, 2, 1]),
        ({"text": "Z-bwv-0001-000005"}, [5]),
        ({"text": "5"}, [5, 4, 3, 2, 1]),  # each id has it, and one officer
        ({"text": "nothing of it"}, []),
        ({"text": "_"}, []),
        ({"text": "door", "officer": "4711"}, [1]),
        ({"text": "0001", "officer": "4711", "marker": "door"}, [1]),
        ({"text": "000002", "marker": "door"}, [2]),
        ({"marker": "door", "officer": "4713"}, []),
        ({"marker": "door", "device": "Bwv-0001", "verdict": "altered"}, [2]),
        ({"marker": "door", "receipt": "yes"}, [1]),
        ({"text": "door", "verdict": "authentic", "receipt": "yes"}, [1]),
        ({"text": "bwv", "receipt": "no"}, [2]),
        ({"marker": "door", "begin": "2026-11-22T01:05:00Z", "end": "2026-11-22T02:00:00Z"}, [1]),  # was going on
        ({"text": "door", "begin": "2026-11-22T01:30:00Z"}, [2]),
        ({"page": "2"}, []),
    ],
)
async def test_a_search_finds_what_it_finds_in_a_folder(
    source: Callable[[], IndexSource], asked: dict[str, str], serials: list[int]
) -> None:
    async with desk_of(source()) as desk:
        found = await rows_of(desk.desk, Query.of(asked))
    assert [row.found.name for row in found.rows] == [recording(serial) for serial in serials]
    assert found.total == (5 if "page" in asked else len(serials))


SEARCH = "SEARCH mentions USING PRIMARY KEY (text=?"


@pytest.mark.parametrize(
    ("asked", "how"),
    [
        ({}, "SCAN recordings USING COVERING INDEX"),
        ({"verdict": "altered"}, "SEARCH recordings USING COVERING INDEX recordings_of_verdict"),
        ({"receipt": "no"}, "SEARCH recordings USING COVERING INDEX recordings_of_state"),
        ({"officer": "4711"}, SEARCH),
        ({"device": "BWV-0001"}, SEARCH),
        ({"marker": "door"}, SEARCH),
        ({"marker": "door", "officer": "4711", "begin": "2026-11-22", "text": "0001"}, SEARCH),
        ({"marker": "door", "verdict": "altered"}, SEARCH),
        ({"text": "0001"}, "SCAN recordings USING COVERING INDEX"),  # each id is another
        ({"text": "a door"}, SEARCH),
    ],
)
@pytest.mark.parametrize("counted", [False, True])
def test_a_search_reads_indexes_and_no_table_from_end_to_end(
    tmp_path: Path, asked: dict[str, str], how: str, counted: bool
) -> None:
    """What a hundred thousand rows take: each of the different texts is read once, and no row but of the page."""
    filled(tmp_path / "index.sqlite", 0)
    index = Index.reading(str(tmp_path / "index.sqlite"))
    every = matching(Query.of(asked), [])
    steps = []
    for asking in map(count_of, every) if counted else [page_of(every, 0, 100)]:
        plain = str(asking.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
        explained = f"EXPLAIN QUERY PLAN {plain}"
        steps += index.do(lambda db, one=explained: [row.detail for row in db.exec_driver_sql(one)])  # type: ignore[misc]  # mypy infers no lambda with defaults
    index.close()
    assert any(step.startswith(how) for step in steps), steps
    tables = [step for step in steps if step.startswith("SCAN") and "INDEX" not in step and "mentions" in step]
    assert tables == []
    assert all("COVERING INDEX" in step or "autoindex" in step for step in steps if " recordings " in step), steps


@pytest.mark.parametrize(
    "asked", [{"text": "0001"}, {"text": "0001", "officer": "4711", "device": "BWV-0001", "marker": "door"}]
)
def test_as_many_as_may_go_on_at_one_moment_are_asked_for_at_once(tmp_path: Path, asked: dict[str, str]) -> None:
    """A statement of SQLite's takes 32,766 values, where nobody has built it for more."""
    filled(tmp_path / "index.sqlite", 2)
    index = Index.reading(str(tmp_path / "index.sqlite"))
    began = "2026-11-22T01:00:00.000Z"
    also = [(began, recording(serial)) for serial in range(1, MOST_GOING_ON + 1)]
    every = matching(Query.of({**asked, "begin": "2026-11-22T01:05:00Z"}), also)
    page = page_of(every, 0, 100)
    found = index.do(lambda db: [row.recording for row in db.execute(page)])
    index.close()
    assert len(page.compile(dialect=sqlite.dialect(), compile_kwargs={"render_postcompile": True}).params) < 32_766
    assert found == [recording(serial) for serial in ((2, 1) if "marker" not in asked else (1,))]


async def test_more_recordings_than_can_be_looked_through_at_a_moment_are_told(
    source: Callable[[], IndexSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that leaves something out says so."""
    query = Query.of({"begin": "2026-11-22T03:05:00Z"})
    async with desk_of(source()) as desk:
        assert (await rows_of(desk.desk, query)).problems == []
        monkeypatch.setattr("bwvd.desk.index_source.MOST_GOING_ON", 0)
        found = await rows_of(desk.desk, query)
    assert [row.found.name for row in found.rows] == [recording(5), recording(4)]
    assert len(found.problems) == 1
    assert "of 1 recordings that were going on at 2026-11-22T03:05:00Z only 0 are looked through" in found.problems[0]


async def test_a_row_says_whose_verdict_it_is_and_who_took_it_over(source: Callable[[], IndexSource]) -> None:
    async with desk_of(source()) as asked:
        text = (await asked.client.get("/")).text
    assert text.count("by the custodian") == 4
    assert text.count("2026-11-23 00:00:00 · server") == 4
    assert "30.0 s" in text
    assert "&lt;b&gt;x&lt;/b&gt;" in text
    assert "(sealed)" in text


async def test_a_recording_of_the_index_is_verified_where_it_lies(tmp_path: Path) -> None:
    """Invariant 14: by the desk's own list."""
    camera = Camera(tmp_path / "card")
    (name,) = camera.record()
    store = VirtualStore()
    await carry(store, camera)
    index = Index.open(str(tmp_path / "index.sqlite"), STORE)
    with index.begin() as connection:
        row = {column.name: "" for column in schema.RECORDINGS.columns if str(column.type) == "TEXT"}
        numbers = {"serial": 1, "duration_s": 1.0, "segments": 1, "frames": 1, "bytes": 1, "encrypted": False}
        row |= {"device": "BWV-0001", "recording": name, "verdict": "altered"}
        connection.execute(insert(schema.RECORDINGS).values(**row, **numbers))
    index.close()
    reading = Index.reading(str(tmp_path / "index.sqlite"))
    async with desk_of(IndexSource(reading, "index", StoreSource(store, STORE, SIGNERS))) as asked:
        found = await asked.desk.find("BWV-0001", name)
        assert (await asked.desk.background.report(found)).verdict == "authentic"
        text = (await asked.client.get("/")).text
        assert 'data-verdict="authentic"' in text
        assert "by the custodian" not in text


async def test_a_store_without_an_index_is_read_row_by_row(tmp_path: Path) -> None:
    camera = Camera(tmp_path / "card")
    (name,) = camera.record(seconds=2)
    store = VirtualStore()
    await carry(store, camera)
    async with desk_of(StoreSource(store, STORE, SIGNERS)) as asked:
        assert "Of 1 nothing is known yet" in (await asked.client.get("/?officer=4711")).text
        text = (await asked.told()).text
        assert name in text
        assert 'data-verdict="authentic"' in text
        assert "a door" in text
        assert name in (await asked.client.get("/?officer=4711")).text
        assert await asked.desk.sources[0].find((await rows_of(asked.desk, Query())).rows[0].key) is not None


def test_an_index_is_read_and_never_written(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    with pytest.raises(Exception, match="index"):
        Index.reading(str(path))
    assert not path.exists()
    path.touch()
    with pytest.raises(IndexUnusable):
        Index.reading(str(path))
    path.unlink()
    filled(path)
    reading = Index.reading(str(path))
    with pytest.raises(Exception, match="readonly"):
        reading.do(lambda db: db.execute(insert(schema.FACTS).values(name="x", value="x")))
    reading.close()
