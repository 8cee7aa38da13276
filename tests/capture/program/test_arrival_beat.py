"""Times under arrivals: steady where the pipe is not, and honest where frames are missing."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bwvd.capture.program.arrival_beat import WINDOW, ArrivalBeat
from bwvd.clock import NS

STEP = NS // 30
MS = 1_000_000


def place(arrivals: list[int], step: int = STEP) -> list[int]:
    beat = ArrivalBeat(step)
    return [beat.place(at) for at in arrivals]


@given(st.lists(st.integers(0, 2 * NS), min_size=1, max_size=200))
def test_times_rise_and_are_never_from_the_future_by_more_than_they_must(gaps: list[int]) -> None:
    """Invariant 9."""
    arrivals, at = [], 0
    for gap in gaps:
        at += gap
        arrivals.append(at)
    times = place(arrivals)
    assert all(before < after for before, after in pairwise(times))
    most = 0
    for number, (time, arrival) in enumerate(zip(times, arrivals, strict=True)):
        most = 0 if not number or arrivals[number - 1] < arrival else most + 1
        assert time <= arrival + (number + 1) * 100_000


def test_the_jitter_of_a_pipe_is_not_the_frames() -> None:
    dice = random.Random(1)
    arrivals = [NS + number * STEP + dice.randint(0, 20 * MS) for number in range(300)]
    for before, after in pairwise(place(arrivals)[60:]):
        assert abs(after - before - STEP) < 3 * MS


def test_frames_that_come_all_at_once_were_not_taken_at_once() -> None:
    """We were not let run for 200 ms: six frames wait in the pipe."""
    arrivals = [NS + number * STEP for number in range(120)]
    for number in range(60, 66):
        arrivals[number] = arrivals[66]
    for before, after in pairwise(place(arrivals)):
        assert abs(after - before - STEP) < 2 * MS


def test_a_frame_that_is_missing_leaves_its_hole() -> None:
    arrivals = [NS + number * STEP for number in range(120) if number != 60]
    times = place(arrivals)
    holes = [number for number, (a, b) in enumerate(pairwise(times)) if b - a > 1.6 * STEP]
    assert len(holes) == 1
    assert 59 <= holes[0] <= 59 + WINDOW
    assert abs(times[-1] - arrivals[-1]) < 4 * MS


def test_another_rate_than_the_nominal_one_is_learned() -> None:
    arrivals = [NS + number * 2 * STEP for number in range(120)]
    for before, after in pairwise(place(arrivals)[2 * WINDOW :]):
        assert abs(after - before - 2 * STEP) < 2 * MS


def test_a_pause_is_a_pause() -> None:
    arrivals = [NS + number * STEP for number in range(30)]
    arrivals += [3 * NS + arrivals[-1] + number * STEP for number in range(30)]
    times = place(arrivals)
    assert times[30] == arrivals[30]
