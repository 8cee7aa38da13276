"""Receipts for archives of a device's journal: what lets a camera forget files that are full (invariant 16)."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bwvd.custody.log import read_logs
from bwvd.evidence.release.receipt import accept_archive_receipt
from bwvd.store import names
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
)

RELEASE = list_of(custodian_line(CUSTODIAN, "evidence-server"))
SIGNERS = list_of(device_line(), custodian_line(CUSTODIAN, "evidence-server"), custodian_line(OTHER, "other"))


def archive_receipts(store: VirtualStore, camera: Camera) -> dict[str, bytes]:
    folder = f"{names.receipts_folder(camera.device)}{camera.storage}/"
    return {name.removeprefix(folder): held.content for name, held in store.objects.items() if name.startswith(folder)}


async def test_each_archive_that_the_next_file_names_gets_the_receipt_that_a_camera_takes(tmp_path: Path) -> None:
    """Invariant 16."""
    store, camera = VirtualStore(), Camera(tmp_path / "card", limit_bytes=9000)
    camera.record(4)
    await carry(store, camera)
    there = {
        name: held.content for name, held in store.objects.items() if name.endswith(".jsonl") and "/journal-" in name
    }
    assert len(there) > 2
    async with custody(store, tmp_path / "index") as working:
        await working.once()
        given = archive_receipts(store, camera)
        for name, content in there.items():
            archive = name.rpartition("/")[2]
            data = given.pop(archive.removesuffix("l"))
            receipt = accept_archive_receipt(data, None, [RELEASE], 1_795_400_000).receipt
            assert (receipt.journal, receipt.device) == (archive, "BWV-0001")
            assert receipt.sha512 == hashlib.sha512(content).hexdigest()
        assert given == {}
        before = dict(store.puts)
        await working.once()  # and once only
        assert store.puts == before
        events: list[str] = []
        assert await read_logs(store, CUSTODIAN.key, SIGNERS, lambda entry: events.append(entry.event)) == []
        assert events.count("archive_receipt") == len(there)


async def test_none_while_the_journal_is_not_what_it_was(tmp_path: Path) -> None:
    """Invariants 13 and 16."""
    store, camera = VirtualStore(), Camera(tmp_path / "card", limit_bytes=9000)
    camera.record(3)
    await carry(store, camera)
    archive = next(name for name in sorted(store.objects) if name.endswith("/journal-000002.jsonl"))
    content = bytearray(store.objects[archive].content)
    content[100] ^= 1
    store.objects[archive] = Held(bytes(content))
    async with custody(store, tmp_path / "index") as working:
        await working.once()
        assert archive_receipts(store, camera) == {}


async def test_none_while_anything_else_keeps_the_device_s_receipts_back(tmp_path: Path) -> None:
    """Invariant 16."""
    store, camera = VirtualStore(), Camera(tmp_path / "card", limit_bytes=9000)
    camera.record(3)
    camera.enter(draft("storage_rolled_back"))
    await carry(store, camera)
    async with custody(store, tmp_path / "index") as working:
        await working.once()
        assert archive_receipts(store, camera) == {}


async def test_what_lies_in_a_receipt_s_place_is_left_there(tmp_path: Path) -> None:
    """The camera judges it: a stranger's it refuses."""
    store, camera = VirtualStore(), Camera(tmp_path / "card", limit_bytes=9000)
    camera.record(3)
    await carry(store, camera)
    name = names.archive_receipt("BWV-0001", camera.storage, "journal-000001.jsonl")
    store.objects[name] = Held(b"another")
    async with custody(store, tmp_path / "index") as working:
        done = await working.once()
        assert (done.received, done.failed) == (3, {})
        assert store.objects[name].content == b"another"
        assert len(archive_receipts(store, camera)) > 1


async def test_of_two_custodians_one_gives_it(tmp_path: Path) -> None:
    store, camera = VirtualStore(), Camera(tmp_path / "card", limit_bytes=9000)
    camera.record(3)
    await carry(store, camera)
    async with custody(store, tmp_path / "index", signers=SIGNERS) as working:
        await working.once()
    given = archive_receipts(store, camera)
    async with custody(store, tmp_path / "index-2", signers=SIGNERS, signer=OTHER, name="other") as working:
        assert (await working.once()).failed == {}
    assert archive_receipts(store, camera) == given
