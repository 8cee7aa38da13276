"""A kind of fault: where it can strike, how it does, and where to look what must come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import trio

from bwvd.testing.flash.faults import Operation
from tests.faults.outcomes import ALLOWED
from tests.faults.shift import END_S, Phase, World

TICK_S: Final = 0.25  # between two moments of those faults that strike at a moment
OFFSET_S: Final = 0.01  # so that a moment lies between two frames


class After(Enum):
    """What the next start finds."""

    AS_IT_IS = "the same storage, read by another process"
    LEAST = "what is certain after a power cut"
    MOST = "all that was written"
    TORN = "any of what a power cut may leave"


@dataclass(frozen=True)
class Reference:
    """A shift without a fault: what there is to strike at."""

    operations: Sequence[Operation]
    steps: Sequence[str]  # the actor whose step it was
    echoes: Mapping[str, int]  # how often something was told or asked, by whom


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    `places` numbers what it can strike; `strike` arranges for that, before the shift begins, and calls `world.strike`
    when it happens. What is right to come of it is in `tests.faults.outcomes`: anything else is a failure, and so is an
    outcome that no case shows.
    """

    name: str
    what: str  # for the table
    places: Callable[[Reference], Sequence[int]]
    strike: Callable[[World, int], None]
    camera: bool = False  # the camera itself misses frames
    silent: bool = False  # what tells the wearer is what fails
    after: After = After.AS_IT_IS
    observe: Callable[[World], str] | None = None  # the outcome, where it is what an order was answered
    has_sound: bool = False
    has_position: bool = False  # a satellite receiver, and positions from before the press too
    heals: bool = True  # at the end of the shift nothing of the fault is left
    lasts_s: float = 20.0  # what heals is over, and no fault is told any more
    ends: frozenset[str] = field(default_factory=frozenset)  # reasons of an end that the script did not ask for

    @property
    def outcomes(self) -> Mapping[Phase, frozenset[str]]:
        """Those that are right, by phase; a phase that is not there can't be struck."""
        return ALLOWED[self.name]


Struck = Callable[[World], None]


# --- where ---


def moments(_: Reference) -> Sequence[int]:
    """Every quarter of a second of the shift."""
    return range(round(END_S / TICK_S) - 1)


def at_moment(do: Struck) -> Callable[[World, int], None]:
    """Strike at the nth moment."""

    def strike(world: World, nth: int) -> None:
        async def wait() -> None:
            await world.until(nth * TICK_S + OFFSET_S)
            world.strike()
            do(world)

        world.beside.append(wait)

    return strike


def later(seconds: float, first: Struck, then: Struck) -> Callable[[World, int], None]:
    """Strike at the nth moment, and undo it so many seconds later."""

    def strike(world: World, nth: int) -> None:
        async def wait() -> None:
            await world.until(nth * TICK_S + OFFSET_S)
            world.strike()
            first(world)
            await trio.sleep(seconds)
            then(world)

        world.beside.append(wait)

    return strike
