"""Frames that a camera dropped: found from the beat, told once, and not invented."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bwvd.capture.timestamps import MS, Placed
from bwvd.capture.video.frame_loss import TOLD_SINGLY, Cadence, Losses
from bwvd.clock import NS
from bwvd.messages import MediaEvent, MediaGap

STEP = NS // 30


@example({20, 23, 26, 156, 172}, 184455)
@given(st.sets(st.integers(5, 280), max_size=40), st.integers(0, 2**32))
def test_each_dropped_frame_is_found_and_no_other(dropped: set[int], seed: int) -> None:
    """Invariant 4: single drops, two good frames between them: the beat tells them from a slower camera."""
    lonely = {n for n in dropped if not {n - 1, n + 1, n - 2, n + 2} & dropped}
    jitter = random.Random(seed)
    cadence = Cadence(STEP)
    found = 0
    for number in range(300):
        if number in lonely:
            continue
        hole = cadence.note(number * STEP + jitter.randint(-5 * MS, 5 * MS))
        if hole is not None:
            from_ns, to_ns, frames = hole
            assert frames == 1
            missing = round(to_ns / STEP) - 1
            assert missing in lonely
            assert abs(from_ns - missing * STEP) < 12 * MS
            found += 1
    assert found == len(lonely)


@given(st.lists(st.tuples(st.integers(1, 40 * STEP), st.booleans()), max_size=80))
def test_the_quick_answer_is_the_thorough_one(intervals: list[tuple[int, bool]]) -> None:
    """Invariant 4: most frames are judged by the shortest interval alone, and nothing is judged otherwise by that."""
    quick, thorough = Cadence(STEP), _Thorough(STEP)
    at_ns = 0
    for interval, slow in intervals:
        at_ns += interval
        assert quick.least_ns <= quick.step_ns
        assert quick.note(at_ns, slow=slow) == thorough.note(at_ns, slow=slow)


class _Thorough(Cadence):
    @property
    def least_ns(self) -> int:
        return 0


@pytest.mark.parametrize("apart", range(3, 12))
def test_the_worst_jitter_hides_no_dropped_frame(apart: int) -> None:
    """Invariant 4: each frame that is lost comes between one that is late and one that is early."""
    cadence = Cadence(STEP)
    dropped = range(10, 280, apart)
    late = {n - 1 for n in dropped}
    times = [n * STEP + (5 * MS if n in late else -5 * MS) for n in range(300) if n not in dropped]
    holes = [hole for hole in map(cadence.note, times) if hole]
    assert [round(to_ns / STEP) - 1 for _, to_ns, _ in holes] == list(dropped)
    assert {frames for _, _, frames in holes} == {1}


@pytest.mark.parametrize("missing", [2, 5, 20])
def test_several_frames_in_a_row_are_counted(missing: int) -> None:
    cadence = Cadence(STEP)
    times = [n * STEP for n in range(100) if not 50 <= n < 50 + missing]
    holes = [hole for hole in map(cadence.note, times) if hole]
    assert [frames for _, _, frames in holes] == [missing]


def test_a_camera_that_slows_down_in_the_dark_loses_nothing() -> None:
    cadence = Cadence(STEP)
    times, at = [], 0
    for rate in (30, 15, 10, 5, 30, 7.5):
        for _ in range(60):
            at += round(NS / rate)
            times.append(at)
    assert [hole for hole in map(cadence.note, times) if hole] == []


@given(st.lists(st.integers(1, 4 * NS), min_size=1, max_size=100))
def test_holes_lie_in_order_and_inside_the_stream(steps: list[int]) -> None:
    cadence = Cadence(STEP)
    at = 0
    last_to = 0
    for step in steps:
        at += step
        hole = cadence.note(at)
        if hole is not None:
            from_ns, to_ns, frames = hole
            assert last_to <= from_ns <= to_ns <= at
            assert frames >= 1
            last_to = to_ns


def told(losses: Losses) -> list[MediaGap]:
    events: list[MediaEvent] = []
    losses.tell(events.append)
    assert all(isinstance(event, MediaGap) for event in events)
    return [event for event in events if isinstance(event, MediaGap)]


def test_a_slow_encoder_is_told_from_a_camera_that_drops() -> None:
    for waited, cause in ((10 * MS, "dropped_by_device"), (400 * MS, "encoder_slow")):
        losses = Losses(STEP, live=True)
        for number in range(40):
            if number != 30:
                at = number * STEP
                losses.frame(Placed(at, at, False), at + waited)
        (gap,) = told(losses)
        assert (gap.cause, gap.frames, gap.kind) == (cause, 1, "video")
        assert told(losses) == []


def test_a_stall_is_told_as_one() -> None:
    losses = Losses(STEP, live=True)
    for number in range(40):
        at = number * STEP + (2 * NS if number >= 20 else 0)
        losses.frame(Placed(at, at, False), at)
    (gap,) = told(losses)
    assert gap.cause == "stalled"
    assert gap.to_ns - gap.from_ns == 2 * NS


def test_a_hundred_holes_in_a_group_are_told_as_one_with_their_sum() -> None:
    losses = Losses(STEP, live=True)
    for number in range(400):
        if number < 20 or number % 4:
            losses.frame(Placed(number * STEP, number * STEP, False), number * STEP)
    gaps = told(losses)
    assert len(gaps) == 1 < TOLD_SINGLY
    assert gaps[0].frames == 95


def test_doubtful_times_are_told_once_for_a_run_of_them() -> None:
    losses = Losses(STEP, live=True)
    for number in range(30):
        losses.frame(Placed(number * STEP, number * STEP, 10 <= number < 20), number * STEP)
    (gap,) = told(losses)
    assert (gap.cause, gap.frames, gap.from_ns, gap.to_ns) == ("timestamps", 0, 9 * STEP, 19 * STEP)


@pytest.mark.parametrize("rate", [1, 1.5, 2, 3])
def test_a_camera_of_few_frames_a_second_loses_none_by_it(rate: float) -> None:
    """Invariant 4: a frame that is a second away from its neighbour is no loss where that is its beat."""
    losses, step = Losses(round(NS / rate), live=True), round(NS / rate)
    for number in range(60):
        losses.frame(Placed(number * step, number * step, False), number * step)
    losses.end(lambda event: pytest.fail(f"{event}"))


@pytest.mark.parametrize("night", [[NS] * 60, [NS, NS + NS // 2, NS + NS // 4] * 20], ids=["even", "uneven"])
def test_the_night_is_no_loss(night: list[int]) -> None:
    """From 15 frames a second to one, as cameras do in the dark, and back."""
    losses, at = Losses(NS // 15, live=True), 0
    for step in [NS // 15] * 60 + night + [NS // 15] * 60:
        at += step
        losses.frame(Placed(at, at, False), at)
    losses.end(lambda event: pytest.fail(f"{event}"))


def test_a_frame_that_is_lost_of_a_slow_camera_is_found() -> None:
    losses = Losses(NS, live=True)
    for number in range(20):
        if number != 9:
            losses.frame(Placed(number * NS, number * NS, False), number * NS)
    (gap,) = told(losses)
    assert (gap.frames, gap.from_ns, gap.to_ns) == (1, 9 * NS, 10 * NS)


def test_a_stall_that_is_the_end_is_told() -> None:
    losses = Losses(STEP, live=True)
    for number in range(21):
        at = number * STEP + (2 * NS if number == 20 else 0)
        losses.frame(Placed(at, at, False), at)
    assert told(losses) == [], "the next frame may show that it is another beat"
    events: list[MediaEvent] = []
    losses.end(events.append)
    (gap,) = events
    assert isinstance(gap, MediaGap)
    assert (gap.cause, gap.to_ns - gap.from_ns) == ("stalled", 2 * NS)
