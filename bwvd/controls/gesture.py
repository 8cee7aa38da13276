"""Gestures of one button, turned into orders. Pure: neither trio nor av, and the time is an argument.

    down ──▶ press, at once: evidence first              up, steady for the debounce time ──▶ released
    down, steady for hold_s ──▶ hold                     second down within double_ms ──▶ double instead of press
    short press, then a hold ──▶ press_hold instead of hold

What comes out depends on the times of the edges, not on when the reader is asked. A doubtful movement never ends a
recording (invariant 11), and never goes unheard (invariant 5): it becomes RECORD, which ensures that a recording runs
and answers no question.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, Protocol

from bwvd.clock import NS
from bwvd.config.schema import Gestures
from bwvd.controls.ports import Edge
from bwvd.controls.storm import Rate
from bwvd.messages import Order

# No contact settles faster, so the second line of debouncing never goes below this, whatever the device does first.
MIN_DEBOUNCE_NS = 5_000_000
# A press this soon after a hold was released belongs to the same movement: it must not answer what the hold asked.
# (The machine guards the moment of the question; only the reader knows the moment of the release.)
HOLD_SETTLE_NS = 300_000_000
# No finger makes as many edges, bounces included, or presses in a second. The first catches a kilohertz of bouncing
# in a tenth of a second, the second a slow rattle that debouncing lets through.
STORM_EDGES = 200
STORM_PRESSES = 15
STORM_WINDOW_NS = NS
STUCK_NS = 60 * NS  # nobody holds a button that long on purpose

NEVER = 1 << 62

Movement = Literal["press", "double", "hold", "press_hold", "release", "unseen", "on", "off"]
FaultName = Literal["storm", "stuck"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A movement that asks for something."""

    order: Order
    at_ns: int  # the down edge's time, for a hold too: a hold whose own press began the recording can be told by it
    movement: Movement
    confirmed: bool = False  # see Command.confirmed


@dataclass(frozen=True, slots=True)
class ContactFault:
    """The contact misbehaves (`active`), or does so no longer."""

    name: FaultName
    active: bool
    at_ns: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LostEdges:
    """The contact moved and nobody saw how; `count` edges at least."""

    at_ns: int
    count: int


GestureEvent = Asked | ContactFault | LostEdges


class Reader(Protocol):
    """Turns the edges of one contact into gesture events. **Synchronization:** one caller at a time."""

    def start(self, down: bool, at_ns: int) -> list[GestureEvent]:
        """The contact was opened, or opened again, and stands like this."""
        ...

    def edge(self, edge: Edge) -> list[GestureEvent]:
        """The contact moved. Edges come in the order of their times; one out of order counts as now."""
        ...

    @property
    def deadline(self) -> int | None:
        """The time at which `expire` next has something to say, CLOCK_MONOTONIC; None = not before the next edge."""
        ...

    def expire(self, now_ns: int) -> list[GestureEvent]:
        """Return what the passing of time says. All edges before `now_ns` should have been handed in."""
        ...

    def gone(self, at_ns: int) -> list[GestureEvent]:
        """The contact was unplugged: what hangs on its being held ends."""
        ...

    @property
    def faults(self) -> Collection[FaultName]:
        """The faults of the contact now."""
        ...


def order_of(text: str, where: str) -> Order | None:
    """The order that a gesture's configuration names; None for "".

    Raises ValueError, one line that begins with `where` (the key), if there is no such order.
    """
    if not text:
        return None
    orders = [order for order in Order if order is not Order.ASSIGN]  # nobody can move an id
    if text not in orders:
        raise ValueError(f"{where}: there is no order {text!r}; there are {', '.join(orders)}")
    return Order(text)


# What an order becomes when the movement itself was not seen: what keeps evidence, and never what ends it.
_UNSEEN = {
    Order.PRESS: Order.RECORD,
    Order.RECORD: Order.RECORD,
    Order.MARK: Order.MARK,
    Order.MUTE: Order.UNMUTE,
    Order.UNMUTE: Order.UNMUTE,
    Order.WAKE: Order.WAKE,
}


class ButtonReader:
    """The gestures of a button.

    An order "mute" means two things: on a hold, MUTE while it is held and UNMUTE at its release; on a press or a
    double, MUTE and UNMUTE in turn. That is the only toggle there is: a wrong guess at its state costs audio, not
    video, and the next press puts it right.
    """

    def __init__(self, gestures: Gestures, debounce_ns: int) -> None:
        self._press_order = order_of(gestures.press, "gestures.press")
        self._hold_order = order_of(gestures.hold, "gestures.hold")
        self._double_order = order_of(gestures.double, "gestures.double")
        self._press_hold_order = order_of(gestures.press_hold, "gestures.press_hold")
        self._hold_ns = round(gestures.hold_s * NS)
        self._double_ns = gestures.double_ms * 1_000_000
        self._debounce_ns = max(debounce_ns, MIN_DEBOUNCE_NS)

        self._raw = False  # the position that the last edge gave
        self._raw_ns = 0  # that edge's time
        self._down = False  # the position after debouncing: a press begins at once, a release when it is steady
        self._pressed_ns = 0  # the first down edge of this press
        self._held = False  # this press has had its hold, or must not have one
        self._after_short = False  # this press follows a short one within double_ms
        self._short_ns = -NEVER  # the last single press, as the first half of a double
        self._hold_released_ns = -NEVER
        self._asked_stop = False  # the hold of this press, or of the last one, asked to stop
        self._may_answer = False  # this press follows one whose hold asked to stop
        self._mutes_by_hold = False
        self._mute_next = True  # what the toggle does next

        self._edges = Rate(STORM_EDGES, STORM_WINDOW_NS)
        self._presses = Rate(STORM_PRESSES, STORM_WINDOW_NS)
        self._press_sent_ns = -NEVER
        self._storm = False
        self._stuck = False

        self._release_ns = self._hold_at_ns = self._stuck_at_ns = self._calm_at_ns = NEVER

    @property
    def faults(self) -> Collection[FaultName]:
        faults: list[FaultName] = []
        if self._storm:
            faults.append("storm")
        if self._stuck:
            faults.append("stuck")
        return faults

    @property
    def deadline(self) -> int | None:
        next_ns = self._next_ns()
        return None if next_ns == NEVER else next_ns

    def _next_ns(self) -> int:
        return min(self._release_ns, self._hold_at_ns, self._stuck_at_ns, self._calm_at_ns)

    # --- edges -------------------------------------------------------------------------------------------------------

    def start(self, down: bool, at_ns: int) -> list[GestureEvent]:
        """Down without a down edge: the press came while nobody looked, and counts. The hold of it does not."""
        was_down, self._raw, self._raw_ns = self._down, down, at_ns
        events: list[GestureEvent] = []
        if down and not was_down:
            self._unseen(at_ns, events)
            self._begin_press(at_ns)
        if down:
            self._held = True
            self._hold_at_ns = NEVER
            self._stuck_at_ns = at_ns + STUCK_NS
        elif was_down:
            self._release(at_ns, events)
        return events

    def edge(self, edge: Edge) -> list[GestureEvent]:
        at_ns = max(edge.at_ns, self._raw_ns)
        events = self.expire(at_ns) if at_ns >= self._next_ns() else []
        was_raw, was_ns = self._raw, self._raw_ns
        self._raw, self._raw_ns = edge.down, at_ns
        if self._edges.note(at_ns, 1 + edge.lost) and not self._storm:
            self._begin_storm(at_ns, f"{STORM_EDGES} edges in a second", events)
        if self._storm:
            self._track_storm(edge.down, at_ns, was_ns)
        elif edge.lost or edge.down is was_raw:
            if edge.lost or at_ns - was_ns >= self._debounce_ns:
                self._edge_after_unseen(edge, at_ns, events)
        elif not edge.down:
            self._release_ns = at_ns + self._debounce_ns
            self._hold_at_ns = self._stuck_at_ns = NEVER
        elif self._down:  # the release was not steady: a bounce
            self._release_ns = NEVER
            self._time_hold(at_ns)
        else:
            self._press(edge.at_ns, at_ns, events)
        return events

    def _press(self, edge_ns: int, at_ns: int, events: list[GestureEvent]) -> None:
        if self._presses.note(at_ns):
            self._begin_storm(at_ns, f"{STORM_PRESSES} presses in a second", events)
            self._track_storm(True, at_ns, at_ns)
            return
        second = at_ns - self._short_ns <= self._double_ns
        self._begin_press(at_ns)
        self._pressed_ns = edge_ns
        self._after_short = second
        if second and self._double_order is not None:
            self._short_ns = -NEVER
            self._ask(self._in_turn(self._double_order), edge_ns, "double", events)
            return
        self._short_ns = at_ns
        order = self._press_order
        if order is Order.PRESS and at_ns - self._hold_released_ns < HOLD_SETTLE_NS:
            order = Order.RECORD
        if order is not None:
            self._ask(self._in_turn(order), edge_ns, "press", events)

    def _begin_press(self, at_ns: int) -> None:
        self._down = True
        self._pressed_ns = at_ns
        self._held = False
        self._may_answer, self._asked_stop = self._asked_stop, False
        self._after_short = False
        self._release_ns = NEVER
        self._time_hold(at_ns)

    def _time_hold(self, at_ns: int) -> None:
        """A hold is steady: it is timed from the last edge, so that a chattering contact never asks to stop."""
        self._stuck_at_ns = at_ns + STUCK_NS
        self._hold_at_ns = at_ns + self._hold_ns if not self._held and self._hold_means()[0] is not None else NEVER

    def _hold_means(self) -> tuple[Order | None, Movement]:
        if self._after_short and self._press_hold_order is not None:
            return self._press_hold_order, "press_hold"
        return self._hold_order, "hold"

    def _release(self, up_ns: int, events: list[GestureEvent]) -> None:
        self._down = False
        self._release_ns = self._hold_at_ns = self._stuck_at_ns = NEVER
        if self._held:
            self._hold_released_ns = up_ns
        self._end_mute(up_ns, events)
        if self._stuck:
            self._stuck = False
            events.append(ContactFault("stuck", active=False, at_ns=up_ns))

    def _end_mute(self, at_ns: int, events: list[GestureEvent]) -> None:
        if self._mutes_by_hold:
            self._mutes_by_hold = False
            self._ask(Order.UNMUTE, at_ns, "release", events)

    def _ask(self, order: Order, at_ns: int, movement: Movement, events: list[GestureEvent]) -> None:
        if order is Order.PRESS:
            self._press_sent_ns = at_ns
        events.append(Asked(order, at_ns, movement))

    def _in_turn(self, order: Order) -> Order:
        if order is not Order.MUTE:
            return order
        self._mute_next = not self._mute_next
        return Order.UNMUTE if self._mute_next else Order.MUTE

    # --- what was not seen -------------------------------------------------------------------------------------------

    def _edge_after_unseen(self, edge: Edge, at_ns: int, events: list[GestureEvent]) -> None:
        """Between the last edge and this one there were others: a press among them, as far as anybody knows."""
        events.append(LostEdges(at_ns, max(edge.lost, 1)))
        if self._down:
            self._release(at_ns, events)
        if self._presses.note(at_ns):
            self._begin_storm(at_ns, f"{STORM_PRESSES} presses in a second", events)
            self._track_storm(edge.down, at_ns, at_ns)
            return
        self._unseen(at_ns, events)
        self._short_ns = -NEVER
        if edge.down:
            self._begin_press(at_ns)

    def _unseen(self, at_ns: int, events: list[GestureEvent]) -> None:
        records = {Order.PRESS, Order.RECORD} & {self._press_order, self._double_order}
        order = Order.RECORD if records else _UNSEEN.get(self._press_order) if self._press_order else None
        if order is not None:
            self._mute_next = True
            self._ask(order, at_ns, "unseen", events)

    def gone(self, at_ns: int) -> list[GestureEvent]:
        events: list[GestureEvent] = []
        if self._release_ns != NEVER:
            self._release(self._raw_ns, events)
        self._end_mute(at_ns, events)
        self._held = self._down
        self._short_ns = -NEVER
        self._release_ns = self._hold_at_ns = self._stuck_at_ns = self._calm_at_ns = NEVER
        self._edges.forget()
        self._presses.forget()
        events.extend(ContactFault(name, active=False, at_ns=at_ns) for name in self.faults)
        self._storm = self._stuck = False
        return events

    # --- storms ------------------------------------------------------------------------------------------------------

    def _begin_storm(self, at_ns: int, detail: str, events: list[GestureEvent]) -> None:
        """Nothing that a storm does is meant. Its first edge was taken for a press, which may have answered a question:
        RECORD takes that back."""
        self._storm = True
        self._end_mute(at_ns, events)
        if self._press_sent_ns >= self._edges.first_ns:
            self._ask(Order.RECORD, at_ns, "unseen", events)
        if self._stuck:
            self._stuck = False
            events.append(ContactFault("stuck", active=False, at_ns=at_ns))
        self._release_ns = self._hold_at_ns = self._stuck_at_ns = NEVER
        events.append(ContactFault("storm", active=True, at_ns=at_ns, detail=detail))

    def _track_storm(self, down: bool, at_ns: int, was_ns: int) -> None:
        if down and at_ns - was_ns >= self._debounce_ns:
            self._presses.note(at_ns)
        self._calm_at_ns = max(self._edges.calm_at_ns, self._presses.calm_at_ns, at_ns + self._debounce_ns)

    def _end_storm(self, at_ns: int, events: list[GestureEvent]) -> None:
        self._storm = False
        self._calm_at_ns = NEVER
        self._short_ns = -NEVER
        self._down = self._held = self._raw  # a button that the storm left down has had its press, and gets no hold
        if self._down:
            self._pressed_ns = self._raw_ns
            self._stuck_at_ns = self._raw_ns + STUCK_NS
        events.append(ContactFault("storm", active=False, at_ns=at_ns))

    # --- time --------------------------------------------------------------------------------------------------------

    def expire(self, now_ns: int) -> list[GestureEvent]:
        events: list[GestureEvent] = []
        while (next_ns := self._next_ns()) <= now_ns:
            if next_ns == self._release_ns:
                self._release(self._raw_ns, events)
            elif next_ns == self._hold_at_ns:
                self._hold(events)
            elif next_ns == self._calm_at_ns:
                self._end_storm(next_ns, events)
            else:
                self._stuck_at_ns = NEVER
                self._stuck = True
                detail = f"down for {STUCK_NS // NS} s"
                events.append(ContactFault("stuck", active=True, at_ns=next_ns, detail=detail))
        return events

    def _hold(self, events: list[GestureEvent]) -> None:
        order, movement = self._hold_means()
        self._held = True
        self._hold_at_ns = NEVER
        self._short_ns = -NEVER
        if self._may_answer and self._press_order is Order.PRESS:
            # A grip after a grip is a struggle: the second one was no answer to the first. It may ask again.
            self._ask(Order.RECORD, self._pressed_ns, movement, events)
        if order is not None:
            self._asked_stop = order is Order.STOP
            self._mutes_by_hold = order is Order.MUTE
            self._ask(order, self._pressed_ns, movement, events)
