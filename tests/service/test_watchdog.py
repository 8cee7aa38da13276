"""The watchdog is fed while everybody lives, and only then."""

from __future__ import annotations

import math
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from bwvd.clock import NS
from bwvd.service.notify import Notifier
from bwvd.service.pulse import Ledger, Pulse, Stuck
from bwvd.service.watchdog import run_watchdog


def trio_ns() -> int:
    return round(trio.current_time() * NS)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    there = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    there.bind(str(tmp_path / "notify"))
    yield there
    there.close()


def feeds(manager: socket.socket) -> int:
    count = 0
    while True:
        try:
            count += manager.recv(4096) == b"WATCHDOG=1"
        except BlockingIOError:
            return count


async def test_a_stuck_actor_starves_the_watchdog_until_it_speaks_again(
    autojump_clock: MockClock, manager: socket.socket
) -> None:
    notifier = Notifier(manager.getsockname(), watchdog_ns=1 * NS)
    ledger, told = Ledger(trio_ns), []

    async with trio.open_nursery() as nursery:
        await nursery.start(run_watchdog, notifier, ledger, lambda one, bad: told.append((one.name, bad)))
        with ledger.pulse("writer", vital=True) as writer, ledger.pulse("controls"):
            await trio.sleep(9.5)
            assert feeds(manager) == 10  # all idle
            writer.busy(3)
            await trio.sleep(3)
            assert feeds(manager) == 3  # still in time
            await trio.sleep(5)
            assert feeds(manager) == 0
            assert told == [("writer", True)]
            writer.busy(3)
            await trio.sleep(1)
            assert told == [("writer", True), ("writer", False)]
            assert feeds(manager) == 1
            await trio.sleep(5)
        await trio.sleep(2)  # it has left: whoever has ended is not stuck
        assert told[2:] == [("writer", True), ("writer", False)]
        assert feeds(manager) > 0
        nursery.cancel_scope.cancel()
    notifier.close()


async def test_what_only_serves_does_not_starve_it(autojump_clock: MockClock, manager: socket.socket) -> None:
    """A fuel gauge on a dead bus is a fault; a restart would cut the recording and find the same bus."""
    notifier = Notifier(manager.getsockname(), watchdog_ns=1 * NS)
    ledger, told = Ledger(trio_ns), []

    async with trio.open_nursery() as nursery:
        await nursery.start(run_watchdog, notifier, ledger, lambda one, bad: told.append((one.name, bad)))
        with ledger.pulse("power") as power, ledger.pulse("recorder", vital=True):
            power.busy(3)
            await trio.sleep(50)
            feeds(manager)
            await trio.sleep(8.5)
            assert feeds(manager) >= 8
            assert told == [("power", True)]
        nursery.cancel_scope.cancel()
    notifier.close()


async def test_a_blocked_loop_starves_the_watchdog(manager: socket.socket) -> None:
    """No ledger can be asked where the loop that would ask is blocked: the feeding itself hangs on it."""
    notifier = Notifier(manager.getsockname(), watchdog_ns=NS // 100)
    asked = threading.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(run_watchdog, notifier, Ledger(), lambda *_: None)
        await trio.testing.wait_all_tasks_blocked()
        assert feeds(manager) == 1
        asked.wait(0.1)  # blocks trio's thread for ten intervals
        assert feeds(manager) == 0
        await trio.sleep(0.05)
        assert feeds(manager) > 0
        nursery.cancel_scope.cancel()
    notifier.close()


async def test_without_a_manager_the_ledger_is_looked_at_all_the_same(autojump_clock: MockClock) -> None:
    ledger, told = Ledger(trio_ns), []
    async with trio.open_nursery() as nursery:
        await nursery.start(run_watchdog, Notifier(None), ledger, lambda one, bad: told.append((one, bad)))
        with ledger.pulse("camera") as camera:
            camera.busy(2)
            await trio.sleep(11)
            nursery.cancel_scope.cancel()
    assert told == [(Stuck("camera", 3.0), True)]


def test_who_waits_for_ever_is_idle_and_never_late() -> None:
    """Invariant 12: a camera that sleeps has nothing that is due, and is not started again for it."""
    now = [0]
    pulse = Pulse("recorder", lambda: now[0])
    pulse.busy(3)
    pulse.busy(math.inf)
    now[0] = 10**6 * NS
    assert pulse.overdue_ns(now[0]) == 0
    pulse.busy(3)
    now[0] += 4 * NS
    assert pulse.overdue_ns(now[0]) == NS


def test_working_is_idle_after_the_block_even_on_an_error() -> None:
    now = [0]
    pulse = Pulse("writer", lambda: now[0])

    def stall() -> None:
        now[0] = 2 * NS
        assert pulse.overdue_ns(now[0]) == NS
        raise OSError("stall")

    with pytest.raises(OSError, match="stall"), pulse.working(1):
        stall()
    assert pulse.overdue_ns(now[0]) == 0


def test_a_name_is_in_the_ledger_once() -> None:
    ledger = Ledger()
    with ledger.pulse("writer"):
        with pytest.raises(ValueError, match="'writer'"), ledger.pulse("writer"):
            pass
        assert ledger.names() == ["writer"]
    assert ledger.names() == []
    with ledger.pulse("writer"):
        pass


@given(st.lists(st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.floats(0, 10)), st.floats(0, 5))))
def test_stuck_is_exactly_who_was_busy_past_its_deadline(words: list[tuple[str, float | None, float]]) -> None:
    now = [0]
    ledger = Ledger(lambda: now[0])
    with ledger.pulse("a") as a, ledger.pulse("b") as b, ledger.pulse("c") as c:
        pulses = {"a": a, "b": b, "c": c}
        due: dict[str, int] = {}
        for name, deadline_s, passes_s in words:
            if deadline_s is None:
                pulses[name].idle()
                due.pop(name, None)
            else:
                pulses[name].busy(deadline_s)
                due[name] = now[0] + round(deadline_s * NS)
            now[0] += round(passes_s * NS)
            assert {one.name for one in ledger.stuck()} == {name for name, at_ns in due.items() if at_ns < now[0]}
            overdue = [one.overdue_s for one in ledger.stuck()]
            assert overdue == sorted(overdue, reverse=True)
