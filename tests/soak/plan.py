"""What happens to the device, and when: drawn from a seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    # what people do
    "press",
    "mark",
    "stop",
    "sleep",
    "wake",
    "mute",
    "unmute",
    "assign",
    "signal_record",
    "signal_mark",
    # what goes wrong
    "stall",
    "slow",
    "sync_error",
    "camera_away",
    "crowd",
    "noise",
    "reload",
    "bad_reload",
    "clock_step",
    "freeze",
]

# How often, against each other. Stops are few enough that recordings have a length.
ORDERS: dict[Kind, float] = {
    "press": 6,
    "mark": 3,
    "stop": 4,
    "sleep": 1,
    "wake": 2,
    "mute": 0.5,
    "unmute": 1,
    "assign": 0.5,
    "signal_record": 1,
    "signal_mark": 1,
}
FAULTS: dict[Kind, float] = {
    "stall": 3,
    "slow": 2,
    "sync_error": 1,
    "camera_away": 2,
    "crowd": 1,
    "noise": 2,
    "reload": 1,
    "bad_reload": 1,
    "clock_step": 1,
    "freeze": 1,
}
# The shortest and the longest, in seconds. No stall of up to 10 s may lose a frame; a played camera that is frozen for
# 2 s skips what it missed, and says so.
LENGTHS: dict[Kind, tuple[float, float]] = {
    "stall": (1, 10),
    "slow": (5, 20),
    "camera_away": (3, 20),
    "crowd": (2, 15),
    "freeze": (0.2, 1.2),
}

ORDER_EVERY_S = 8.0  # on average
FAULT_EVERY_S = 60.0
REHEARSAL_EVERY_S = 6.0


@dataclass(frozen=True, slots=True, order=True)
class Deed:
    """One thing that happens, `at_s` after the beginning, for `length_s`."""

    at_s: float
    kind: Kind
    length_s: float = 0.0


def plan(seed: int) -> Iterator[Deed]:
    """Everything in order, without end. It begins with a rehearsal: each kind once, so that what a daemon takes only
    when something happens for the first time is taken before anything is measured."""
    chance = random.Random(seed)
    at_s = 0.0
    rehearsal: list[Kind] = ["press", "signal_mark"]
    for fault in FAULTS:
        rehearsal += [fault, "mark"]
    rehearsal += ["stop", "sleep", "wake", "assign", "mute", "unmute", "signal_record", "stop"]
    for kind in rehearsal:
        at_s += REHEARSAL_EVERY_S
        yield Deed(at_s, kind, LENGTHS.get(kind, (0, 0))[1])
        at_s += LENGTHS.get(kind, (0, 0))[1]
    next_order_s = at_s + chance.expovariate(1 / ORDER_EVERY_S)
    next_fault_s = at_s + chance.expovariate(1 / FAULT_EVERY_S)
    while True:
        if next_order_s <= next_fault_s:
            yield Deed(next_order_s, *_drawn(chance, ORDERS))
            next_order_s += chance.expovariate(1 / ORDER_EVERY_S)
        else:
            yield Deed(next_fault_s, *_drawn(chance, FAULTS))
            next_fault_s += chance.expovariate(1 / FAULT_EVERY_S)


def _drawn(chance: random.Random, weights: dict[Kind, float]) -> tuple[Kind, float]:
    (kind,) = chance.choices(list(weights), list(weights.values()))
    return kind, chance.uniform(*LENGTHS.get(kind, (0, 0)))
