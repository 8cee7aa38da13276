"""Orders that the script does not have, at any moment; the wall clock and the battery, at any moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bwvd.messages import Order, Pressed
from tests.faults.kind import Kind, at_moment, moments
from tests.faults.shift import World

EXTRA: Final = "extra"  # the source of orders that the script does not have


def _give(order: Order, *, confirmed: bool = False, text: str = "") -> Callable[[World], None]:
    def give(world: World) -> None:
        world.order(order, EXTRA, confirmed=confirmed, text=text)

    return give


def _storm(world: World) -> None:
    """As many orders as a hand can't give, all at once."""
    for _ in range(20):
        world.order(Order.PRESS, EXTRA)
        world.order(Order.MARK, EXTRA, text="x" * 300)
        world.order(Order.STOP, EXTRA)


def _answered(world: World) -> str:
    """What the first order that the script does not have was answered with."""
    found = [event for event in world.events if isinstance(event, Pressed) and event.source == EXTRA]
    return found[0].outcome if found else "nothing"


def _not_set(world: World) -> None:
    world.clock.quality, world.clock.uncertainty_us = "not_set", None


def _empty(world: World) -> None:
    world.battery = 1


ORDERS: Final = [
    Kind(
        "press",
        "a press",
        moments,
        at_moment(_give(Order.PRESS)),
        observe=_answered,
    ),
    Kind("record", "`record`", moments, at_moment(_give(Order.RECORD)), observe=_answered),
    Kind(
        "hold",
        "a hold that nobody confirms",
        moments,
        at_moment(_give(Order.STOP)),
        observe=_answered,
    ),
    Kind(
        "stop",
        "`stop`",
        moments,
        at_moment(_give(Order.STOP, confirmed=True)),
        observe=_answered,
    ),
    Kind("mark", "`mark`", moments, at_moment(_give(Order.MARK, text="a")), observe=_answered),
    Kind(
        "sleep",
        "`sleep`",
        moments,
        at_moment(_give(Order.SLEEP)),
        camera=True,
        observe=_answered,
    ),
    Kind("storm", "sixty orders at once", moments, at_moment(_storm), observe=_answered),
]

SURROUNDINGS: Final = [
    Kind("clock-forward", "the wall clock jumps an hour ahead", moments, at_moment(lambda w: w.clock.step(3600))),
    Kind("clock-back", "the wall clock jumps an hour back", moments, at_moment(lambda w: w.clock.step(-3600))),
    Kind("clock-not-set", "the wall clock loses its time", moments, at_moment(_not_set), heals=False),
    Kind("battery-empty", "the battery is critical", moments, at_moment(_empty), ends=frozenset({"battery"})),
]

KINDS: Final = [*ORDERS, *SURROUNDINGS]
