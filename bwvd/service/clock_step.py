"""Steps of the wall clock, found by comparing readings of the two clocks. Pure.

Slewing changes both clocks alike on Linux, since CLOCK_MONOTONIC is adjusted with CLOCK_REALTIME; the distance between
them changes when somebody sets the wall clock, at a leap second, and over a suspend, which the monotonic clock does not
count. The allowance for slewing is for kernels and virtual machines where that does not hold.
"""

from __future__ import annotations

from collections.abc import Iterable

from bwvd.clock import Reading

# The two clocks are not read at one instant; more than this between them is not the reading.
JITTER_NS = 5_000_000
SLEW_PPM = 500  # the most that NTP slews by


class StepDetector:
    """Remembers how far apart the two clocks were. **Synchronization:** one task."""

    def __init__(self, first: Reading) -> None:
        self._last = first

    def take(self, reading: Reading, *, announced: bool = False) -> int:
        """By how many nanoseconds the wall clock was stepped since the last reading, forward or (negative) back; or 0.

        `announced`: the kernel says that the clock was set, so that no slewing explains a difference.
        """
        step_ns = _distance(reading) - _distance(self._last)
        passed_ns = reading.mono_ns - self._last.mono_ns
        self._last = reading
        slewed_ns = 0 if announced else passed_ns * SLEW_PPM // 1_000_000
        return step_ns if abs(step_ns) > JITTER_NS + slewed_ns else 0


def steadiest(readings: Iterable[Reading]) -> Reading:
    """Of several readings in a row the one that was least interrupted.

    `Clock.read` reads the wall clock first: whatever comes between makes the monotonic one look ahead.
    """
    return max(readings, key=_distance)


def _distance(reading: Reading) -> int:
    return reading.utc_ns - reading.mono_ns
