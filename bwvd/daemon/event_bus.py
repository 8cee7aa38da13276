"""The event bus: every event to journal, feedback, serial lines and status.

One sender must never wait for a listener: each has a channel with a bound of its own, and what finds it full is counted
and lost for that listener alone. The journal has its own queue with its own promise (see `evidence.journal`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import trio

from bwvd.clock import Clock
from bwvd.log import get_logger
from bwvd.messages import Event, FaultChanged

# A listener that has let this many events pile up is stuck: a hand and a clock make a few a second at the most.
LISTENER_BOUND = 256

_log = get_logger("event")


@dataclass(slots=True)
class _Listener:
    name: str
    send: trio.MemorySendChannel[Any]
    lost: int = 0


@dataclass(slots=True)
class Hub:
    """Publishes events and knows the faults that are active.

    **Synchronization:** trio's thread.
    """

    clock: Clock
    faults: dict[str, FaultChanged] = field(default_factory=dict)
    _listeners: list[_Listener] = field(default_factory=list)
    _sinks: list[Callable[[Event], None]] = field(default_factory=list)

    def listen(self, name: str) -> trio.MemoryReceiveChannel[Event]:
        """A channel with every event from now on. Closing it ends the listening."""
        send, receive = trio.open_memory_channel[Event](LISTENER_BOUND)
        self.attach(name, send)
        return receive

    def attach(self, name: str, send: trio.MemorySendChannel[Any]) -> None:
        """Send every event from now on into a channel of the listener's own; it is closed with the hub."""
        self._listeners.append(_Listener(name, send))

    def sink(self, take: Callable[[Event], None]) -> None:
        """Call `take` with every event from now on; it must not block."""
        self._sinks.append(take)

    def fault(self, name: str, detail: str) -> None:
        """Raise a fault; with the same detail again: nothing happens."""
        self.publish(FaultChanged(name, True, self.clock.monotonic_ns(), detail))

    def clear(self, name: str) -> None:
        """Clear a fault, if it is active."""
        self.publish(FaultChanged(name, False, self.clock.monotonic_ns()))

    def report(self, name: str, active: bool, detail: str) -> None:
        """Raise a fault or clear it."""
        if active:
            self.fault(name, detail)
        else:
            self.clear(name)

    def publish(self, event: Event) -> None:
        """Tell everybody. Never waits."""
        if isinstance(event, FaultChanged):
            known = self.faults.get(event.name)
            if event.active:
                if known is not None and known.detail == event.detail:
                    return
                self.faults[event.name] = event
            elif self.faults.pop(event.name, None) is None:
                return
        name, values = _log_entry(event)
        _log.info(name, **values)
        for take in self._sinks:
            take(event)
        for listener in list(self._listeners):
            try:
                listener.send.send_nowait(event)
            except trio.WouldBlock:
                listener.lost += 1
            except trio.BrokenResourceError:
                self._listeners.remove(listener)

    def close(self) -> None:
        """No more events: every listener's channel ends."""
        for listener in self._listeners:
            listener.send.close()
        self._listeners.clear()


def _log_entry(event: Event) -> tuple[str, dict[str, object]]:
    """The log's event name and fields. The officer's id is private: that it changed is logged, not what to."""
    name = "".join("_" + letter.lower() if letter.isupper() else letter for letter in type(event).__name__).lstrip("_")
    values = {slot: getattr(event, slot) for slot in event.__slots__ if slot not in ("at_ns", "officer", "name")}
    if isinstance(event, FaultChanged):
        values["fault"] = event.name
    return name, values
