"""Something is put in front of an object that is there: a bucket keeps both, and a person is told which was first."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio.testing

from bwvd.custody import custodian as custodian_module
from bwvd.custody import index as at
from bwvd.custody import versions
from bwvd.custody.device import DeviceRound, Round
from bwvd.custody.judge import State
from bwvd.store import names
from bwvd.store.errors import StoreMisbehaved
from bwvd.testing.store import Fault, Held, VirtualStore
from tests.support.custody_store import Camera, Working, carry, custody, recording_id

DEVICE = "BWV-0001"
SEGMENT = names.recording_file(DEVICE, recording_id(1), "000001.m4s")
MANIFEST = names.recording_file(DEVICE, recording_id(1), "manifest.jsonl")


def findings(working: Working) -> list[tuple[str, str, str]]:
    return [(row["kind"], row["recording"], row["detail"]) for row in working.post.index.do(at.all_findings)]


def states(working: Working) -> dict[str, str]:
    rows = working.post.index.do(lambda db: at.recording_rows(db, DEVICE))
    return {recording: row["state"] for recording, row in rows.items()}


@pytest.fixture
async def filled(tmp_path: Path) -> VirtualStore:
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(2)
    await carry(store, camera)
    return store


async def test_a_file_that_was_put_again_before_the_receipt_is_found_with_the_version_that_was_first(
    tmp_path: Path, filled: VirtualStore
) -> None:
    """Invariant 16: no receipt, as what a plain reader gets is not what the camera has sent."""
    first = len(filled.objects[SEGMENT].content)
    filled.replace(SEGMENT, b"forged")
    async with custody(filled, tmp_path / "index") as working:
        assert (await working.once()).received == 1
        ((_, recording, detail),) = [one for one in findings(working) if one[0] == "replaced"]
        assert recording == recording_id(1)
        said = f"000001.m4s: put again with other bytes; what was put first is version 1, {first} bytes"
        assert detail == said
        assert names.receipt(DEVICE, recording_id(1)) not in filled.objects
        assert states(working)[recording_id(1)] == State.FINDING
        assert (await working.once()).findings == 0  # told once


async def test_the_first_version_put_in_front_again_is_told_all_the_same(tmp_path: Path, filled: VirtualStore) -> None:
    """What is read is good, and somebody has been there."""
    content = filled.objects[SEGMENT].content
    filled.replace(SEGMENT, b"forged")
    filled.replace(SEGMENT, content)
    async with custody(filled, tmp_path / "index") as working:
        assert (await working.once()).received == 1
        assert [one[0] for one in findings(working)] == ["replaced"]


async def test_a_file_that_is_put_again_after_the_receipt_is_found_by_the_next_look_at_everything(
    tmp_path: Path, filled: VirtualStore
) -> None:
    async with custody(filled, tmp_path / "index") as working:
        assert (await working.once()).received == 2
        filled.replace(MANIFEST, b"{}")
        filled.replace(SEGMENT, b"")
        done = await working.once()
        assert (done.received, done.findings) == (0, 1)
        ((kind, recording, detail),) = findings(working)
        assert (kind, recording) == ("replaced", recording_id(1))
        assert "(and 1 more file)" in detail
        assert states(working)[recording_id(1)] == State.RECEIVED  # the receipt is given


async def test_a_recording_or_a_receipt_or_a_journal_that_is_hidden_is_found(
    tmp_path: Path, filled: VirtualStore
) -> None:
    (head,) = [name for name in filled.objects if "/heads/" in name]
    async with custody(filled, tmp_path / "index") as working:
        assert (await working.once()).received == 2
        filled.replace(names.recording_file(DEVICE, recording_id(1), "SHA256SUMS.sig"), None)
        filled.replace(names.receipt(DEVICE, recording_id(2)), None)
        filled.replace(head, None)
        await working.once()
        told = {(kind, recording): detail for kind, recording, detail in findings(working)}
        assert set(told) >= {("replaced", recording_id(1)), ("replaced", recording_id(2)), ("object_replaced", "")}
        assert all("hidden by a delete marker" in told[key] for key in told if "replaced" in key[0])
        assert head.removeprefix(names.device_folder(DEVICE)) in told["object_replaced", ""]


async def test_the_same_bytes_put_again_are_nothing(tmp_path: Path, filled: VirtualStore) -> None:
    """A bucket without `If-None-Match` keeps both of a put whose answer was lost."""
    filled.replace(SEGMENT, filled.objects[SEGMENT].content)
    async with custody(filled, tmp_path / "index") as working:
        assert (await working.once()).received == 2
        assert findings(working) == []


async def test_where_versions_may_not_be_listed_receipts_are_given(tmp_path: Path, filled: VirtualStore) -> None:
    filled.every(Fault.REFUSED, "versions")
    async with custody(filled, tmp_path / "index") as working:
        done = await working.once()
        assert (done.received, done.failed) == (2, {})


async def test_names_with_many_versions_and_many_names_take_bounded_memory(
    tmp_path: Path, filled: VirtualStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "MOST_TOLD", 10)
    for number in range(3_000):  # pages end in the midst of a name
        filled.replace(SEGMENT, str(number).encode())
    for number in range(100):
        name = f"devices/{DEVICE}/journal/x{number:03d}"
        filled.objects[name] = Held(b"1")
        filled.replace(name, b"2")
    found = await versions.replaced(filled, DEVICE, names.device_folder(DEVICE))
    assert len(found) == 10
    assert [one.recording for one in found].count(recording_id(1)) <= 1


async def test_the_daemon_looks_for_versions_of_everything_now_and_then(
    tmp_path: Path,
    filled: VirtualStore,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A request for each thousand objects, however old: less often than it looks at everything that is new."""
    monkeypatch.setattr(custodian_module, "EVERYTHING_S", 10.0)
    monkeypatch.setattr(custodian_module, "VERSIONS_S", 300.0)
    async with custody(filled, tmp_path / "index") as working, trio.open_nursery() as nursery:
        began_s = trio.current_time()
        await nursery.start(working.custodian.run)
        await working.received(2)
        filled.replace(SEGMENT, b"forged")
        while not findings(working):  # noqa: ASYNC110  in virtual time, which goes on with each look
            await trio.sleep(1)
        assert trio.current_time() - began_s >= 300
        assert [one[0] for one in findings(working)] == ["replaced"]
        nursery.cancel_scope.cancel()


async def test_a_device_that_fails_is_looked_at_again_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariant 16: a device that always fails costs itself a look at all of it, and no other one."""
    looks: dict[str, list[tuple[bool, bool]]] = {"BWV-0001": [], "BWV-0002": []}

    class Failing(DeviceRound):
        async def run(self) -> Round:
            looks[self._device].append((self._everything, self._versions))
            if self._device == "BWV-0002" and len(looks[self._device]) < 5:
                raise StoreMisbehaved("another thing each time")
            return Round(self._device)

    monkeypatch.setattr(custodian_module, "DeviceRound", Failing)
    monkeypatch.setattr(custodian_module, "EVERYTHING_S", 1e9)
    store = VirtualStore()
    for device in looks:
        store.objects[names.device_folder(device) + "recordings/x/y"] = Held(b"")
    async with custody(store, tmp_path / "index") as working, trio.open_nursery() as nursery:
        await nursery.start(working.custodian.run)
        while len(looks["BWV-0002"]) < 8:  # noqa: ASYNC110  in virtual time, which goes on with each look
            await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert looks["BWV-0001"][0] == (True, True)
    assert set(looks["BWV-0001"][1:]) == {(False, False)}
    assert looks["BWV-0002"] == [(True, True)] * 5 + [(False, False)] * 3
