"""Every fault of a store at every call of a custodian: no wrong receipt, none lost, no finding of the store's making.

Invariants 8 and 16: what a receipt lets go of is whole in the store, whatever the store answered meanwhile.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import trio

from bwvd.custody import index as at
from bwvd.custody.index import Index
from bwvd.custody.log import read_logs
from bwvd.evidence.release.receipt import accept_archive_receipt, accept_receipt
from bwvd.store import names
from bwvd.testing.store import FAULTS, Fault, Held, VirtualStore
from tests.support.custody_store import (
    CUSTODIAN,
    OTHER,
    Camera,
    custodian_line,
    custody,
    device_line,
    list_of,
    recording_id,
)

RELEASE = list_of(custodian_line(CUSTODIAN, "evidence-server"), custodian_line(OTHER, "other"))
SIGNERS = list_of(device_line(), custodian_line(CUSTODIAN, "evidence-server"), custodian_line(OTHER, "other"))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a carrier has put: a whole recording, and one that is on its way."""
    camera = Camera(tmp_path_factory.mktemp("camera") / "card", limit_bytes=9000)
    camera.record(2)
    objects = camera.objects()
    del objects[names.recording_file("BWV-0001", recording_id(2), "SHA256SUMS.sig")]
    return objects


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index without rows: its tables are made once."""
    path = tmp_path_factory.mktemp("index") / "empty.sqlite"
    Index.open(str(path), "virtual:").close()
    return path


def a_store(objects: dict[str, bytes]) -> VirtualStore:
    store = VirtualStore()
    store.objects = {name: Held(data) for name, data in objects.items()}
    return store


def check_receipts(store: VirtualStore, whole: int = 1) -> None:
    """Exactly the receipts that are due, each for the manifest that is there."""
    every = {name: held.content for name, held in store.objects.items() if "/receipts/" in name}
    there = {name: content for name, content in every.items() if "/journal-" not in name}
    archives = {
        name: held.content for name, held in store.objects.items() if name.endswith(".jsonl") and "/journal-" in name
    }
    for name, content in archives.items():
        *_, storage, archive = name.split("/")
        data = every[names.archive_receipt("BWV-0001", storage, archive)]
        accepted = accept_archive_receipt(data, None, [RELEASE], 1_795_400_000).receipt
        assert accepted.sha512 == hashlib.sha512(content).hexdigest()
    assert len(every) - len(there) == len(archives) > 0
    assert set(there) == {names.receipt("BWV-0001", recording_id(serial + 1)) for serial in range(whole)}
    for serial in range(whole):
        recording = recording_id(serial + 1)
        receipt = accept_receipt(there[names.receipt("BWV-0001", recording)], None, [RELEASE], 1_795_400_000).receipt
        manifest = store.objects[names.recording_file("BWV-0001", recording, "manifest.jsonl")].content
        assert receipt.manifest_sha512 == hashlib.sha512(manifest).hexdigest()
    assert all(count == 1 for count in store.puts.values())


async def calls_of_one_run(objects: dict[str, bytes], empty: Path, tmp_path: Path) -> list[str]:
    store = a_store(objects)
    async with custody(store, shutil.copy(empty, tmp_path / "counted"), jobs=1) as working:
        await working.once()
    check_receipts(store)
    return [call.kind for call in store.calls]


ALL = sorted({fault for each in FAULTS.values() for fault in each}, key=lambda fault: fault.name)
SAMPLE = 4  # in the plain suite each fault is tried at every so-manyth call, and each begins at another one


@pytest.mark.parametrize("fault", ALL)
async def test_a_fault_at_a_call(
    fault: Fault, full: dict[str, bytes], empty: Path, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariants 8 and 16."""
    await one_fault_at_calls(fault, full, empty, tmp_path, SAMPLE)


@pytest.mark.complete
@pytest.mark.parametrize("fault", ALL)
async def test_each_fault_at_each_call(
    fault: Fault, full: dict[str, bytes], empty: Path, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariants 8 and 16."""
    await one_fault_at_calls(fault, full, empty, tmp_path, 1)


async def one_fault_at_calls(fault: Fault, full: dict[str, bytes], empty: Path, tmp_path: Path, step: int) -> None:
    kinds = await calls_of_one_run(full, empty, tmp_path)
    suffered = [number for number, kind in enumerate(kinds, 1) if fault in FAULTS[kind]]
    assert suffered or fault in (Fault.LOCK_REFUSED, Fault.LOCK_NOT_KEPT)
    for number in suffered[ALL.index(fault) % min(step, max(1, len(suffered))) :: step]:
        store = a_store(full)
        async with custody(store, shutil.copy(empty, tmp_path / f"index-{number}"), jobs=1) as working:
            store.strike(number, fault)
            await working.once()
            store.mend()
            await working.once()
            check_receipts(store)
            found = working.post.index.do(at.all_findings)
            assert found == [], (number, kinds[number - 1], found)
            assert await read_logs(store, CUSTODIAN.key, SIGNERS, lambda _: None) == []


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.LOST_ANSWER, Fault.REFUSED, Fault.TORN, Fault.FULL])
async def test_a_fault_that_lasts_ends_no_custodian(
    fault: Fault, full: dict[str, bytes], tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """The daemon goes on by itself when it is over."""
    store = a_store(full)
    store.every(fault)
    async with custody(store, tmp_path / "index", jobs=1) as working, trio.open_nursery() as nursery:
        await nursery.start(working.custodian.run)
        while len(store.calls) < 30:  # noqa: ASYNC110  the store counts its calls, and tells nobody
            await trio.sleep(1)
        store.mend()
        await working.received(1)
        check_receipts(store)
        assert working.post.index.do(at.all_findings) == []
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("shared", [True, False])
async def test_two_custodians_at_once_give_one_receipt(
    shared: bool, full: dict[str, bytes], tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariant 16: with one index or with two, both with all devices."""
    store = a_store(full)
    store.latency_s = 0.01
    second = "index" if shared else "index-2"
    async with (
        custody(store, tmp_path / "index", signers=SIGNERS) as one,
        custody(store, tmp_path / second, signers=SIGNERS, signer=OTHER, name="other") as two,
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.once)
            nursery.start_soon(two.once)
        check_receipts(store)
        for working in (one, two):
            assert working.post.index.do(at.all_findings) == []
            assert working.post.index.do(at.count_of)["receipts"] == 1
        entered: list[str] = []
        problems = await read_logs(store, CUSTODIAN.key, SIGNERS, lambda entry: entered.append(entry.log))
        assert problems == []
        # Of one index the second may come to find all done already: threads go as they please under a virtual clock.
        both = {"evidence-server", "other"}
        assert entered
        assert set(entered) <= both if shared else set(entered) == both


async def test_a_custodian_that_is_cut_off_anywhere_is_followed_by_one_that_goes_on(
    full: dict[str, bytes], empty: Path, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariants 8 and 16: the process is killed at each call, and its answers are gone with it."""
    count = len(await calls_of_one_run(full, empty, tmp_path))
    for number in range(1, count + 1, SAMPLE):
        store = a_store(full)
        index = shutil.copy(empty, tmp_path / f"cut-{number}")
        store.strike(number, Fault.SLOW)
        async with custody(store, index, jobs=1) as working:
            with trio.move_on_after(60):
                await working.once()
        store.mend()
        async with custody(store, index, jobs=1) as working:
            await working.once()
            check_receipts(store)
            assert working.post.index.do(at.all_findings) == []
