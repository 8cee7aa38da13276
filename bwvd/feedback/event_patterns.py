"""The meaning of an event to the officer. Pure: feeds the player of patterns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from bwvd.feedback.patterns import Condition, Signal
from bwvd.feedback.player import PatternPlayer
from bwvd.messages import (
    Assigned,
    ClockStepped,
    Event,
    FaultChanged,
    LowStorage,
    Muted,
    Order,
    Pressed,
    Progressed,
    Recorded,
    Reminder,
    State,
    StateChanged,
    StopAsked,
    StopNotConfirmed,
)


@dataclass(frozen=True, slots=True)
class ShuttingDown:
    """Closing in order has begun: shown until everything is on the flash."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class AllClosed:
    """Everything is on the flash, and nothing more will be written: the last thing that is shown."""

    at_ns: int


# What a repeated order is answered with: it is in force already, which its sender wants to hear as much as a change.
_ALREADY = {
    Order.RECORD: Signal.STARTED,
    Order.MUTE: Signal.MUTED,
    Order.UNMUTE: Signal.UNMUTED,
    Order.SLEEP: Signal.ASLEEP,
    Order.WAKE: Signal.AWAKE,
}


class Interpreter:
    """Keeps a player in step with the events. **Synchronization:** one task."""

    def __init__(self, player: PatternPlayer) -> None:
        self._player = player
        self._faults: set[str] = set()

    def take(self, event: Event | ShuttingDown | AllClosed, now_ns: int) -> None:
        """Show one event from `now_ns` on (CLOCK_MONOTONIC)."""
        player = self._player
        match event:
            case StateChanged():
                player.base(event.state, now_ns)
                player.end(Condition.STOP_ASKED)
                signal = _of_change(event.before, event.state)
                if signal is not None:
                    player.play(signal, now_ns)
            case Pressed():
                self._pressed(event, now_ns)
            case StopAsked():
                player.begin(Condition.STOP_ASKED, now_ns, event.until_ns)
            case StopNotConfirmed():
                player.end(Condition.STOP_ASKED)
                player.play(Signal.STOP_NOT_CONFIRMED, now_ns)
            case Reminder():
                player.play(Signal.REMINDER, now_ns)
            case FaultChanged():
                self._fault(event, now_ns)
            case LowStorage():
                player.play(Signal.LOW_STORAGE if event.minutes > 0 else Signal.STORAGE_FULL, now_ns)
            case Muted():
                player.play(Signal.MUTED if event.muted else Signal.UNMUTED, now_ns)
            case ShuttingDown():
                player.begin(Condition.SHUTTING_DOWN, now_ns)
                player.play(Signal.CLOSING, now_ns)
            case AllClosed():
                player.base(State.ASLEEP, now_ns)
                for condition in Condition:
                    player.end(condition)
                player.play(Signal.CLOSED, now_ns)
            case Recorded() | Progressed() | ClockStepped() | Assigned():
                pass  # nothing that an officer has to act on
            case _:
                assert_never(event)

    def _pressed(self, event: Pressed, now_ns: int) -> None:
        match event.outcome:
            case "refused":
                self._player.play(Signal.REFUSED, now_ns)
            case "marker":
                self._player.play(Signal.MARKED, now_ns)
            case "already":
                if event.order is Order.RECORD:  # it also takes back a question that waits for its confirmation
                    self._player.end(Condition.STOP_ASKED)
                if event.order in _ALREADY:
                    self._player.play(_ALREADY[event.order], now_ns)
            case _:
                pass  # every other outcome comes with an event of its own

    def _fault(self, event: FaultChanged, now_ns: int) -> None:
        if event.active:
            if event.name not in self._faults:
                self._player.play(Signal.FAULT_BEGAN, now_ns)
            self._faults.add(event.name)
            self._player.begin(Condition.FAULT, now_ns)
        else:
            self._faults.discard(event.name)
            if not self._faults:
                self._player.end(Condition.FAULT)


def _of_change(before: State, state: State) -> Signal | None:
    if state is before:
        return None
    match state:
        case State.RECORDING:
            return Signal.RESUMED if before is State.POST_ROLL else Signal.STARTED
        case State.POST_ROLL:
            return Signal.STOPPING
        case State.STANDBY:
            return Signal.AWAKE if before is State.ASLEEP else Signal.STOPPED
        case State.ASLEEP:
            return Signal.ASLEEP
        case _:
            assert_never(state)
