"""Virtual time: the two clocks of a device, moved by trio's clock (or by anything else that counts seconds)."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import trio

from bwvd.clock import NS, Reading

_UTC_AT_START_NS = int(datetime.datetime(2026, 11, 22, 7, 15, 3, tzinfo=datetime.UTC).timestamp()) * NS


class VirtualClock:
    """`bwvd.clock.Clock` over `seconds`, by default the time of the running trio loop (a MockClock in tests).

    `mono_ns` and `utc_ns` are what the two clocks say when `seconds` is 0 (a MockClock's start). The wall clock may be
    stepped, may drift, and may be worth more or less trust; the monotonic one is beyond reach.

    **Synchronization:** any thread, as far as `seconds` allows it; with trio's clock, trio's thread.
    """

    def __init__(
        self,
        *,
        mono_ns: int = 1_000 * NS,
        utc_ns: int = _UTC_AT_START_NS,
        quality: str = "synchronised",
        uncertainty_us: int | None = 500,
        drift_ppm: float = 0.0,
        seconds: Callable[[], float] = trio.current_time,
    ) -> None:
        self.quality = quality
        self.uncertainty_us = uncertainty_us
        self._seconds = seconds
        self._mono_ns = mono_ns
        # The wall clock: it read `_utc_ns` when the monotonic one read `_utc_at_ns`, and drifts from there.
        self._utc_ns = utc_ns
        self._utc_at_ns = mono_ns
        self._drift_ppm = drift_ppm

    def monotonic_ns(self) -> int:
        return self._mono_ns + round(self._seconds() * NS)

    def read(self) -> Reading:
        mono_ns = self.monotonic_ns()
        return Reading(mono_ns, self._utc(mono_ns), self.quality, self.uncertainty_us)

    def step(self, seconds: float) -> None:
        """Let the wall clock jump, forward or (negative) back."""
        self._rebase()
        self._utc_ns += round(seconds * NS)

    @property
    def drift_ppm(self) -> float:
        """By how many millionths the wall clock runs fast against the monotonic one."""
        return self._drift_ppm

    @drift_ppm.setter
    def drift_ppm(self, ppm: float) -> None:
        self._rebase()
        self._drift_ppm = ppm

    def _rebase(self) -> None:
        mono_ns = self.monotonic_ns()
        self._utc_ns, self._utc_at_ns = self._utc(mono_ns), mono_ns

    def _utc(self, mono_ns: int) -> int:
        elapsed_ns = mono_ns - self._utc_at_ns
        return self._utc_ns + elapsed_ns + round(elapsed_ns * self._drift_ppm / 1_000_000)
