"""Positions of a two-position slide switch, turned into orders. Pure: neither trio nor av, and the time is an argument.

On means RECORD, at the first edge; off, once it has been steady, asks to stop. Moving a slide back is deliberate, so
its STOP is confirmed; a post-roll still follows, and moving it on again resumes. Rattling ends nothing (invariant 11):
off counts only after OFF_SETTLE_NS without an edge, and a position that a storm left behind asks for nothing.
"""

from __future__ import annotations

from collections.abc import Collection

from bwvd.config.schema import Gestures
from bwvd.controls.gesture import (
    NEVER,
    STORM_EDGES,
    STORM_PRESSES,
    STORM_WINDOW_NS,
    Asked,
    ButtonReader,
    ContactFault,
    FaultName,
    GestureEvent,
    LostEdges,
    Reader,
)
from bwvd.controls.ports import Edge
from bwvd.controls.storm import Rate
from bwvd.messages import Order

OFF_SETTLE_NS = 300_000_000  # a slide that is off for less was not put there


class SwitchReader:
    """The positions of a switch. It has no gestures to configure."""

    def __init__(self, debounce_ns: int) -> None:
        self._settle_ns = max(debounce_ns, OFF_SETTLE_NS)
        self._raw = False
        self._raw_ns = 0
        self._on = False  # the position that was last acted on
        self._edges = Rate(STORM_EDGES, STORM_WINDOW_NS)
        self._moves = Rate(STORM_PRESSES, STORM_WINDOW_NS)
        self._storm = False
        self._off_ns = self._calm_at_ns = NEVER

    @property
    def faults(self) -> Collection[FaultName]:
        return ["storm"] if self._storm else []

    @property
    def deadline(self) -> int | None:
        next_ns = min(self._off_ns, self._calm_at_ns)
        return None if next_ns == NEVER else next_ns

    def start(self, down: bool, at_ns: int) -> list[GestureEvent]:
        """On counts from the first look; off only if it was on when last seen."""
        self._raw, self._raw_ns = down, at_ns
        events: list[GestureEvent] = []
        if down:
            self._turn_on(at_ns, events)
        elif self._on:
            self._off_ns = at_ns + self._settle_ns
        return events

    def edge(self, edge: Edge) -> list[GestureEvent]:
        at_ns = max(edge.at_ns, self._raw_ns)
        events = self.expire(at_ns)
        was_raw = self._raw
        self._raw, self._raw_ns = edge.down, at_ns
        stormy = self._edges.note(at_ns, 1 + edge.lost)
        if self._storm:
            self._calm_at_ns = self._calm_ns(at_ns)
            return events
        if edge.lost or edge.down is was_raw:
            events.append(LostEdges(at_ns, max(edge.lost, 1)))
        if edge.down or edge.lost or not was_raw:  # a switch that is off again, after moves that nobody saw, was on
            self._turn_on(edge.at_ns, events)
        stormy = (edge.down and not was_raw and self._moves.note(at_ns)) or stormy
        if stormy:
            self._storm = True
            self._off_ns = NEVER
            self._calm_at_ns = self._calm_ns(at_ns)
            events.append(ContactFault("storm", active=True, at_ns=at_ns, detail="the switch rattles"))
        elif not edge.down and self._on:
            self._off_ns = at_ns + self._settle_ns
        return events

    def _turn_on(self, at_ns: int, events: list[GestureEvent]) -> None:
        self._off_ns = NEVER
        if not self._on:
            self._on = True
            events.append(Asked(Order.RECORD, at_ns, "on"))

    def _calm_ns(self, at_ns: int) -> int:
        return max(self._edges.calm_at_ns, self._moves.calm_at_ns, at_ns + self._settle_ns)

    def gone(self, at_ns: int) -> list[GestureEvent]:
        self._off_ns = self._calm_at_ns = NEVER
        self._edges.forget()
        self._moves.forget()
        events: list[GestureEvent] = []
        if self._storm:
            self._storm = False
            events.append(ContactFault("storm", active=False, at_ns=at_ns))
        return events

    def expire(self, now_ns: int) -> list[GestureEvent]:
        events: list[GestureEvent] = []
        if self._off_ns <= now_ns:
            self._off_ns = NEVER
            self._on = False
            events.append(Asked(Order.STOP, self._raw_ns, "off", confirmed=True))
        if self._calm_at_ns <= now_ns:
            at_ns, self._calm_at_ns = self._calm_at_ns, NEVER
            self._storm = False
            self._on = self._raw
            events.append(ContactFault("storm", active=False, at_ns=at_ns))
        return events


def gesture_reader(gestures: Gestures, mode: str, debounce_ns: int) -> Reader:
    """The reader for a control's configuration. ValueError, one line that names the key, if it can't be used."""
    if mode == "switch":
        return SwitchReader(debounce_ns)
    return ButtonReader(gestures, debounce_ns)
