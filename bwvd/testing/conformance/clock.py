# ruff: noqa: S101  # a conformance suite is made of asserts
"""The checks of every `Clock`, the kernel's and the virtual one.

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_my_clock(check): await check(my_subject())

Each check needs a subject of its own. None needs pytest.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from bwvd.clock import NOT_SET_BEFORE_UTC_NS, NS, Clock, utc_text

QUALITIES = ("synchronised", "free", "not_set")
APART_NS = NS // 2  # between two readings in a row, on a busy machine


@dataclass(frozen=True, slots=True)
class Subject:
    """The clock under test, and the hand that sets it. None = this one can't be set."""

    clock: Clock
    step: Callable[[float], None] | None = None  # let the wall clock jump by so many seconds


async def monotonic_time_never_falls(subject: Subject) -> None:
    last = subject.clock.monotonic_ns()
    for _ in range(1000):
        now = subject.clock.monotonic_ns()
        assert isinstance(now, int)
        assert now >= last
        last = now


async def monotonic_time_goes_on(subject: Subject) -> None:
    before = subject.clock.monotonic_ns()
    await trio.sleep(0.05)
    passed_ns = subject.clock.monotonic_ns() - before
    assert passed_ns >= 50_000_000 - 1_000_000, "trio sleeps by the same clock"


async def both_clocks_are_read_at_one_moment(subject: Subject) -> None:
    for _ in range(100):
        before = subject.clock.monotonic_ns()
        reading = subject.clock.read()
        after = subject.clock.monotonic_ns()
        assert before <= reading.mono_ns <= after
        assert reading.utc == utc_text(reading.utc_ns)


async def it_says_how_far_it_can_be_trusted(subject: Subject) -> None:
    reading = subject.clock.read()
    assert reading.quality in QUALITIES
    assert reading.uncertainty_us is None or reading.uncertainty_us >= 0
    if reading.utc_ns < NOT_SET_BEFORE_UTC_NS:
        assert reading.quality == "not_set"


async def the_two_go_at_one_pace(subject: Subject) -> None:
    first = subject.clock.read()
    await trio.sleep(0.2)
    second = subject.clock.read()
    mono_ns, utc_ns = second.mono_ns - first.mono_ns, second.utc_ns - first.utc_ns
    assert abs(utc_ns - mono_ns) < APART_NS


async def a_step_moves_the_wall_clock_alone(subject: Subject) -> None:
    """Invariant 9."""
    if subject.step is None:
        return
    for seconds in (3600.0, -7200.0, 0.25):
        before = subject.clock.read()
        subject.step(seconds)
        after = subject.clock.read()
        assert 0 <= after.mono_ns - before.mono_ns < APART_NS
        stepped_ns = (after.utc_ns - before.utc_ns) - (after.mono_ns - before.mono_ns)
        assert abs(stepped_ns - seconds * NS) < APART_NS / 10


CHECKS: tuple[Callable[[Subject], Awaitable[None]], ...] = (
    monotonic_time_never_falls,
    monotonic_time_goes_on,
    both_clocks_are_read_at_one_moment,
    it_says_how_far_it_can_be_trusted,
    the_two_go_at_one_pace,
    a_step_moves_the_wall_clock_alone,
)
