"""The recorder's state machine: what an order does in which state, and what happens when time runs out.

Pure: no device, no channel; the time is an argument. The recorder carries out the effects that come back.

    asleep ── wake ──▶ standby ── press ──▶ recording ── stop, confirmed ──▶ post_roll ── time ──▶ standby
       └────── press (wakes, records) ──────────▲  ◀──────── any press ─────────┘

A press means *ensure that a recording runs*, never its end (invariants 5 and 11): ending needs a hold that asks, then a
press that confirms in time; without it the recording goes on; and after it a post-roll that any press takes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from bwvd.clock import NS
from bwvd.messages import Order, State

# A press this soon after the question is part of the movement that asked it, not an answer.
CONFIRM_GUARD_NS = 300_000_000


class Effect(StrEnum):
    """What the recorder has to do."""

    BEGIN = "begin"  # open a recording with the pre-event part
    FINISH = "finish"  # close it after the GOP that holds this moment
    MARK = "mark"
    SLEEP = "sleep"  # close the devices, wipe the loop
    WAKE = "wake"
    MUTE = "mute"
    UNMUTE = "unmute"
    ASSIGN = "assign"
    ASK = "ask"  # signal "press again to confirm"
    LAPSE = "lapse"  # the question was not answered
    POST_ROLL = "post_roll"
    RESUME = "resume"
    REMIND = "remind"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about an order, and the word for it in the journal and in the answer."""

    effects: tuple[Effect, ...]
    outcome: str
    refused: str = ""  # the reason, when the answer is no

    @property
    def words(self) -> str:
        """What the person is answered."""
        return self.refused or self.outcome.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Times:
    """The configured spans, in nanoseconds; 0 = never for `max_ns` and `reminder_ns`."""

    post_roll_ns: int
    stop_confirm_ns: int
    max_ns: int
    reminder_ns: int

    @classmethod
    def of_seconds(cls, post_roll_s: float, stop_confirm_s: float, max_s: float, reminder_s: float) -> Times:
        return cls(*(round(seconds * NS) for seconds in (post_roll_s, stop_confirm_s, max_s, reminder_s)))


class Machine:
    """The state of the recorder. **Synchronization:** one task."""

    def __init__(self, times: Times, state: State = State.STANDBY) -> None:
        self.times = times
        self.state = state
        self.muted = False
        self.finishing: str = ""  # the reason, from FINISH until `finished`
        self.ends_ns = 0  # in post_roll: the recording holds everything up to here
        self._pressed_ns = 0  # the press that began the recording, or resumed it
        self._asked_ns: int | None = None
        self.asked_until_ns = 0
        self._max_at_ns: int | None = None
        self._remind_ns: int | None = None

    @property
    def stop_asked(self) -> bool:
        return self._asked_ns is not None

    def ends_with(self, end_ns: int) -> bool:
        """Whether a recording that is over ends with the GOP that ends there: it holds the last moment."""
        return bool(self.finishing) and end_ns >= self.ends_ns

    # --- orders ------------------------------------------------------------------------------------------------------

    def order(self, order: Order, at_ns: int, now_ns: int, *, confirmed: bool = False, refuse: str = "") -> Decision:
        """Decide on one order.

        Args:
            at_ns: when the hand moved: for a hold, when it went down.
            now_ns: when the order is handled.
            confirmed: a STOP that needs no press to confirm it.
            refuse: why a new recording can't begin now (a full flash); "" = it can.
        """
        match order:
            case Order.PRESS | Order.RECORD:
                return self._record(order, at_ns, now_ns, refuse)
            case Order.STOP:
                return self._stop(at_ns, now_ns, confirmed)
            case Order.MARK:
                if self.state in (State.RECORDING, State.POST_ROLL):
                    return Decision((Effect.MARK,), "marker")
                return Decision((), "refused", "not recording")
            case Order.MUTE | Order.UNMUTE:
                mute = order is Order.MUTE
                if self.muted == mute:
                    return Decision((), "already")
                self.muted = mute
                return Decision((Effect.MUTE if mute else Effect.UNMUTE,), "muted" if mute else "unmuted")
            case Order.SLEEP:
                return self._sleep()
            case Order.WAKE:
                if self.state is not State.ASLEEP:
                    return Decision((), "already")
                self.state = State.STANDBY
                return Decision((Effect.WAKE,), "standby")
            case Order.ASSIGN:
                return Decision((Effect.ASSIGN,), "assigned")
            case _:
                assert_never(order)

    def _record(self, order: Order, at_ns: int, now_ns: int, refuse: str) -> Decision:
        match self.state:
            case State.ASLEEP | State.STANDBY:
                if refuse:
                    return Decision((), "refused", refuse)
                woken = (Effect.WAKE,) if self.state is State.ASLEEP else ()
                self.state = State.RECORDING
                self._pressed_ns = at_ns
                self._max_at_ns = now_ns + self.times.max_ns if self.times.max_ns else None
                self._remind_ns = now_ns + self.times.reminder_ns if self.times.reminder_ns else None
                return Decision((*woken, Effect.BEGIN), "recording")
            case State.RECORDING:
                if order is Order.RECORD:
                    self._asked_ns = None
                    return Decision((), "already")
                if self._answers(at_ns):
                    return self._begin_post_roll(now_ns)
                return Decision((Effect.MARK,), "marker")
            case State.POST_ROLL:
                self.state = State.RECORDING
                self.finishing = ""
                self._pressed_ns = at_ns
                if self._max_at_ns is not None and self._max_at_ns <= now_ns:
                    self._max_at_ns = None  # it passed during the post-roll: whoever presses now wants to go on
                return Decision((Effect.RESUME,), "resumed")
            case _:
                assert_never(self.state)

    def _answers(self, at_ns: int) -> bool:
        return (
            self._asked_ns is not None and self._asked_ns + CONFIRM_GUARD_NS <= at_ns and at_ns <= self.asked_until_ns
        )

    def _stop(self, at_ns: int, now_ns: int, confirmed: bool) -> Decision:
        match self.state:
            case State.ASLEEP | State.STANDBY:
                return Decision((), "refused", "not recording")
            case State.POST_ROLL:
                return Decision((), "already")
            case State.RECORDING:
                if confirmed:
                    return self._begin_post_roll(now_ns)
                if at_ns <= self._pressed_ns:
                    # The finger that began or resumed the recording is still on the button.
                    return Decision((), "ignored")
                self._asked_ns = now_ns
                self.asked_until_ns = now_ns + self.times.stop_confirm_ns
                return Decision((Effect.ASK,), "stop_asked")
            case _:
                assert_never(self.state)

    def _begin_post_roll(self, now_ns: int) -> Decision:
        self.state = State.POST_ROLL
        self._asked_ns = None
        self.ends_ns = now_ns + self.times.post_roll_ns
        return Decision((Effect.POST_ROLL,), "post_roll")

    def _sleep(self) -> Decision:
        match self.state:
            case State.RECORDING | State.POST_ROLL:
                return Decision((), "refused", "recording")
            case State.ASLEEP:
                return Decision((), "already")
            case State.STANDBY:
                self.state = State.ASLEEP
                return Decision((Effect.SLEEP,), "asleep")
            case _:
                assert_never(self.state)

    # --- time --------------------------------------------------------------------------------------------------------

    def deadline_ns(self) -> int | None:
        """When `expire` next has something to do."""
        times = []
        if self.state is State.POST_ROLL and not self.finishing:
            times.append(self.ends_ns)
        if self.state is State.RECORDING:
            if self._asked_ns is not None:
                times.append(self.asked_until_ns + 1)
            if self._max_at_ns is not None:
                times.append(self._max_at_ns)
        if self.state in (State.RECORDING, State.POST_ROLL) and self._remind_ns is not None:
            times.append(self._remind_ns)
        return min(times, default=None)

    def expire(self, now_ns: int) -> list[Effect]:
        """What the passing of time asks for."""
        effects = []
        if self._asked_ns is not None and now_ns > self.asked_until_ns:
            self._asked_ns = None
            effects.append(Effect.LAPSE)
        if self.state is State.RECORDING and self._max_at_ns is not None and now_ns >= self._max_at_ns:
            self.state = State.POST_ROLL
            self._asked_ns = None
            self._max_at_ns = None  # a press from here on resumes, and the limit was said once
            self.ends_ns = now_ns
            self.finishing = "max_s"
            effects.append(Effect.FINISH)
        if self.state is State.POST_ROLL and not self.finishing and now_ns >= self.ends_ns:
            self.finishing = "stop"
            effects.append(Effect.FINISH)
        if (
            self._remind_ns is not None
            and self.state in (State.RECORDING, State.POST_ROLL)
            and now_ns >= self._remind_ns
        ):
            if self.times.reminder_ns:
                missed = (now_ns - self._remind_ns) // self.times.reminder_ns
                self._remind_ns += (missed + 1) * self.times.reminder_ns
                effects.append(Effect.REMIND)
            else:  # it was switched off meanwhile
                self._remind_ns = None
        return effects

    # --- from the recorder -------------------------------------------------------------------------------------------

    def finish_now(self, reason: str, now_ns: int) -> bool:
        """End the recording for a reason of the device's own; False if there is none."""
        if self.state not in (State.RECORDING, State.POST_ROLL):
            return False
        self.state = State.POST_ROLL
        self._asked_ns = None
        self.ends_ns = now_ns
        self.finishing = reason
        return True

    def finished(self) -> str:
        """The last GOP was handed on: the recording is over. Returns the reason."""
        reason, self.finishing = self.finishing, ""
        self.state = State.STANDBY
        self._asked_ns = None
        self._max_at_ns = None
        self._remind_ns = None
        return reason
