"""What a VirtualStore can be made to do wrong: each fault comes out as the contract's error, and nothing is half."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from bwvd.store.body import bytes_body
from bwvd.store.errors import (
    BodyDiffers,
    ClockSkewed,
    LockMissing,
    StoreError,
    StoreFull,
    StoreMisbehaved,
    StoreRefused,
    StoreUnreachable,
)
from bwvd.store.ports import EveryPage, EveryVersion, Put
from bwvd.testing.conformance.store import put, read
from bwvd.testing.store import FAULTS, SLOW_S, Fault, VirtualStore

CONTENT = bytes(range(256)) * 40
UNTIL = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)


async def _put(store: VirtualStore) -> object:
    digest = hashlib.sha256(CONTENT).digest()
    return await store.put("a/new", bytes_body(CONTENT), size=len(CONTENT), sha256=digest, retain_until=UNTIL)


CALLS: dict[str, Callable[[VirtualStore], Awaitable[object]]] = {
    "put": _put,
    "head": lambda store: store.head("a/old"),
    "get": lambda store: read(store, "a/old"),
    "page": lambda store: _listed(store),
    "versions": lambda store: _versions(store),
    "facts": lambda store: store.facts(),
}
RAISED: dict[Fault, type[StoreError]] = {
    Fault.UNREACHABLE: StoreUnreachable,
    Fault.LOST_ANSWER: StoreUnreachable,
    Fault.REFUSED: StoreRefused,
    Fault.SKEWED: ClockSkewed,
    Fault.MISBEHAVED: StoreMisbehaved,
    Fault.FULL: StoreFull,
    Fault.DAMAGED: BodyDiffers,
    Fault.HALF: StoreUnreachable,
    Fault.LOCK_REFUSED: LockMissing,
    Fault.LOCK_NOT_KEPT: LockMissing,
    Fault.TORN: StoreUnreachable,
    Fault.BACKWARDS: StoreMisbehaved,
}
DONE = {Fault.LOST_ANSWER, Fault.LOCK_NOT_KEPT, Fault.SLOW, Fault.UNSEEN}  # of a put: the object is there


async def _listed(store: VirtualStore) -> list[str]:
    return [one.name for page in [page async for page in EveryPage(store)] for one in page.objects]


async def _versions(store: VirtualStore) -> list[str]:
    return [one.version for page in [page async for page in EveryVersion(store)] for one in page.versions]


@pytest.mark.parametrize(("kind", "fault"), [(kind, fault) for kind, faults in FAULTS.items() for fault in faults])
async def test_a_fault_is_named_and_leaves_nothing_half(
    kind: str, fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariant 8: whatever a store does wrong, an object is there with its own content or not at all."""
    store = VirtualStore()
    await put(store, "a/old", b"old", until=UNTIL)
    store.every(fault)
    if fault in RAISED:
        with pytest.raises(RAISED[fault]) as raised:
            await CALLS[kind](store)
        assert str(raised.value).isprintable()
    else:
        began = trio.current_time()
        await CALLS[kind](store)
        assert (trio.current_time() - began >= SLOW_S) == (fault is Fault.SLOW)
    there = store.objects.get("a/new")
    assert (there is not None) == (kind == "put" and fault in DONE)
    assert there is None or there.content == CONTENT
    store.mend()
    if not (there and there.retain_until is None):
        assert await _put(store) is (Put.SAME if there else Put.NEW)
    assert store.puts == {"a/old": 1, "a/new": 1}
    assert await read(store, "a/old") == b"old"


async def test_bytes_that_were_never_put_come_out_as_they_are() -> None:
    """Invariant 16: a store's word is no evidence, so that whoever reads has to look for himself."""
    store = VirtualStore()
    await put(store, "a", b"content")
    for fault, given in ((Fault.WRONG, b"contenu"), (Fault.SHORT, b"conten")):
        store.strike(1, fault)
        assert await read(store, "a") == given
        assert await read(store, "a") == b"content"


async def test_a_fault_strikes_the_call_that_it_is_set_for() -> None:
    store = VirtualStore(capacity=5)
    store.strike(2, Fault.UNREACHABLE)
    await put(store, "a", b"aa")
    with pytest.raises(StoreUnreachable):
        await put(store, "b", b"bb")
    await put(store, "b", b"bb")
    with pytest.raises(StoreFull):
        await put(store, "c", b"cc")
    assert [call.kind for call in store.calls] == ["put"] * 4


async def test_a_forgetful_or_hostile_listing() -> None:
    store = VirtualStore()
    await put(store, "a", b"")
    store.every(Fault.FORGETFUL, "page")
    assert await _listed(store) == []
    store.mend()
    store.every(Fault.HOSTILE)
    page = await store.page("")
    assert [one.name for one in page.objects] == ["a"]
    assert len(page.hostile) == 5
    assert all(one.shown.isprintable() and len(one.shown) <= 201 for one in page.hostile)
