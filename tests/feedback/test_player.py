"""The player of patterns, by example and by property."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bwvd.feedback.patterns import CONDITIONS, LIGHTS, SIGNALS, Channel, Condition, Signal
from bwvd.feedback.player import NEVER, STALE_NS, PatternPlayer, carried
from bwvd.messages import State

MS = 1_000_000
S = 1000 * MS
RED = frozenset({Channel.RED})
GREEN = frozenset({Channel.GREEN})
AMBER = frozenset({Channel.AMBER})
TONE = frozenset({Channel.TONE})
HAPTIC = frozenset({Channel.HAPTIC})
LAMPS = [RED, GREEN, AMBER, LIGHTS, TONE, HAPTIC]


def history(player: PatternPlayer, carries: frozenset[Channel], from_ns: int, to_ns: int) -> list[tuple[int, int]]:
    """(time, level) at every change, walked by `next_change` alone."""
    now_ns, seen = from_ns, [(from_ns, player.level_at(from_ns, carries))]
    while (now_ns := player.next_change(now_ns)) < to_ns:
        level = player.level_at(now_ns, carries)
        if level != seen[-1][1]:
            seen.append((now_ns, level))
    return seen


def lit_ns(player: PatternPlayer, carries: frozenset[Channel], from_ns: int, to_ns: int) -> int:
    changes = [*history(player, carries, from_ns, to_ns), (to_ns, 0)]
    return sum(after[0] - at for (at, level), after in pairwise(changes) if level)


def tones(player: PatternPlayer, from_ns: int, to_ns: int) -> list[int]:
    return [level for _, level in history(player, TONE, from_ns, to_ns) if level]


def of(signal: Signal) -> list[int]:
    return [step.level for step in SIGNALS[signal].tracks[Channel.TONE] if step.level]


def test_asleep_is_dark_and_needs_no_waking() -> None:
    player = PatternPlayer()
    assert all(player.level_at(5 * S, lamp) == 0 for lamp in LAMPS)
    assert player.next_change(5 * S) == NEVER


def test_standby_blinks_green_at_once_and_shortly() -> None:
    player = PatternPlayer()
    player.base(State.STANDBY, S)
    assert history(player, GREEN, S, 5 * S) == [(S, 1), (S + 40 * MS, 0), (4 * S, 1), (4 * S + 40 * MS, 0)]
    assert history(player, RED, S, 5 * S) == [(S, 0)]


def test_recording_is_steady_red_and_needs_no_waking() -> None:
    player = PatternPlayer()
    player.base(State.RECORDING, S)
    assert player.level_at(S, RED) == 1
    assert player.next_change(S) == NEVER


def test_naming_the_same_state_again_does_not_restart_its_light() -> None:
    player = PatternPlayer()
    player.base(State.STANDBY, 0)
    player.base(State.STANDBY, 1 * S)
    assert history(player, GREEN, S, 4 * S) == [(S, 0), (3 * S, 1), (3 * S + 40 * MS, 0)]


def test_a_fault_blinks_twice_on_amber_and_leaves_red_alone() -> None:
    player = PatternPlayer()
    player.base(State.RECORDING, 0)
    player.begin(Condition.FAULT, 0)
    assert [level for _, level in history(player, AMBER, 0, 2 * S)] == [1, 0, 1, 0]
    assert lit_ns(player, RED, 0, 10 * S) == 10 * S
    player.end(Condition.FAULT)
    assert lit_ns(player, AMBER, 10 * S, 20 * S) == 0


def test_a_fault_notches_a_lamp_that_has_to_show_both() -> None:
    player = PatternPlayer()
    player.base(State.RECORDING, 0)
    player.begin(Condition.FAULT, 0)
    assert [level for _, level in history(player, LIGHTS, 0, 2 * S)] == [0, 1, 0, 1]
    assert lit_ns(player, LIGHTS, 0, 20 * S) > 18 * S


def test_a_stop_question_lasts_until_it_runs_out() -> None:
    player = PatternPlayer()
    player.base(State.RECORDING, 0)
    player.begin(Condition.STOP_ASKED, S, until_ns=6 * S)
    assert len(history(player, RED, S, 2 * S)) > 6
    assert tones(player, S, 2 * S) == [880, 1108, 1318]
    assert player.next_change(6 * S) == NEVER
    assert player.level_at(6 * S, RED) == 1
    assert player.level_at(6 * S, TONE) == 0


def test_asking_again_moves_the_end_and_keeps_the_rhythm() -> None:
    player = PatternPlayer()
    player.begin(Condition.STOP_ASKED, 0, until_ns=5 * S)
    player.begin(Condition.STOP_ASKED, 2 * S, until_ns=7 * S)
    again = PatternPlayer()
    again.begin(Condition.STOP_ASKED, 0, until_ns=7 * S)
    assert history(player, RED, 2 * S, 8 * S) == history(again, RED, 2 * S, 8 * S)


def test_a_more_important_signal_cuts_in_and_a_lesser_one_waits() -> None:
    player = PatternPlayer()
    player.play(Signal.REMINDER, 0)
    player.play(Signal.REFUSED, 50 * MS)
    player.play(Signal.FAULT_BEGAN, 60 * MS)
    assert tones(player, 60 * MS, 10 * S) == of(Signal.REFUSED) + of(Signal.FAULT_BEGAN)


def test_of_two_equal_signals_the_newer_is_told_at_once() -> None:
    player = PatternPlayer()
    player.play(Signal.STARTED, 0)
    player.play(Signal.RESUMED, 20 * MS)
    assert tones(player, 20 * MS, 10 * S) == of(Signal.RESUMED)


def test_a_signal_that_waited_too_long_is_not_told() -> None:
    player = PatternPlayer()
    player.play(Signal.FAULT_BEGAN, 0)
    player.play(Signal.REFUSED, 0)
    player.play(Signal.REMINDER, 0)
    at_ns = 0
    while at_ns < STALE_NS:  # a hand that keeps pressing
        at_ns += 500 * MS
        player.play(Signal.REFUSED, at_ns)
    assert tones(player, at_ns, at_ns + 10 * S) == of(Signal.REFUSED)


def test_stealth_silences_all() -> None:
    player = PatternPlayer(stealth=True)
    player.base(State.RECORDING, 0)
    for condition in Condition:
        player.begin(condition, 0)
    for signal in Signal:
        player.play(signal, 0)
    assert all(player.level_at(at, lamp) == 0 for at in range(0, 3 * S, 10 * MS) for lamp in LAMPS)
    assert player.next_change(0) == NEVER


@pytest.mark.parametrize(
    ("colours", "channels"),
    [
        (["red", "green", "amber"], [RED, GREEN, AMBER]),
        (["any"], [LIGHTS]),
        (["red"], [RED | AMBER]),
        (["green"], [GREEN | RED | AMBER]),
        (["red", "green"], [RED | AMBER, GREEN]),
        (["amber", "green"], [AMBER | RED, GREEN]),
        (["red", "any"], [RED, LIGHTS]),
        ([], []),
    ],
)
def test_every_meaning_finds_a_light(colours: list[str], channels: list[frozenset[Channel]]) -> None:
    assert carried(colours) == channels


# --- properties ------------------------------------------------------------------------------------------------------

steps = st.lists(
    st.tuples(
        st.integers(0, 2_000_000_000),  # ns since the step before
        st.one_of(
            st.sampled_from(State),
            st.sampled_from(Signal),
            st.tuples(st.sampled_from(Condition), st.one_of(st.none(), st.integers(0, 8 * S))),
            st.tuples(st.sampled_from(Condition), st.just("end")),
        ),
    ),
    max_size=20,
)


def driven(script: list[tuple[int, object]]) -> Iterator[tuple[PatternPlayer, int]]:
    """The player after each step, with its time; the state is the last one named."""
    player, now_ns = PatternPlayer(), 0
    for wait_ns, what in script:
        now_ns += wait_ns
        match what:
            case State():
                player.base(what, now_ns)
            case Signal():
                player.play(what, now_ns)
            case (Condition() as condition, "end"):
                player.end(condition)
            case (Condition() as condition, None):
                player.begin(condition, now_ns)
            case (Condition() as condition, int(lasts_ns)):
                player.begin(condition, now_ns, now_ns + lasts_ns)
        yield player, now_ns


def after(script: list[tuple[int, object]]) -> tuple[PatternPlayer, int]:
    """The player after the whole script, with its time."""
    return [(PatternPlayer(), 0), *driven(script)][-1]


@given(steps)
def test_next_change_goes_strictly_on_and_nothing_changes_before_it(script: list[tuple[int, object]]) -> None:
    for player, at_ns in driven(script):
        now_ns = at_ns
        for _ in range(6):
            after_ns = player.next_change(now_ns)
            assert after_ns > now_ns
            end_ns = min(after_ns, now_ns + 20 * S)
            for at in (now_ns + 1, (now_ns + end_ns) // 2, end_ns - 1):
                if now_ns <= at < end_ns:
                    assert [player.level_at(at, lamp) for lamp in LAMPS] == [
                        player.level_at(now_ns, lamp) for lamp in LAMPS
                    ]
            if after_ns == NEVER:
                break
            now_ns = after_ns


@given(steps)
def test_what_is_told_once_ends_and_leaves_the_state_alone(script: list[tuple[int, object]]) -> None:
    """Signals, and conditions once ended, leave nothing stuck: the lamps show the state and only the state."""
    state = State.ASLEEP
    player, at_ns = after(script)
    for _, what in script:
        state = what if isinstance(what, State) else state
    for condition in Condition:
        player.end(condition)
    later_ns = at_ns + STALE_NS + 3 * S
    lit = {lamp for lamp in (RED, GREEN, AMBER, TONE, HAPTIC) if lit_ns(player, lamp, later_ns, later_ns + 10 * S)}
    assert (
        lit
        == {
            State.ASLEEP: set(),
            State.STANDBY: {GREEN},
            State.RECORDING: {RED},
            State.POST_ROLL: {RED},
        }[state]
    )


@given(steps, st.booleans())
def test_a_fault_never_hides_the_recording_light(script: list[tuple[int, object]], shared: bool) -> None:
    """Whatever else was shown, a fault leaves a light of its own untouched, and a shared one lit 9/10 of the time."""
    player, now_ns = after(script)
    player.base(State.RECORDING, now_ns)
    player.end(Condition.STOP_ASKED)
    player.end(Condition.SHUTTING_DOWN)
    player.begin(Condition.FAULT, now_ns)
    from_ns = now_ns + STALE_NS + 3 * S  # every signal is over by then
    lit = lit_ns(player, LIGHTS if shared else RED, from_ns, from_ns + 20 * S)
    assert lit >= 18 * S if shared else lit == 20 * S


@given(steps)
@settings(max_examples=50)
def test_a_refusal_is_always_heard_at_once(script: list[tuple[int, object]]) -> None:
    """Invariant 5: a press that is refused is audible, whatever is being told."""
    player, now_ns = after(script)
    player.play(Signal.REFUSED, now_ns)
    assert player.level_at(now_ns, TONE) == of(Signal.REFUSED)[0]
    assert tones(player, now_ns, now_ns + SIGNALS[Signal.REFUSED].duration_ns) == of(Signal.REFUSED)


@given(st.lists(st.sampled_from(["red", "green", "amber", "any"]), max_size=5))
def test_red_and_amber_are_never_homeless(colours: list[str]) -> None:
    channels = set().union(*carried(colours))
    if colours:
        assert {Channel.RED, Channel.AMBER} <= channels
    if set(colours) & {"green", "any"}:
        assert Channel.GREEN in channels
    assert CONDITIONS[Condition.FAULT].tracks.keys() <= {Channel.AMBER}
