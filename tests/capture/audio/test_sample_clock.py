"""Sample counting against the device's stamps: contiguous, and never off by more than it may."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.capture.audio.sample_clock import SampleClock
from bwvd.capture.timestamps import MS
from bwvd.clock import NS

RATE = 48_000
BLOCK = 1024
START = 9_000 * NS


def period(blocks: int) -> int:
    return blocks * BLOCK * NS // RATE


def test_steady_sound_is_only_counted() -> None:
    clock = SampleClock(RATE)
    assert clock.take(START, BLOCK).begin_ns == START
    for number in range(1, 500):
        assert clock.take(START + period(number), BLOCK) == (None, 0, 0, 0, START + period(number))
    assert clock.next_ns == START + period(500)


@given(st.integers(1, 5_000), st.integers(8_000, 192_000))
def test_counting_alone_loses_not_a_nanosecond(samples: int, rate: int) -> None:
    clock = SampleClock(rate)
    clock.take(START, samples)
    for _ in range(99):
        clock.take(None, samples)
    assert clock.next_ns == START + 100 * samples * NS // rate


@pytest.mark.parametrize("ppm", [-300, -200, -60, 60, 200, 300])
def test_a_drifting_crystal_is_followed_smoothly(ppm: int) -> None:
    clock = SampleClock(RATE)
    last = START - period(1)
    for number in range(60 * 60 * RATE // BLOCK // 4):  # a quarter of an hour
        at = START + period(number) * (1_000_000 + ppm) // 1_000_000
        step = clock.take(at, BLOCK)
        assert (step.silence, step.drop, step.lost_ns) == (0, 0, 0)
        assert abs(step.at_ns - at) < MS // 5
        assert abs(step.at_ns - last - period(1)) <= period(1) // 1_000
        last = step.at_ns


@given(st.lists(st.integers(-4 * MS, 4 * MS), min_size=100, max_size=300))
def test_jitter_of_the_stamps_is_no_hole_and_hardly_heard(jitter: list[int]) -> None:
    clock = SampleClock(RATE)
    clock.take(START, BLOCK)
    for number, off in enumerate(jitter, 1):
        step = clock.take(START + period(number) + off, BLOCK)
        assert (step.begin_ns, step.silence, step.drop) == (None, 0, 0)
        assert abs(step.at_ns - START - period(number)) <= 4 * MS


@given(st.integers(21, 990))
def test_lost_sound_is_filled_with_silence_of_its_length(lost_ms: int) -> None:
    clock = SampleClock(RATE)
    for number in range(50):
        clock.take(START + period(number), BLOCK)
    at = START + period(50) + lost_ms * MS
    step = clock.take(at, BLOCK)
    assert abs(step.silence * NS // RATE - lost_ms * MS) < NS // RATE + 1
    assert step.lost_ns == lost_ms * MS
    assert step.begin_ns is None
    assert abs(step.at_ns - at) <= NS // RATE + 1
    expected = clock.next_ns
    assert expected is not None
    assert abs(expected - (at + period(1))) <= NS // RATE + 1


def test_a_long_hole_begins_anew() -> None:
    clock = SampleClock(RATE)
    clock.take(START, BLOCK)
    step = clock.take(START + 5 * NS, BLOCK)
    assert step.begin_ns == START + 5 * NS
    assert step.lost_ns == 5 * NS - period(1)


@pytest.mark.parametrize("back_ms", [15, 60, 200, 1_000])
def test_sound_that_stays_early_is_cut_by_as_much_and_told_once(back_ms: int) -> None:
    """One stamp alone that is early cuts nothing."""
    clock = SampleClock(RATE)
    for number in range(50):
        clock.take(START + period(number), BLOCK)
    assert clock.take(START + period(50) - 100 * MS, BLOCK).drop == 0
    number, dropped, told = 51, 0, []
    while number < 51 + SampleClock.REMEMBERED + back_ms // 10 + 20:
        step = clock.take(START + period(number) - back_ms * MS, BLOCK)
        dropped += step.drop
        told += [step.lost_ns] if step.lost_ns else []
        number += 1
    assert abs(sum(told) * RATE // NS - dropped) <= 1
    assert len(told) == 1
    last = clock.next_ns
    assert last is not None
    assert abs(last - (START + period(number) - back_ms * MS)) < 2 * MS


@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.integers(START - 20 * NS, START + 20 * NS)), st.integers(1, 4096)),
        max_size=60,
    )
)
def test_any_stamps_never_move_the_line_far_from_the_count(blocks: list[tuple[int | None, int]]) -> None:
    """What comes out of it lies behind what came before, but for what is stretched."""
    clock = SampleClock(RATE)
    clock.take(START, BLOCK)
    for at, samples in blocks:
        before = clock.next_ns
        step = clock.take(at, samples)
        after = clock.next_ns
        assert before is not None
        assert after is not None
        assert 0 <= step.drop <= samples
        if step.begin_ns is not None:
            assert step.begin_ns > before
            continue
        kept = (step.silence + samples - step.drop) * NS // RATE
        moved = after - before - kept
        if step.drop or step.silence or at is None:
            assert abs(moved) <= 2
        else:
            assert abs(moved) <= abs(at - before) // SampleClock.FOLLOW + 2


def test_after_a_stop_it_begins_anew_and_nothing_is_missing() -> None:
    clock = SampleClock(RATE)
    clock.take(START, BLOCK)
    clock.stop()
    step = clock.take(START + 60 * NS, BLOCK)
    assert step.begin_ns == START + 60 * NS
    assert step.lost_ns == 0
