"""What a custodian asks of a store: as few requests as read each byte of a recording once, counted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bwvd.custody import bridge, device
from bwvd.store import names
from bwvd.testing.store import VirtualStore
from tests.support.custody_store import Camera, carry, custody, recording_id

FILES = 9  # of a recording of four seconds


def asked(store: VirtualStore) -> Counter[str]:
    """The calls since the last look, by their kind and what they are about."""
    calls, store.calls = store.calls, []
    return Counter(f"{call.kind} {_about(call.name)}" for call in calls)


def _about(name: str) -> str:
    return next((part for part in ("recordings", "journal", "receipts", "custody") if f"{part}/" in name), "devices")


@pytest.mark.parametrize("count", [1, 6])
async def test_each_file_is_read_once_and_what_there_is_listed_once(tmp_path: Path, count: int) -> None:
    """Of nine objects: as many reads, a listing, one of versions, an entry in the log and the receipt."""
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(count, seconds=4)
    await carry(store, camera)
    files = [name for name in store.objects if "/recordings/" in name]
    assert len(files) == count * FILES
    async with custody(store, tmp_path / "index", jobs=1) as working:
        store.calls.clear()
        done = await working.once()
        assert done.received == count
        found = asked(store)
        assert found["get recordings"] == len(files)
        assert found["page recordings"] == 1 + count  # which there are, and the files of each
        assert found["head recordings"] == 0
        assert found["versions devices"] == 1  # of all that there is; without `--once` one for each recording
        assert found["put custody"] <= count + 1  # an entry for each receipt, and one for the journal's head
        assert found["put receipts"] == count
        assert found["get receipts"] + found["page receipts"] == 1
        again = await working.once()
        assert again.idle
        assert not [kind for kind in asked(store) if kind.startswith("get recordings")]


async def test_what_is_coming_costs_one_request_a_pass(tmp_path: Path) -> None:
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(2, seconds=4)
    await carry(store, camera)
    for serial in (1, 2):
        del store.objects[names.recording_file("BWV-0001", recording_id(serial), "SHA256SUMS.sig")]
    async with custody(store, tmp_path / "index", jobs=1) as working:
        await working.once()
        store.calls.clear()
        assert (await working.once()).received == 0
        found = asked(store)
        assert found["page recordings"] + found["head recordings"] == 1 + 2
        assert found["get recordings"] == 0


async def test_a_manifest_that_is_longer_than_one_piece_is_read_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(1, seconds=4)
    await carry(store, camera)
    manifest = names.recording_file("BWV-0001", recording_id(1), "manifest.jsonl")
    size = len(store.objects[manifest].content)
    monkeypatch.setattr(bridge, "READ_BYTES", size // 3 + 1)
    async with custody(store, tmp_path / "index", jobs=1) as working:
        store.calls.clear()
        assert (await working.once()).received == 1
        assert sum(call.kind == "get" and call.name == manifest for call in store.calls) == 3


async def test_beginnings_of_manifests_are_kept_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not kept is read again: a device that was away for a year is no reason to grow."""
    monkeypatch.setattr(device, "MOST_KEPT_BYTES", 1)
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(3)
    await carry(store, camera)
    async with custody(store, tmp_path / "index", jobs=1) as working:
        store.calls.clear()
        assert (await working.once()).received == 3
        reads = Counter(call.name.rpartition("/")[2] for call in store.calls if call.kind == "get")
        assert reads["manifest.jsonl"] == 1 + 2 * 2  # the first one passes the bound


async def test_a_folder_of_more_than_a_page_is_listed_only_when_it_is_whole(tmp_path: Path) -> None:
    """A listing of many pages is no moment: what is whole is asked for first, and all of it listed then."""
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    recording = camera.record(1, seconds=4)[0]
    await carry(store, camera)
    folder = names.recording_folder("BWV-0001", recording)
    for number in range(1_200):
        store.objects[f"{folder}{number + 5:06d}.m4s"] = store.objects[f"{folder}000001.m4s"]
    async with custody(store, tmp_path / "index", jobs=1) as working:
        store.calls.clear()
        done = await working.once()
        assert done.findings == 1  # files that no record names
        assert pages_of(store, folder).count("page") >= 2 * 3  # a finding has two readings
        assert any(call.kind == "head" and call.name == f"{folder}SHA256SUMS.sig" for call in store.calls)


def pages_of(store: VirtualStore, folder: str) -> list[str]:
    return [call.kind for call in store.calls if call.name == folder and call.kind == "page"]
