"""A store that somebody has filled with a million names: bounded memory, and a custodian that comes to an end."""

from __future__ import annotations

import tracemalloc
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
import trio
from sqlalchemy import select

from bwvd.custody import index as at
from bwvd.custody import schema, shelf
from bwvd.custody.reindex import replay
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import MANIFEST_NAMESPACE, Chain
from bwvd.evidence.format.decode import decode
from bwvd.evidence.format.layout import MANIFEST, RECORDINGS
from bwvd.evidence.verify.journal import JournalFacts
from bwvd.store.names import DEVICES, journal_folder
from bwvd.store.ports import PAGE_OBJECTS, HostileName, Page, StoredObject
from bwvd.testing.store import Held, VirtualStore
from tests.support.custody_store import Camera, carry, custody, draft, recording_id
from tests.support.evidence_keys import fixed_signer
from tests.support.postgresql import a_database


class Endless(VirtualStore):
    """A million entries, told page by page as a store tells them; none is held."""

    def __init__(self, entries: int, *, hostile: bool = False) -> None:
        super().__init__()
        self.entries = entries
        self.hostile = hostile

    async def page(self, prefix: str, *, after: str = "", cursor: str = "", folders: bool = False) -> Page:  # noqa: ARG002  the contract has it
        await trio.lowlevel.checkpoint()
        begin = int(cursor or 0)
        numbers = range(begin, min(begin + PAGE_OBJECTS, self.entries))
        more = str(begin + PAGE_OBJECTS) if begin + PAGE_OBJECTS < self.entries else ""
        if self.hostile:
            return Page(hostile=tuple(HostileName(f"{prefix}\\x1b{number}") for number in numbers), cursor=more)
        if prefix == DEVICES and folders:
            return Page(folders=tuple(f"{DEVICES}BWV-{number:07d}/" for number in numbers), cursor=more)
        return Page(tuple(StoredObject(f"{prefix}{number:07d}", 1) for number in numbers), cursor=more)


@pytest.mark.parametrize("hostile", [True, False])
async def test_a_million_names_in_a_recording_take_bounded_memory(hostile: bool) -> None:
    store = Endless(1_000_000, hostile=hostile)
    tracemalloc.start()
    try:
        files = await shelf.recording(store, "BWV-0001", "20261122T071505Z-BWV-0001-000001")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(files.files) <= shelf.MOST_FILES
    assert len(files.strange) <= shelf.MOST_STRANGE
    assert files.more is not hostile
    assert peak < 120_000_000


async def test_a_million_recordings_of_a_device_are_not_all_held() -> None:
    class Filled(Endless):
        async def page(self, prefix: str, *, after: str = "", cursor: str = "", folders: bool = False) -> Page:  # noqa: ARG002  the contract has it
            page = await super().page(prefix, cursor=cursor)
            numbers = [one.name[-7:] for one in page.objects]
            return Page(folders=tuple(f"{prefix}20261122T071505Z-BWV-0001-{n}/" for n in numbers), cursor=page.cursor)

    found, rest = await shelf.recordings(Filled(1_000_000), "BWV-0001")
    assert (len(found), rest.more) == (shelf.MOST_RECORDINGS, True)


async def test_journals_of_a_million_storages_are_told_within_bounds() -> None:
    class Storages(Endless):
        async def page(self, prefix: str, *, after: str = "", cursor: str = "", folders: bool = False) -> Page:
            if prefix != journal_folder("BWV-0001"):  # of one storage's
                names = [f"{prefix}x{number:03d}" for number in range(500)]
                return Page(tuple(StoredObject(name, 1) for name in names))
            page = await super().page(prefix, after=after, cursor=cursor, folders=folders)
            return Page(
                folders=tuple(f"{prefix}{int(one.name[-7:]):032x}/" for one in page.objects), cursor=page.cursor
            )

    shelves, strange = await shelf.journals(Storages(10_000), "BWV-0001")
    assert (len(shelves), len(strange)) == (shelf.MOST_STORAGES, shelf.MOST_STRANGE)
    assert max(len(one.strange) for one in shelves) == shelf.MOST_STRANGE


async def test_many_devices_are_worked_on_as_they_are_listed(tmp_path: Path) -> None:
    class Devices(Endless):
        async def page(self, prefix: str, *, after: str = "", cursor: str = "", folders: bool = False) -> Page:  # noqa: ARG002  the contract has it
            if prefix != DEVICES:
                return Page()
            return await super().page(prefix, cursor=cursor, folders=folders)

    store = Devices(1_000)
    async with custody(store, tmp_path / "index") as working:
        done = await working.once()
        assert done.devices == 1_000
        assert done.failed == {}


async def test_what_lies_beside_the_devices_is_a_finding(tmp_path: Path) -> None:
    """Invariant 16: a name that no camera has is told, opened by nobody, and holds nobody's receipt back."""
    store = VirtualStore()
    camera = Camera(tmp_path / "card")
    camera.record()
    await carry(store, camera)
    hostile = ["devices/\x1b[31mred/recordings/a", "devices/-rf/x", "devices/file"]
    for name in hostile:
        store.objects[name] = Held(b"x")
    async with custody(store, tmp_path / "index") as working:
        done = await working.once()
        assert (done.received, done.failed) == (1, {})
        rows = working.post.index.do(at.all_findings)
        assert {(row["device"], row["kind"]) for row in rows} == {("", "stranger")}
        assert len(rows) == len(hostile) == done.findings
        assert all(row["detail"].isprintable() for row in rows)
        assert (await working.once()).findings == 0
        await replay(working.post)
        assert working.post.index.do(at.all_findings) == rows
        for name in hostile[:2]:
            del store.objects[name]
        await working.once()
        assert [row["detail"] for row in working.post.index.do(at.all_findings)] == [
            "devices/file: no camera has such a name"
        ]


async def test_a_million_names_beside_the_devices_are_told_within_bounds(tmp_path: Path) -> None:
    async with custody(Endless(20_000, hostile=True), tmp_path / "index") as working:
        done = await working.once()
        assert (done.findings, done.failed) == (shelf.MOST_STRANGE, {})


async def test_numbers_that_no_database_holds_are_a_finding_and_end_no_custodian(tmp_path: Path) -> None:
    """Invariant 16: who has a camera's credentials can put a manifest that counts on and on; the others go on."""
    store, other = VirtualStore(), Camera(tmp_path / "other", "BWV-0002")
    hostile = Camera(tmp_path / "hostile", signer=fixed_signer(42))  # whose key nobody lists
    path = tmp_path / "hostile" / RECORDINGS / hostile.record(1, seconds=4)[0] / MANIFEST
    chain, data = Chain(hostile.signer, MANIFEST_NAMESPACE), b""
    for line in path.read_bytes().splitlines(keepends=True)[::2]:
        record = decode(line)
        assert isinstance(record, records.Record)
        if isinstance(record, records.Segment):
            record = msgspec.structs.replace(record, frames=2**63 - 1, bytes=2**63 - 1)
        data += chain.line(record)
    path.write_bytes(data)
    other.record()
    await carry(store, hostile, other)
    async with custody(store, tmp_path / "index") as working:
        done = await working.once()
        assert (done.received, done.failed) == (1, {})
        rows = working.post.index.do(lambda db: at.recording_rows(db, "BWV-0001"))
        assert [(row["frames"], row["bytes"]) for row in rows.values()] == [(2**63 - 1, 2**63 - 1)]


@pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgresql", marks=[pytest.mark.engines, pytest.mark.short])]
)
async def test_a_journal_of_a_device_that_writes_what_no_database_holds_ends_no_round(
    tmp_path: Path, database: str
) -> None:
    """Invariant 16: who has a camera's key can sign any entry; the recording that it made before gets its receipt."""
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    good = camera.record()[0]
    hostile = [
        draft("opened", recording="x\0y", serial=2),
        draft("opened", recording=recording_id(1), serial=True),
        draft("opened", recording=recording_id(3), serial=2**63 - 1),
        draft("opened", recording=recording_id(4, "BWV-0002"), serial=4),
    ]
    camera.enter(*hostile)
    await carry(store, camera)
    with ExitStack() as stack:
        url = str(tmp_path / "index") if database == "sqlite" else stack.enter_context(a_database())
        async with custody(store, url) as working:
            done = await working.once()
            assert (done.received, done.failed) == (1, {})
            numbers = working.post.index.do(lambda db: db.execute(select(schema.NUMBERS)).all())
            assert [(row.serial, row.recording) for row in numbers] == [(1, good)]


def test_what_a_journal_says_of_recordings_is_of_its_device_and_can_be_told() -> None:
    """Invariant 16: an entry with a time that is none, a number that is none, or another device's id."""
    facts = JournalFacts(device="BWV-0001")
    stamp = records.Stamp(mono_ns=1, utc="2026\0" * 100, quality="synchronised")
    said: list[tuple[str, dict[str, str | int | float | bool | None]]] = [
        ("storage_rolled_back", {}),
        ("released", {"recording": recording_id(1), "serial": 1}),
        ("closed", {"recording": recording_id(2), "serial": 2, "segments": True}),
        ("closed", {"recording": recording_id(3), "serial": 4, "segments": 1}),
        ("closed", {"recording": recording_id(5, "BWV-0002"), "serial": 5, "segments": 1}),
    ]
    for event, detail in said:
        facts.take(records.Entry(n=1, event=event, stamp=stamp, detail=detail))
    assert (facts.serials, facts.closed) == ({1: recording_id(1)}, {})
    assert all(utc.isprintable() for utc in (*facts.rolled_back, *facts.released.values()))
    assert len(facts.released[recording_id(1)]) < 500
