"""A virtual indicator that remembers what it showed and when, and that can be pulled out."""

from __future__ import annotations

from collections.abc import Callable

import trio

from bwvd.clock import NS
from bwvd.feedback.ports import Indicator, IndicatorLost


def _trio_ns() -> int:
    return round(trio.current_time() * NS)


class VirtualLamp:
    """`bwvd.feedback.ports.Lamp` without a device: the socket and, while it is plugged in, the lamp in it.

    `history` holds (time in ns, level) for every time the level became another one; `now_ns` gives the time, by default
    the running trio loop's. `unplug()` makes it fail like a device that went away, `plug()` heals it.

    **Synchronization:** one thread.
    """

    def __init__(
        self,
        name: str = "led:virtual",
        kind: str = "light",
        colour: str = "any",
        *,
        now_ns: Callable[[], int] = _trio_ns,
    ) -> None:
        self.name = name
        self.kind = kind
        self.colour = colour if kind == "light" else ""
        self.level = 0
        self.history: list[tuple[int, int]] = []
        self.opened = 0  # how often
        self.writes = 0  # calls of `set` that reached the lamp
        self._now_ns = now_ns
        self._plugged = True
        self._open = False

    @property
    def indicator(self) -> Indicator:
        """This lamp as something that can be opened, and opened again."""
        return Indicator(self.name, self.kind, self.colour, self.open)

    def open(self) -> VirtualLamp:
        """Raises IndicatorLost while it is unplugged, or held by somebody (as the kernel's EBUSY)."""
        if not self._plugged:
            raise IndicatorLost(f"{self.name}: No such file or directory")
        if self._open:
            raise IndicatorLost(f"{self.name}: Device or resource busy")
        self._open = True
        self.opened += 1
        self._show(0)
        return self

    def set(self, level: int) -> None:
        if not self._plugged or not self._open:
            raise IndicatorLost(f"{self.name}: No such device")
        if level < 0:
            raise ValueError(f"a level is not negative: {level}")
        self.writes += 1
        self._show(level if self.kind == "tone" else int(level > 0))

    def close(self) -> None:
        self._open = False
        if self._plugged:
            self._show(0)

    def unplug(self) -> None:
        """It goes dark, and every call fails until `plug`."""
        self._show(0)
        self._plugged = False

    def plug(self) -> None:
        """It can be opened again; what was open before stays lost until it is."""
        self._plugged = True
        self._open = False

    def _show(self, level: int) -> None:
        if level != self.level:
            self.level = level
            self.history.append((self._now_ns(), level))
