"""A flood of valid commands fills neither journal nor manifest, and whoever sends it hears why."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.clock import NS
from bwvd.config.schema import Config, Serial
from bwvd.controls.command_rate import BURST, REFILL_NS, TOO_MANY, paced
from bwvd.controls.storm import Bucket
from bwvd.daemon import control_actors
from bwvd.messages import Answer, Command, Order
from bwvd.testing.clock import VirtualClock

HOUR_NS = 3600 * NS


class World:
    """A daemon's part that controls know, at a time that the test says."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.clock = VirtualClock(seconds=lambda: self.now_s)
        self.posted: list[Command] = []
        self.told: list[Any] = []
        self.answers: list[Answer] = []
        self.controls: list[str] = []
        self.post = self.posted.append
        self.status = dict
        self.hub = SimpleNamespace(publish=self.told.append, sink=lambda _: None, listen=lambda _: None)

    def command(self, order: Order = Order.MARK) -> Command:
        return Command(order, "test", self.clock.monotonic_ns(), reply=self.answers.append)


def test_a_flood_is_answered_and_told_once() -> None:
    """Invariant 5: what is not obeyed is refused with its reason, and the reason is journalled."""
    world = World()
    refused: list[str] = []
    send = paced(world.post, world.clock, lambda _, reason: refused.append(reason))
    for _ in range(10_000):
        send(world.command())
    assert len(world.posted) == BURST
    assert [answer.text for answer in world.answers] == [TOO_MANY] * (10_000 - BURST)
    assert refused == [f"test: {TOO_MANY}"]
    world.now_s += REFILL_NS / NS
    send(world.command(Order.STOP))
    assert world.posted[-1].order is Order.STOP
    send(world.command())
    assert len(refused) == 2  # another flood


@given(st.lists(st.integers(0, 3 * NS), max_size=200))
def test_no_flood_gets_more_than_its_bound(gaps: list[int]) -> None:
    pace, now_ns, through = Bucket(5, NS), 0, 0
    for gap in gaps:
        now_ns += gap
        through += pace.lets_through(now_ns)
    assert through <= 5 + now_ns // NS


@given(st.lists(st.integers(NS, 3 * NS), max_size=100))
def test_the_pace_of_a_hand_is_never_refused(gaps: list[int]) -> None:
    pace, now_ns = Bucket(2, NS), 0
    for gap in gaps:
        now_ns += gap
        assert pace.lets_through(now_ns)


def test_a_clock_that_stands_still_or_a_long_rest() -> None:
    pace = Bucket(2, NS)
    assert [pace.lets_through(0) for _ in range(3)] == [True, True, False]
    assert [pace.lets_through(HOUR_NS) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("actor", "runner"),
    [
        (
            partial(control_actors.serial_line, Serial(port="/dev/ttyS9", allow=["mark"])),
            "bwvd.controls.serial.run_serial",
        ),
        (
            partial(control_actors.serial_line, Serial(port="/dev/ttyS9", allow=["record"])),
            "bwvd.controls.serial.run_serial",
        ),
        (partial(control_actors.control_socket, Config()), "bwvd.daemon.control_actors.run_socket"),
    ],
    ids=["serial", "serial, not allowed", "socket"],
)
async def test_lines_and_the_socket_are_paced(
    actor: Callable[..., Any], runner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what a line may not ask for leaves no flood of refusals in the journal."""
    world = World()

    async def flood(_: object, send: Callable[[Command], None], *__: object, **___: object) -> None:
        for _number in range(5000):
            send(world.command())

    monkeypatch.setattr(runner, flood)
    await actor(world, task_status=None)
    assert len(world.posted) <= BURST
    assert len(world.told) <= BURST + 1
    assert len(world.posted) + len(world.answers) == 5000
