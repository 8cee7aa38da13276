"""What a carrier asks of a store: as few requests as carry a recording and fetch its receipt, counted."""

from __future__ import annotations

from collections import Counter

import pytest
from trio import sleep
from trio.testing import MockClock

from bwvd.offload import carrier as carrier_module
from bwvd.offload import collector as collector_module
from bwvd.offload.book import Standing
from bwvd.store import names
from bwvd.store.ports import Page
from bwvd.testing.store import Call, Fault, VirtualStore
from tests.support.carried import DEVICE, Camera, carrier_of, give_receipts, wrong_with


def about_recordings(store: VirtualStore) -> Counter[str]:
    """The calls since the last look that are about recordings and their receipts, by their kind."""
    calls, store.calls = store.calls, []
    return Counter(_kind(call) for call in calls if "/recordings/" in call.name or "/receipts/" in call.name)


def _kind(call: Call) -> str:
    return f"{call.kind} receipts" if "/receipts/" in call.name else call.kind


async def test_a_recording_costs_a_put_for_each_file_and_its_receipt_a_get(autojump_clock: MockClock) -> None:
    camera, store = Camera(), VirtualStore()
    files = sum(len(camera.files(camera.record(serial))) for serial in range(1, 6))
    carrier = carrier_of(camera)
    await carrier.round(store)
    assert about_recordings(store) == {"page": 1, "put": files}  # the page: what an earlier process has sent
    await sleep(11)
    await carrier.round(store)
    assert about_recordings(store) == {"page receipts": 1}
    more = len(camera.files(camera.record(6)))
    await carrier.round(store)
    assert about_recordings(store) == {"put": more}
    give_receipts(store)
    await sleep(60)
    await carrier.round(store)
    assert about_recordings(store) == {"page receipts": 1, "get receipts": 6}
    assert camera.recordings() == []


async def test_after_a_start_a_listing_tells_what_is_not_there_and_one_question_what_is(
    autojump_clock: MockClock,
) -> None:
    camera, store = Camera(), VirtualStore()
    for serial in (1, 2):
        camera.record(serial)
    await carrier_of(camera).round(store)
    files = len(camera.files(camera.record(3)))
    about_recordings(store)
    await carrier_of(camera).round(store)
    assert about_recordings(store) == {"page": 1, "head": 2, "put": files, "page receipts": 1}


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.MISBEHAVED])
async def test_a_listing_that_there_is_none_of_costs_questions_and_no_more(
    autojump_clock: MockClock, fault: Fault
) -> None:
    """The least rights have no listing; and a store whose listing is nonsense may take puts as it should."""
    camera, store = Camera(), VirtualStore()
    files = sum(len(camera.files(camera.record(serial))) for serial in (1, 2))
    store.every(fault, "page")
    carrier = carrier_of(camera)
    await carrier.round(store)
    assert about_recordings(store) == {"page": 1, "head": 2 * 2, "put": files}
    give_receipts(store)
    await sleep(11)
    await carrier.round(store)
    assert about_recordings(store) == {"page receipts": 1, "get receipts": 2}
    assert camera.recordings() == []
    more = len(camera.files(camera.record(3)))
    await carrier.round(store)
    assert about_recordings(store) == {"put": more}


@pytest.mark.parametrize("fault", [Fault.FORGETFUL, Fault.BACKWARDS, Fault.HOSTILE])
async def test_what_a_listing_says_decides_nothing(autojump_clock: MockClock, fault: Fault) -> None:
    """Invariants 8 and 16: one that leaves out, repeats or makes up costs puts that find the objects there."""
    camera, store = Camera(), VirtualStore()
    recording = camera.record(1, segments=5)
    await carrier_of(camera).round(store)
    del store.objects[names.recording_file(DEVICE, recording, "SHA256SUMS.sig")]  # it was cut before that
    other = camera.record(2)
    store.every(fault, "page")
    carrier = carrier_of(camera)
    await carrier.round(store)
    assert [wrong_with(store, one) for one in (recording, other)] == [[], []]
    assert all(row.standing is Standing.STORED for row in carrier.book.rows.values())
    give_receipts(store)
    for _ in range(3):
        await sleep(700)
        await carrier.round(store)
    if fault is Fault.FORGETFUL:  # it is asked for one by one only where one is due
        store.mend()
        await sleep(700)
        await carrier.round(store)
    assert camera.recordings() == []


async def test_a_recording_that_another_process_sends_at_the_same_time_is_not_sent_twice(
    autojump_clock: MockClock,
) -> None:
    """Two carriers, as a `--once` beside the service: what the put of the first file shows, one question settles."""
    camera, store = Camera(), VirtualStore()
    camera.record(1)
    one, two = carrier_of(camera), carrier_of(camera)
    await one.round(store)
    await two.round(store)
    camera.record(2, segments=6)
    await one.round(store)
    about_recordings(store)
    await two.round(store)
    assert about_recordings(store) == {"put": 1, "head": 1, "get receipts": 1}


async def test_what_is_put_again_because_nobody_may_look_has_its_receipt_asked_for_at_once(
    autojump_clock: MockClock,
) -> None:
    """The least rights: put, and its own receipts. `--once` has one round."""
    camera, store = Camera(), VirtualStore()
    camera.record(1)
    for kind in ("head", "page"):
        store.every(Fault.REFUSED, kind)
    await carrier_of(camera).round(store)
    give_receipts(store)
    await carrier_of(camera).round(store)
    assert camera.recordings() == []


async def test_a_listing_of_a_million_is_left_in_the_middle(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile store's, whose names never come to an end: what is not known is asked for by its name."""

    class Endless(VirtualStore):
        pages = 0

        async def page(self, prefix: str, *, after: str = "", cursor: str = "", folders: bool = False) -> Page:  # noqa: ARG002  the contract has it
            self.pages += 1
            await sleep(0.001)
            return Page(folders=tuple(f"{prefix}{self.pages:08d}{n:04d}/" for n in range(1000)), cursor=str(self.pages))

    monkeypatch.setattr(carrier_module, "MOST_PAGES", 5)
    monkeypatch.setattr(collector_module, "MOST_PAGES", 5)
    camera, store = Camera(), Endless()
    for serial in (1, 2):
        camera.record(serial)
    carrier = carrier_of(camera)
    await carrier.round(store)
    assert (store.pages, carrier.book.all_stored()) == (5, True)
    give_receipts(store)
    await sleep(11)
    await carrier.round(store)
    assert store.pages == 10
    assert camera.recordings() == []
