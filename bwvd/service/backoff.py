"""Delays before what was lost is tried again, later and later. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before each new try.

    No jitter: what is waited for is a device of our own, which nobody else retries in step with us.
    """

    first_s: float = 0.5
    factor: float = 2.0
    limit_s: float = 30.0
    reset_after_s: float = 60.0  # up for this long: the next loss is a new one

    def __post_init__(self) -> None:
        if self.first_s <= 0 or self.factor < 1 or self.limit_s < self.first_s or self.reset_after_s < 0:
            raise ValueError(f"not a backoff: {self}")

    def delay_s(self, losses: int) -> float:
        """Seconds to wait after so many losses in a row (from 1)."""
        # 64 doublings are past any limit; more would overflow a float.
        return min(self.limit_s, self.first_s * self.factor ** min(losses - 1, 64))


class Losses:
    """Counts losses in a row of one device. **Synchronization:** one task."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._up_since_s: float | None = None
        self.in_a_row = 0

    def up(self, now_s: float) -> None:
        """The device works."""
        self._up_since_s = now_s

    def forget(self) -> None:
        """The next loss is the first in a row."""
        self.in_a_row = 0

    def lost(self, now_s: float) -> float:
        """The device was lost, or did not open: how many seconds to wait before the next try."""
        if self._up_since_s is not None and now_s - self._up_since_s >= self._backoff.reset_after_s:
            self.in_a_row = 0
        self._up_since_s = None
        self.in_a_row += 1
        return self._backoff.delay_s(self.in_a_row)
