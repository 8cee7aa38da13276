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
