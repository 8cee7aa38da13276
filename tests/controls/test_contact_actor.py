"""A contact's actor: commands with the hand's time, gestures by the clock, faults and reopening."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from bwvd.config.schema import Gestures
from bwvd.controls.contact_actor import run_contact
from bwvd.controls.ports import allowing
from bwvd.controls.slide_switch import gesture_reader
from bwvd.messages import Answer, Command, FaultChanged, Order
from bwvd.testing.clock import VirtualClock
from bwvd.testing.contact import VirtualContact

MockClock = trio.testing.MockClock


@dataclass
class Bench:
    """A contact with its actor, and what came out of it."""

    contact: VirtualContact
    clock: VirtualClock
    commands: list[Command] = field(default_factory=list)
    faults: list[FaultChanged] = field(default_factory=list)

    def orders(self) -> list[Order]:
        return [command.order for command in self.commands]

    def told(self) -> list[tuple[str, bool]]:
        return [(fault.name, fault.active) for fault in self.faults]


@asynccontextmanager
async def bench(*, mode: str = "button", present: bool = True, down: bool = False) -> AsyncIterator[Bench]:
    clock = VirtualClock()
    made = Bench(VirtualContact("gpio:record", clock, present=present, down=down), clock)
    reader = gesture_reader(Gestures(), mode, 20_000_000)
    async with trio.open_nursery() as nursery:
        await nursery.start(run_contact, made.contact, reader, made.commands.append, clock, made.faults.append)
        yield made
        nursery.cancel_scope.cancel()


async def test_a_press_is_a_command_with_the_edges_time(autojump_clock: MockClock) -> None:
    async with bench() as made:
        await trio.sleep(3)
        pressed_ns = made.clock.monotonic_ns()
        await made.contact.press(0.2)
        await trio.sleep(10)
        assert made.commands == [Command(Order.PRESS, "gpio:record", pressed_ns)]


async def test_a_hold_asks_to_stop_when_it_has_lasted(autojump_clock: MockClock) -> None:
    async with bench() as made:
        pressed_ns = made.clock.monotonic_ns()
        made.contact.move(down=True)
        await trio.sleep(2.999)
        assert made.orders() == [Order.PRESS]
        await trio.sleep(0.002)
        assert made.commands[1:] == [Command(Order.STOP, "gpio:record", pressed_ns)]


@pytest.mark.parametrize("_attempt", range(20))  # trio wakes tasks in any order
async def test_a_release_that_waits_to_be_read_overtakes_the_hold(autojump_clock: MockClock, _attempt: int) -> None:
    """Invariant 11: a late look at the clock makes no hold of a press that had ended."""
    async with bench() as made:
        made.contact.move(down=True)
        await trio.testing.wait_all_tasks_blocked()
        autojump_clock.autojump_threshold = float("inf")
        autojump_clock.jump(2.9)
        made.contact.move(down=False)  # in the queue, unread, when the clock jumps over the hold's time
        autojump_clock.jump(1)
        await trio.testing.wait_all_tasks_blocked()
        assert made.orders() == [Order.PRESS]


async def test_a_lost_contact_is_a_fault_until_it_is_back(autojump_clock: MockClock) -> None:
    async with bench() as made:
        await trio.sleep(60)
        made.contact.unplug()
        await trio.sleep(120)
        made.contact.plug()
        await trio.sleep(10.1)
        assert made.told() == [
            ("control:gpio:record", True),
            ("control:gpio:record", True),
            ("control:gpio:record", False),
        ]
        assert [fault.detail for fault in made.faults] == ["gpio:record: unplugged", "gpio:record: no such device", ""]
        await made.contact.press()
        assert made.orders() == [Order.PRESS]


async def test_a_hold_ends_with_its_contact(autojump_clock: MockClock) -> None:
    """Invariant 11: a plug that is torn out while the button is down asks for nothing."""
    async with bench() as made:
        made.contact.move(down=True)
        await trio.sleep(1)
        made.contact.unplug()
        await trio.sleep(100)
        assert made.orders() == [Order.PRESS]


async def test_reopening_waits_longer_each_time(autojump_clock: MockClock) -> None:
    attempts: list[float] = []

    class Absent(VirtualContact):
        async def run(self, *args: object, **more: object) -> None:
            attempts.append(trio.current_time())
            await super().run(*args, **more)  # type: ignore[arg-type]  # handed on as they came

    clock = VirtualClock()
    contact = Absent("gpio:record", clock, present=False)
    with trio.move_on_after(40):
        await run_contact(contact, gesture_reader(Gestures(), "button", 0), lambda _: None, clock, lambda _: None)
    assert [round(after - before, 3) for before, after in itertools.pairwise(attempts)] == [
        0.5,
        1,
        2,
        4,
        8,
        10,
        10,
    ]


async def test_a_contact_that_comes_and_goes_is_not_tried_ever_faster(autojump_clock: MockClock) -> None:
    async with bench() as made:
        for _ in range(100):
            made.contact.unplug()
            await trio.sleep(0.1)
            made.contact.plug()
            await trio.sleep(0.9)
        assert made.contact.opened < 20


async def test_the_daemon_does_not_wait_for_an_absent_contact(autojump_clock: MockClock) -> None:
    async with bench(present=False) as made:
        assert made.told() == [("control:gpio:record", True)]
        made.contact.plug()
        await trio.sleep(1)
        assert made.told() == [("control:gpio:record", True), ("control:gpio:record", False)]


async def test_a_press_during_reopening_counts(autojump_clock: MockClock) -> None:
    """Invariant 5: held while nobody looked; RECORD, since nobody knows since when."""
    async with bench() as made:
        made.contact.unplug()
        await trio.sleep(5)
        made.contact.plug()
        made.contact.move(down=True)
        await trio.sleep(11)
        assert made.orders() == [Order.RECORD]
        await trio.sleep(30)
        assert made.orders() == [Order.RECORD]  # and no hold


async def test_the_position_of_a_switch_counts_at_the_start_and_after_reopening(autojump_clock: MockClock) -> None:
    async with bench(mode="switch", down=True) as made:
        assert made.orders() == [Order.RECORD]
        made.contact.unplug()
        await trio.sleep(1)
        made.contact.move(down=False)
        made.contact.plug()
        await trio.sleep(11)
        assert [(command.order, command.confirmed) for command in made.commands[1:]] == [(Order.STOP, True)]


async def test_a_storm_through_a_queue_that_overflows(autojump_clock: MockClock) -> None:
    """Invariant 11: ten seconds at 1 kHz."""
    async with bench() as made:
        await made.contact.storm(10.0, 0.001)
        await trio.sleep(10)
        assert made.orders() == [Order.PRESS, Order.RECORD]
        assert made.told() == [("control:gpio:record:storm", True), ("control:gpio:record:storm", False)]
        await made.contact.press()
        assert made.orders()[2:] == [Order.PRESS]


async def test_lost_edges_are_told_and_count_as_a_press(autojump_clock: MockClock) -> None:
    """Invariant 5."""
    async with bench() as made:
        made.contact.lose(2)
        await trio.sleep(1)
        made.contact.move(down=True)
        await trio.sleep(1)
        assert made.orders() == [Order.RECORD]
        assert made.told() == [("control:gpio:record:lost_edges", True), ("control:gpio:record:lost_edges", False)]
        assert made.faults[0].detail == "2 at least"


async def test_a_stuck_button_is_a_fault(autojump_clock: MockClock) -> None:
    async with bench() as made:
        await made.contact.press(70)
        await trio.sleep(1)
        assert made.told() == [("control:gpio:record:stuck", True), ("control:gpio:record:stuck", False)]
        assert made.orders() == [Order.PRESS, Order.STOP]


async def test_cancelling_lets_go_of_the_contact(autojump_clock: MockClock) -> None:
    async with bench() as made:
        assert made.contact.is_open
    assert not made.contact.is_open


def test_a_control_gives_only_the_orders_that_it_may_give() -> None:
    sent: list[Command] = []
    refused: list[tuple[Order, str]] = []
    answers: list[Answer] = []
    send = allowing(["record", "mark"], sent.append, lambda command, reason: refused.append((command.order, reason)))
    for order in (Order.RECORD, Order.STOP, Order.PRESS, Order.MARK):
        send(Command(order, "gpio:record", 0, reply=answers.append))
    assert [command.order for command in sent] == [Order.RECORD, Order.MARK]
    assert refused == [
        (Order.STOP, "gpio:record may not ask for stop"),
        (Order.PRESS, "gpio:record may not ask for press"),
    ]
    assert answers == [Answer(ok=False, text=reason) for _, reason in refused]
    assert allowing([], sent.append, lambda *_: None) == sent.append
