"""The limit on floods: of one line a few are written, the rest counted.

A camera with a loose cable can make the same line thousands of times a second; the log must neither fill the flash nor
hide what else happens. Within a window the first lines of one identity (logger, event and what it is about) are
written, the rest counted; when the window is over, one line says how many there were.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, MutableMapping
from typing import Any

from bwvd.log.light import structlog

WINDOW_S = 60.0
SAME_LINES = 10  # of one identity within a window: enough to see what goes on
SAME_EVENT = 60  # of one event about whatever: identities can be made up by whoever sends us something
IDENTITIES = 512  # that are remembered at a time; a bound on memory

ABOUT = ("device", "source", "control", "name", "fault", "recording", "path")  # the fields that tell lines apart

EXEMPT = frozenset({"log_suppressed", "log_lines_lost"})


class _Window:
    __slots__ = ("lines", "since_s", "suppressed")

    def __init__(self, since_s: float) -> None:
        self.since_s = since_s
        self.lines = 0
        self.suppressed = 0


class Limiter:
    """A structlog processor that drops what is too much.

    `report(event, count, seconds)` is called when a window in which lines were dropped is over: at the next line of
    any kind, from the thread that logs it. **Synchronization:** any thread.
    """

    def __init__(
        self, report: Callable[[str, int, float], None], monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._report = report
        self._now = monotonic_s
        self._events: dict[tuple[str, str], _Window] = {}  # as many as the program has events
        self._abouts: dict[tuple[str, ...], _Window] = {}  # oldest first, at most IDENTITIES
        self._lock = threading.Lock()

    def __call__(self, logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """The event, or structlog.DropEvent."""
        name = str(event.get("event"))
        if name in EXEMPT:
            return event
        now_s = self._now()
        who = str(getattr(logger, "name", ""))
        about = tuple(str(event[key])[:100] for key in ABOUT if key in event)
        with self._lock:
            over = self._expire(now_s)
            windows = [self._events.setdefault((who, name), _Window(now_s))]
            if about:
                windows.append(self._abouts.setdefault((who, name, *about), _Window(now_s)))
            within = windows[-1].lines < SAME_LINES and windows[0].lines < SAME_EVENT
            if within:
                for window in windows:
                    window.lines += 1
            else:
                windows[0].suppressed += 1
        for event_name, window in over:
            self._report(event_name, window.suppressed, now_s - window.since_s)
        if not within:
            raise structlog.DropEvent
        return event

    def _expire(self, now_s: float) -> list[tuple[str, _Window]]:
        """Forget the windows that are over; return those that dropped lines, with the event's name."""
        for identity, window in list(self._abouts.items()):
            if now_s - window.since_s < WINDOW_S and len(self._abouts) < IDENTITIES:
                break
            del self._abouts[identity]
        over = [(key, window) for key, window in self._events.items() if now_s - window.since_s >= WINDOW_S]
        for key, _ in over:
            del self._events[key]
        return [(key[1], window) for key, window in over if window.suppressed]
