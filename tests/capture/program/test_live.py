"""Whether a program's video can have happened while it came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.capture.program.live import AHEAD_NS, COUNTED, STAMPED, LiveWatch
from bwvd.capture.source import SourceRefused
from bwvd.clock import NS

STEP_NS = NS // 25


def fill(watch: LiveWatch, first: int) -> None:
    """Give it frames from that number on, twenty times as fast as they happen, until it has had enough."""
    for number in range(first, first + 100):
        watch.stamped(number * STEP_NS, number * STEP_NS // 20)


def test_what_comes_as_fast_as_it_is_read_is_refused() -> None:
    watch = LiveWatch("exec:ffmpeg", "video.source", STAMPED)
    for number in range(AHEAD_NS // STEP_NS):
        watch.stamped(number * STEP_NS, number * STEP_NS // 20)
    with pytest.raises(SourceRefused, match=r"^video\.source: exec:ffmpeg gave 11 s of video within 0\.5 s: "):
        fill(watch, AHEAD_NS // STEP_NS)


def test_twice_the_nominal_rate_is_a_faster_camera() -> None:
    watch = LiveWatch("exec:ffmpeg", "video.source", COUNTED)
    for number in range(10_000):
        watch.given(STEP_NS, number * STEP_NS // 2)


@given(st.lists(st.integers(0, 8 * NS), max_size=60), st.integers(-3600 * NS, 3600 * NS))
def test_no_delay_and_no_jump_makes_a_live_program_another(delays: list[int], jump_ns: int) -> None:
    """Each frame comes when it was taken, or later, after those before it."""
    watch = LiveWatch("exec:camera", "video.source", STAMPED)
    now_ns = 0
    for number, delay_ns in enumerate(delays):
        now_ns = max(now_ns, number * STEP_NS + delay_ns)
        watch.stamped(number * STEP_NS + jump_ns * (number > 20), now_ns)


def test_a_clock_that_is_a_little_fast_never_adds_up() -> None:
    watch = LiveWatch("exec:camera", "video.source", STAMPED)
    second_ns = NS + NS // 1000
    for number in range(10 * AHEAD_NS // (NS // 1000)):
        watch.stamped(number * second_ns * 9 // 10, number * NS * 9 // 10)
