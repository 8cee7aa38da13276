"""The Protocol of what tells the officer something: a light, a motor, a sounder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class IndicatorLost(Exception):
    """The indicator is absent or was unplugged. One line that names it."""


class Lamp(Protocol):
    """Something that can be on or off: LED, vibration motor, sounder.

    Real: led, haptic, tone. Virtual: `bwvd.testing.lamp.VirtualLamp`.
    """

    name: str  # "led:red"
    kind: str  # "light" | "haptic" | "tone"
    colour: str  # for lights: "red" | "green" | "amber" | "any"; else ""

    def set(self, level: int) -> None:
        """0 = off; a light: 1 = on; a sounder: the frequency in hertz; a motor: 1 = on.

        Quick (a write to sysfs or a line request), called on trio's thread. Raises IndicatorLost.
        """
        ...

    def close(self) -> None:
        """Switch off and let go of the device. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Indicator:
    """A lamp as configured, which can be opened, lost, and opened again."""

    name: str  # the lamp's
    kind: str
    colour: str
    open: Callable[[], Lamp]  # switched off; quick; raises IndicatorLost
