"""Steps of the wall clock: found, and not made up."""

from __future__ import annotations

import time

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from bwvd.clock import NS, Reading, SystemClock
from bwvd.messages import ClockStepped
from bwvd.service.clock_step import JITTER_NS, SLEW_PPM, StepDetector, steadiest
from bwvd.service.clock_watch import COMPARE_EVERY_S, TimerfdAlarm, open_alarm, run_clockwatch
from bwvd.testing.clock import VirtualClock

EPOCH_NS = 1_790_000_000 * NS


def reading(mono_ns: int, ahead_ns: int = 0) -> Reading:
    return Reading(mono_ns, EPOCH_NS + mono_ns + ahead_ns, "free", None)


spans = st.integers(1, 3600 * NS)


@given(st.lists(st.tuples(spans, st.floats(-SLEW_PPM, SLEW_PPM), st.integers(0, JITTER_NS // 2)), max_size=30))
def test_slewing_and_jitter_are_never_steps(passes: list[tuple[int, float, int]]) -> None:
    """Invariant 9: what NTP does all day is not a step."""
    mono_ns, ahead_ns = 0, 0.0
    detector = StepDetector(reading(0))
    for passed_ns, ppm, late_ns in passes:
        mono_ns += passed_ns
        ahead_ns += passed_ns * ppm / 1_000_000
        assert detector.take(reading(mono_ns, int(ahead_ns) - late_ns)) == 0


@given(
    spans,
    st.floats(-SLEW_PPM, SLEW_PPM),
    st.one_of(st.integers(-(10**19), -(10**7)), st.integers(10**7, 10**19)),
    st.integers(0, JITTER_NS // 2),
    st.booleans(),
)
def test_a_step_is_found_with_its_size_and_once(
    passed_ns: int, ppm: float, step_ns: int, late_ns: int, announced: bool
) -> None:
    slewed_ns = 0 if announced else int(passed_ns * ppm / 1_000_000)
    if not announced and abs(step_ns) <= JITTER_NS + late_ns + 2 * passed_ns * SLEW_PPM // 1_000_000:
        return  # could be slewing as well; the kernel's alarm tells those apart
    detector = StepDetector(reading(0))
    found = detector.take(reading(passed_ns, slewed_ns + step_ns - late_ns), announced=announced)
    assert abs(found - step_ns) <= JITTER_NS + passed_ns * SLEW_PPM // 1_000_000
    assert found != 0
    assert detector.take(reading(passed_ns + 1, slewed_ns + step_ns - late_ns), announced=announced) == 0


def test_of_several_readings_the_least_interrupted_counts() -> None:
    calm, late = reading(100), reading(200, -40_000_000)  # 40 ms between the two clocks of the second
    assert steadiest([late, calm, late]) is calm


class Alarm:
    """An alarm that a test rings."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[None](10)
        self.closed = False

    def ring(self) -> None:
        self._send.send_nowait(None)

    async def wait(self) -> None:
        await self._receive.receive()

    def close(self) -> None:
        self.closed = True


async def test_an_alarm_tells_at_once_and_small_steps_too(autojump_clock: MockClock) -> None:
    clock, alarm, told = VirtualClock(quality="free"), Alarm(), list[ClockStepped]()
    async with trio.open_nursery() as nursery:
        await nursery.start(
            lambda task_status: run_clockwatch(clock, told.append, alarm=alarm, task_status=task_status)
        )
        await trio.sleep(50)
        clock.step(0.02)
        alarm.ring()
        await trio.sleep(0.001)
        assert told == [ClockStepped(clock.monotonic_ns() - 1_000_000, 20_000_000, "free")]
        alarm.ring()  # set to what it was
        clock.step(-3600)
        await trio.sleep(0.001)
        alarm.ring()
        await trio.sleep(COMPARE_EVERY_S * 2)
        assert [one.step_ns for one in told[1:]] == [-3600 * NS]
        nursery.cancel_scope.cancel()
    assert alarm.closed


@pytest.mark.parametrize("with_alarm", [True, False])
async def test_without_a_ring_comparing_finds_it(autojump_clock: MockClock, with_alarm: bool) -> None:
    clock, told = VirtualClock(), list[ClockStepped]()
    async with trio.open_nursery() as nursery:
        alarm = Alarm() if with_alarm else None
        await nursery.start(
            lambda task_status: run_clockwatch(clock, told.append, alarm=alarm, task_status=task_status)
        )
        await trio.sleep(600)
        clock.step(1)
        await trio.sleep((COMPARE_EVERY_S if with_alarm else 5) + 0.1)
        assert [one.step_ns for one in told] == [NS]
        nursery.cancel_scope.cancel()


async def test_a_drifting_clock_is_left_in_peace(autojump_clock: MockClock) -> None:
    clock, told = VirtualClock(drift_ppm=500), list[ClockStepped]()
    with trio.move_on_after(2 * 3600):
        await run_clockwatch(clock, told.append)
    assert told == []


async def test_the_system_clock_is_not_seen_to_step() -> None:
    told = list[ClockStepped]()
    with trio.move_on_after(0.2):
        await run_clockwatch(SystemClock(), told.append, alarm=open_alarm())
    assert told == []


async def test_the_kernel_rings_every_time_the_clock_is_set() -> None:
    """Sets the clock to what it says itself, which is off by microseconds, and twice, so that re-arming is shown."""
    alarm = TimerfdAlarm()
    try:
        with trio.move_on_after(0.05) as quiet:
            await alarm.wait()
        assert quiet.cancelled_caught
        for _ in range(2):
            try:
                time.clock_settime_ns(time.CLOCK_REALTIME, time.clock_gettime_ns(time.CLOCK_REALTIME))
            except PermissionError:
                pytest.skip("may not set the clock")
            with trio.fail_after(5):
                await alarm.wait()
    finally:
        alarm.close()


async def test_closing_the_alarm_wakes_who_waits() -> None:
    alarm = TimerfdAlarm()
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await alarm.wait()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        alarm.close()
