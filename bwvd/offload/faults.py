"""The carrier's own faults: by name, told once when they begin and once when they are over."""

from __future__ import annotations

from collections.abc import Callable

from bwvd.clock import Clock
from bwvd.log import get_logger
from bwvd.text import clean

_log = get_logger("offload")


class Faults:
    """The faults that are active, with what is wrong and since when. **Synchronization:** trio's thread."""

    def __init__(self, clock: Clock, changed: Callable[[], None] = lambda: None) -> None:
        self.active: dict[str, tuple[str, int]] = {}  # by name: what is wrong, and since when (CLOCK_MONOTONIC)
        self._clock = clock
        self._changed = changed

    def report(self, name: str, active: bool, detail: str = "") -> None:
        """A fault begins, goes on with other words, or is over."""
        detail = clean(detail)
        before = self.active.get(name)
        if active == (before is not None) and (before is None or before[0] == detail):
            return
        if active:
            since_ns = before[1] if before is not None else self._clock.monotonic_ns()
            self.active[name] = detail, since_ns
            _log.warning("fault", name=name, detail=detail)
        else:
            del self.active[name]
            _log.info("fault_over", name=name)
        self._changed()
