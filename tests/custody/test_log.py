"""The custodian's log: signed, chained, put once. What was entered is there, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from bwvd.custody.log import Act, CustodyLog, Entered, LogBroken, object_name, read_logs
from bwvd.evidence.keys.sshsig import KeySigner
from bwvd.store.errors import StoreUnreachable
from bwvd.store.ports import Body, Put
from bwvd.testing.clock import VirtualClock
from bwvd.testing.store import Held, VirtualStore
from tests.support.custody_store import CUSTODIAN, OTHER, custodian_line, device_line, list_of

CLOCK = VirtualClock(seconds=lambda: 3.0)


def a_log(store: VirtualStore, signer: KeySigner = CUSTODIAN, name: str = "desk") -> CustodyLog:
    return CustodyLog(store, signer, name, CLOCK)


def act(number: int) -> Act:
    return Act("finding", {"number": number})


async def read(store: VirtualStore, own: KeySigner | None = CUSTODIAN, *lines: str) -> tuple[list[Any], list[str]]:
    found: list[Entered] = []
    problems = await read_logs(store, own.key if own else None, list_of(device_line(), *lines), found.append)
    return [one.detail["number"] for one in found], problems


async def test_what_is_entered_is_read_back_in_order(autojump_clock: trio.testing.MockClock) -> None:
    store = VirtualStore()
    log = a_log(store)
    for number in range(3):
        await log.enter(act(number))
    assert await read(store) == ([0, 1, 2], [])
    again = a_log(store)
    await again.enter(act(3), act(4))
    assert await read(store) == ([0, 1, 2, 3, 4], [])
    assert len(store.objects) == 4


async def test_what_waits_goes_into_one_object(autojump_clock: trio.testing.MockClock) -> None:
    store = VirtualStore()
    log = a_log(store)
    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(log.enter, act(number))
    numbers, problems = await read(store)
    assert (sorted(numbers), problems) == (list(range(50)), [])
    assert len(store.objects) <= 2


async def test_two_processes_of_one_name_write_one_chain(autojump_clock: trio.testing.MockClock) -> None:
    store = VirtualStore()
    logs = [a_log(store), a_log(store)]

    async def write(log: CustodyLog, first: int) -> None:
        for number in range(first, first + 20):
            await log.enter(act(number))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, logs[0], 0)
        nursery.start_soon(write, logs[1], 100)
    numbers, problems = await read(store)
    assert (sorted(numbers), problems) == ([*range(20), *range(100, 120)], [])


class Forgetful(VirtualStore):
    """Does what it is asked to, and its answer is lost."""

    lose = 0

    async def put(self, name: str, body: Body, **more: Any) -> Put:
        done = await super().put(name, body, **more)
        if self.lose:
            self.lose -= 1
            raise StoreUnreachable("the answer was lost")
        return done


async def test_a_lost_answer_loses_no_entry(autojump_clock: trio.testing.MockClock) -> None:
    store = Forgetful()
    log = CustodyLog(store, CUSTODIAN, "desk", VirtualClock(seconds=trio.current_time))
    await log.enter(act(0))
    store.lose = 1
    with pytest.raises(StoreUnreachable):
        await log.enter(act(1))
    await trio.sleep(1)
    await log.enter(act(1))
    numbers, problems = await read(store)
    assert (numbers, problems) == ([0, 1, 1], [])  # it may stand there twice


async def test_a_cancelled_entry_is_entered_or_not_and_the_next_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    store = VirtualStore()
    log = a_log(store)
    with trio.CancelScope() as scope:
        scope.cancel()
        await log.enter(act(0))
    await log.enter(act(1))
    assert await read(store) == ([1], [])


@pytest.mark.parametrize("kind", ["altered", "removed", "exchanged", "cut"])
async def test_a_log_that_was_changed_is_told(kind: str, autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 7, of the custodian's own records."""
    store = VirtualStore()
    log = a_log(store)
    for number in range(3):
        await log.enter(act(number))
    first, second = (f"custody/desk/{object_name(number)}" for number in (1, 2))
    match kind:
        case "altered":
            store.objects[second] = Held(store.objects[second].content.replace(b'"number":1', b'"number":7'))
        case "removed":
            del store.objects[second]
        case "exchanged":
            store.objects[second] = store.objects[first]
        case _:
            store.objects[second] = Held(store.objects[second].content[:-20])
    numbers, problems = await read(store)
    assert 1 not in numbers
    assert problems != []


async def test_nothing_is_added_to_a_log_that_is_not_ours(autojump_clock: trio.testing.MockClock) -> None:
    store = VirtualStore()
    await a_log(store, OTHER).enter(act(0))
    with pytest.raises(LogBroken, match="another key"):
        await a_log(store).enter(act(1))
    assert len(store.objects) == 1


async def test_whose_log_counts(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 14."""
    store = VirtualStore()
    await a_log(store, OTHER, "other").enter(act(0))
    numbers, problems = await read(store, CUSTODIAN)
    assert (numbers, len(problems)) == ([], 1)
    assert await read(store, CUSTODIAN, custodian_line(OTHER, "other")) == ([0], [])
    assert await read(store, OTHER) == ([0], [])
    numbers, problems = await read(store, None, custodian_line(OTHER, "another"))
    assert (numbers, len(problems)) == ([], 1)
