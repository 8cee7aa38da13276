"""A million struggles, through the reader and the recorder's own machine: no lost press, no unintended stop."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest

from bwvd.clock import NS
from bwvd.config.schema import Gestures
from bwvd.controls.gesture import HOLD_SETTLE_NS, Asked, ButtonReader, GestureEvent
from bwvd.messages import State
from bwvd.recorder.state_machine import CONFIRM_GUARD_NS, Effect, Machine, Times
from tests.support.controls_struggle import MS, Movement, Struggle

HOLD_NS = 3 * NS
CONFIRM_NS = 5 * NS
PLAIN_RUN = 3_000
COMPLETE_RUN = int(os.environ.get("BWVD_STRUGGLES", "1000000"))


@dataclass(slots=True)
class Tally:
    presses: int = 0
    stops: int = 0
    unintended_stops: int = 0
    lost_first_presses: int = 0
    lost_presses: int = 0
    late_first_presses: int = 0  # begun with another time than the first edge's


class Wearer:
    """A button, its reader and the recorder's machine, without anything in between."""

    def __init__(self) -> None:
        self.reader = ButtonReader(Gestures(hold_s=HOLD_NS / NS), 20 * MS)
        self.machine = Machine(Times.of_seconds(10, CONFIRM_NS / NS, 0, 0))
        self.begun_ns: list[int] = []
        self.reader.start(down=False, at_ns=0)

    def movement(self, movement: Movement) -> None:
        for edge in movement.edges:
            self.pass_time(edge.at_ns)
            if events := self.reader.edge(edge):
                self._carry_out(events, edge.at_ns)

    def pass_time(self, until_ns: int) -> None:
        while (deadline := self.reader.deadline) is not None and deadline <= until_ns:
            self._carry_out(self.reader.expire(deadline), deadline)
        self._machine_time(until_ns)

    def _machine_time(self, until_ns: int) -> None:
        while (deadline := self.machine.deadline_ns()) is not None and deadline <= until_ns:
            if Effect.FINISH in self.machine.expire(deadline):
                self.machine.finished()

    def _carry_out(self, events: list[GestureEvent], now_ns: int) -> None:
        self._machine_time(now_ns)
        for event in events:
            if isinstance(event, Asked):
                decision = self.machine.order(event.order, event.at_ns, now_ns, confirmed=event.confirmed)
                if Effect.BEGIN in decision.effects:
                    self.begun_ns.append(event.at_ns)


def struggle(seed: int, tally: Tally) -> None:
    """Play one struggle and count what went wrong.

    A stop is meant when a steady hold, not of the press that began the recording, was let go and followed, after the
    time that belongs to the hold and before the question lapsed, by a press of a finger that was no hold itself.
    Nothing else is.
    """
    wearer = Wearer()
    question: tuple[int, int] | None = None  # a press between these times would be meant to stop
    for number, movement in enumerate(Struggle(seed).movements()):
        start_ns = movement.edges[0].at_ns
        wearer.pass_time(start_ns - 1)
        recording_before = wearer.machine.state is State.RECORDING
        meant = (
            question is not None
            and question[0] <= start_ns <= question[1]
            and movement.kind == "finger"
            and movement.steady_ns < HOLD_NS
        )
        begun = len(wearer.begun_ns)
        wearer.movement(movement)
        state = wearer.machine.state
        tally.presses += 1
        if number == 0:
            tally.lost_first_presses += not wearer.begun_ns
            tally.late_first_presses += wearer.begun_ns[:1] != [start_ns]
        if state is not State.RECORDING:
            if meant and recording_before:
                tally.stops += 1
            elif recording_before:
                tally.unintended_stops += 1
            else:
                tally.lost_presses += 1
        question = None
        if len(wearer.begun_ns) == begun and movement.steady_ns >= HOLD_NS:
            asked_ns = movement.steady_from_ns + HOLD_NS
            first_ns = max(movement.edges[-1].at_ns + HOLD_SETTLE_NS, asked_ns + CONFIRM_GUARD_NS)
            question = (first_ns, asked_ns + CONFIRM_NS)
    wearer.pass_time(wearer.machine.ends_ns + 100 * NS)


def run(seeds: range) -> Tally:
    tally = Tally()
    for seed in seeds:
        struggle(seed, tally)
    return tally


def assert_sound(tally: Tally) -> None:
    assert tally.unintended_stops == 0
    assert tally.lost_first_presses == 0
    assert tally.late_first_presses == 0
    assert tally.lost_presses == 0
    assert tally.stops > 0  # the struggles do hold what could go wrong


def test_struggles() -> None:
    """Invariants 5 and 11."""
    assert_sound(run(range(PLAIN_RUN)))


@pytest.mark.complete
def test_a_million_struggles(pytestconfig: pytest.Config) -> None:
    """Invariants 5 and 11."""
    if "complete" not in str(pytestconfig.getoption("markexpr")):
        pytest.skip("takes half an hour: pytest -m complete")
    tally = run(range(COMPLETE_RUN))
    print(f"\n{COMPLETE_RUN} struggles: {tally}")
    assert_sound(tally)
