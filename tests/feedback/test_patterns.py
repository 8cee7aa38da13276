"""What each pattern may and may not do, as data."""

from __future__ import annotations

import pytest

from bwvd.feedback.patterns import BASE, CONDITIONS, LIGHTS, SIGNALS, Channel, Condition, Pattern, Signal, track_ns
from bwvd.messages import State

EVERY = [*BASE.values(), *CONDITIONS.values(), *SIGNALS.values()]
MS = 1_000_000


def test_every_state_condition_and_signal_has_a_pattern() -> None:
    assert set(BASE) == set(State)
    assert set(CONDITIONS) == set(Condition)
    assert set(SIGNALS) == set(Signal)


@pytest.mark.parametrize("pattern", EVERY)
def test_steps_are_such_that_a_player_always_gets_on(pattern: Pattern) -> None:
    for channel, track in pattern.tracks.items():
        assert track
        assert all(step.duration_ms > 0 for step in track)
        assert all(step.level >= 0 for step in track)
        if channel is not Channel.TONE:
            assert all(step.level <= 1 for step in track)
        else:
            assert all(step.level == 0 or 100 <= step.level <= 4000 for step in track)  # what a small sounder can do


def test_a_state_speaks_by_light_alone() -> None:
    for pattern in BASE.values():
        assert set(pattern.tracks) <= LIGHTS
        assert pattern.repeat


def test_only_a_running_recording_is_red() -> None:
    red = {state for state, pattern in BASE.items() if Channel.RED in pattern.tracks}
    assert red == {State.RECORDING, State.POST_ROLL}
    for pattern in SIGNALS.values():  # a flicker of an answer is not a recording light
        assert all(step.duration_ms <= 100 for step in pattern.tracks.get(Channel.RED, ()))


def test_signals_end_soon_and_conditions_repeat() -> None:
    for pattern in SIGNALS.values():
        assert not pattern.repeat
        assert pattern.duration_ns <= 1500 * MS
    assert all(pattern.repeat for pattern in CONDITIONS.values())


def test_every_answer_to_a_hand_can_be_heard_and_felt() -> None:
    """Invariant 5: a press ends in recording, or in an audible reason why not."""
    for signal in (Signal.STARTED, Signal.RESUMED, Signal.STOPPED, Signal.MARKED, Signal.REFUSED):
        assert Channel.TONE in SIGNALS[signal].tracks
        assert Channel.HAPTIC in SIGNALS[signal].tracks
    highest = max(pattern.priority for pattern in (*SIGNALS.values(), *CONDITIONS.values()))
    assert SIGNALS[Signal.REFUSED].priority == highest


def test_the_reminder_is_two_tones_and_two_vibrations() -> None:
    tracks = SIGNALS[Signal.REMINDER].tracks
    for channel in (Channel.TONE, Channel.HAPTIC):
        assert sum(step.level > 0 for step in tracks[channel]) == 2


def test_a_refusal_is_three_low_tones_and_a_stop_question_rises() -> None:
    refused = [step.level for step in SIGNALS[Signal.REFUSED].tracks[Channel.TONE] if step.level]
    assert len(refused) == 3
    assert max(refused) < 300
    asked = [step.level for step in CONDITIONS[Condition.STOP_ASKED].tracks[Channel.TONE] if step.level]
    assert asked == sorted(asked)
    assert len(set(asked)) == 3


def test_the_standby_light_is_nearly_always_off() -> None:
    track = BASE[State.STANDBY].tracks[Channel.GREEN]
    lit = sum(step.duration_ms for step in track if step.level) * MS
    assert lit / track_ns(track) < 0.02
