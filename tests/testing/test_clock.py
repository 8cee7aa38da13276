"""The virtual clock: what tests of everything else take for the device's time."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from bwvd.clock import NS, Clock
from bwvd.testing.clock import VirtualClock


async def test_it_is_trios_time(autojump_clock: trio.testing.MockClock) -> None:
    clock: Clock = VirtualClock(mono_ns=5 * NS, utc_ns=1_800_000_000 * NS)
    assert clock.monotonic_ns() == 5 * NS
    await trio.sleep(1.25)
    reading = clock.read()
    assert reading.mono_ns == 6_250_000_000
    assert reading.utc_ns == 1_800_000_001_250_000_000
    assert (reading.quality, reading.uncertainty_us) == ("synchronised", 500)


def test_a_step_moves_the_wall_clock_alone() -> None:
    """Invariant 9: only annotations can be moved."""
    now = 10.0
    clock = VirtualClock(mono_ns=0, utc_ns=0, seconds=lambda: now)
    clock.step(-3600)
    assert clock.monotonic_ns() == 10 * NS
    assert clock.read().utc_ns == (10 - 3600) * NS
    now = 11.0
    assert clock.read().utc_ns == (11 - 3600) * NS


def test_drift_begins_when_it_is_set() -> None:
    now = 1000.0
    clock = VirtualClock(mono_ns=0, utc_ns=0, seconds=lambda: now)
    clock.drift_ppm = 100
    now = 2000.0
    assert clock.read().utc_ns == 2000 * NS + 100_000_000
    clock.drift_ppm = 0
    now = 3000.0
    assert clock.read().utc_ns == 3000 * NS + 100_000_000


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1e6, 1e6)), max_size=10))
def test_steps_add_up(moves: list[tuple[float, float]]) -> None:
    now = 0.0
    clock = VirtualClock(mono_ns=0, utc_ns=0, seconds=lambda: now)
    stepped = 0
    for later, step in moves:
        now += later
        clock.step(step)
        stepped += round(step * NS)
    reading = clock.read()
    assert reading.utc_ns - reading.mono_ns == pytest.approx(stepped, abs=1)
