"""The ledger of live actors, in which each says how long it may take, or that it waits by design. Pure.

An actor that works says `busy(seconds)`: longer than that without a word is stuck. One that waits for something that
need not come (a press, a client) says `idle()`. What does both, like a camera's reader, is always busy: a frame is due.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf

from bwvd.clock import NS


class Pulse:
    """One actor's line in the ledger. Costs a clock read per word.

    **Synchronization:** any one thread at a time; the ledger reads it from trio's thread.
    """

    def __init__(self, name: str, now_ns: Callable[[], int] = time.monotonic_ns, *, vital: bool = False) -> None:
        self.name = name
        self.vital = vital
        self._now_ns = now_ns
        self._due_ns: int | None = None

    def busy(self, deadline_s: float) -> None:
        """Something is being done that is over, or says so again, within `deadline_s`; inf = `idle`."""
        self._due_ns = None if deadline_s == inf else self._now_ns() + round(deadline_s * NS)

    def idle(self) -> None:
        """Waiting, by design, for as long as it takes."""
        self._due_ns = None

    @contextmanager
    def working(self, deadline_s: float) -> Iterator[None]:
        """Busy inside the block, idle after it, also on an error."""
        self.busy(deadline_s)
        try:
            yield
        finally:
            self.idle()

    def overdue_ns(self, now_ns: int) -> int:
        """By how much the deadline has passed; 0 or less = it has not."""
        return 0 if self._due_ns is None else now_ns - self._due_ns


@dataclass(frozen=True, slots=True)
class Stuck:
    """An actor that said nothing for too long."""

    name: str
    overdue_s: float
    vital: bool = False  # without it nothing is recorded, or nothing reaches the flash


class Ledger:
    """All pulses. **Synchronization:** one thread."""

    def __init__(self, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._now_ns = now_ns
        self._pulses: list[Pulse] = []

    @contextmanager
    def pulse(self, name: str, *, vital: bool = False) -> Iterator[Pulse]:
        """A line in the ledger for as long as the block lasts; idle at first. A name may be there only once.

        vital: whether only a restart helps when it is stuck, and is worth a recording that is cut for it.

        An actor that has ended can't be stuck: its error speaks for itself.
        """
        if name in self.names():
            raise ValueError(f"{name!r} is in the ledger already")
        pulse = Pulse(name, self._now_ns, vital=vital)
        self._pulses.append(pulse)
        try:
            yield pulse
        finally:
            self._pulses.remove(pulse)

    def stuck(self) -> list[Stuck]:
        """Who is past its deadline now, the longest first."""
        now_ns = self._now_ns()
        late = [(pulse.overdue_ns(now_ns), pulse.name, pulse.vital) for pulse in self._pulses]
        return [
            Stuck(name, overdue_ns / NS, vital)
            for overdue_ns, name, vital in sorted(late, reverse=True)
            if overdue_ns > 0
        ]

    def names(self) -> list[str]:
        """Who is in the ledger."""
        return sorted(pulse.name for pulse in self._pulses)
