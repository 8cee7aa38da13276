"""Sample counting against the device's stamps: contiguous, and never off by more than it may."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.capture.timeline import MS, SoundClock
from bwvd.messages import NS

RATE = 48_000
BLOCK = 1024
START = 9_000 * NS


def period(blocks: int) -> int:
    return blocks * BLOCK * NS // RATE


def test_steady_sound_is_only_counted() -> None:
    clock = SoundClock(RATE)
    assert clock.take(START, BLOCK).begin_ns == START
    for number in range(1, 500):
        assert clock.take(START + period(number), BLOCK) == (None, 0, 0, 0, 0)
    assert clock.next_ns == START + period(500)


@pytest.mark.parametrize("ppm", [-300, -60, 60, 300])
def test_a_drifting_crystal_is_made_up_by_single_samples(ppm: int) -> None:
    clock = SoundClock(RATE)
    slews = []
    for number in range(60 * 60 * RATE // BLOCK // 4):  # a quarter of an hour
        at = START + period(number) * (1_000_000 + ppm) // 1_000_000
        step = clock.take(at, BLOCK)
        assert (step.silence, step.drop, step.lost_ns) == (0, 0, 0)
        slews.append(step.slew)
        assert abs(step.slew) <= BLOCK // SoundClock.SLEW_SHARE
        expected = clock.next_ns
        assert expected is not None
        assert abs(expected - (at + period(1))) < 25 * MS
    assert all(slew * ppm >= 0 for slew in slews)
    if abs(ppm) == 300:
        assert any(slews)


@given(st.integers(41, 990))
def test_lost_sound_is_filled_with_silence_of_its_length(lost_ms: int) -> None:
    clock = SoundClock(RATE)
    for number in range(50):
        clock.take(START + period(number), BLOCK)
    at = START + period(50) + lost_ms * MS
    step = clock.take(at, BLOCK)
    assert abs(step.silence * NS // RATE - lost_ms * MS) < NS // RATE + 1
    assert step.lost_ns == lost_ms * MS
    assert step.begin_ns is None
    expected = clock.next_ns
    assert expected is not None
    assert abs(expected - (at + period(1))) <= NS // RATE + 1


def test_a_long_hole_begins_anew() -> None:
    clock = SoundClock(RATE)
    clock.take(START, BLOCK)
    step = clock.take(START + 5 * NS, BLOCK)
    assert step.begin_ns == START + 5 * NS
    assert step.lost_ns == 5 * NS - period(1)


def test_sound_that_lies_over_what_is_there_is_left_out() -> None:
    clock = SoundClock(RATE)
    for number in range(50):
        clock.take(START + period(number), BLOCK)
    before = clock.next_ns
    dropped = 0
    number = 50
    while clock.next_ns == before:
        dropped += clock.take(START + period(number) - NS, BLOCK).drop
        number += 1
    assert abs(dropped - RATE) < 0.25 * RATE  # what is left of the overlap is slewed away


@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.integers(START - 20 * NS, START + 20 * NS)), st.integers(1, 4096)),
        max_size=60,
    )
)
def test_any_stamps_only_ever_move_the_count_forward(blocks: list[tuple[int | None, int]]) -> None:
    clock = SoundClock(RATE)
    clock.take(START, BLOCK)
    for at, samples in blocks:
        before = clock.next_ns
        step = clock.take(at, samples)
        after = clock.next_ns
        assert before is not None
        assert after is not None
        if step.begin_ns is None:
            given_out = step.silence + samples - step.drop + step.slew
            assert given_out >= 0
            assert abs(after - before - given_out * NS // RATE) <= 1
        else:
            assert step.begin_ns > before
        assert 0 <= step.drop <= samples


def test_after_a_stop_it_begins_anew_and_nothing_is_missing() -> None:
    clock = SoundClock(RATE)
    clock.take(START, BLOCK)
    clock.stop()
    step = clock.take(START + 60 * NS, BLOCK)
    assert step.begin_ns == START + 60 * NS
    assert step.lost_ns == 0
