"""Whether a quantity grows: a straight line by least squares, and how far it can be trusted. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

T_95 = 2.1  # Student's t for 95 % and 18 degrees of freedom; what has fewer, counts as too few
FEWEST = 12  # points


@dataclass(frozen=True, slots=True)
class Trend:
    """A slope in units an hour, and half the width of its 95 % interval."""

    slope: float
    uncertainty: float
    points: int

    def __str__(self) -> str:
        return f"{self.slope:+.2f} ± {self.uncertainty:.2f}"

    def judge(self, limit: float) -> str:
        """ "flat": at most `limit` an hour for sure; "grows": more for sure; "unclear": too little to tell."""
        if self.points < FEWEST:
            return "unclear"
        if self.slope + self.uncertainty <= limit:
            return "flat"
        return "grows" if self.slope - self.uncertainty > limit else "unclear"


def trend(hours: Sequence[float], values: Sequence[float]) -> Trend:
    """The line through the points.

    Neighbouring points of a process resemble each other, so its points are worth less than their number: residuals
    that follow one another with correlation r count as n (1 - r) / (1 + r) points (never more than n).
    """
    n = len(hours)
    if n < 3:
        return Trend(0.0, math.inf, n)
    mean_t, mean_v = sum(hours) / n, sum(values) / n
    spread = sum((t - mean_t) ** 2 for t in hours)
    if not spread:
        return Trend(0.0, math.inf, n)
    slope = sum((t - mean_t) * (v - mean_v) for t, v in zip(hours, values, strict=True)) / spread
    residuals = [v - mean_v - slope * (t - mean_t) for t, v in zip(hours, values, strict=True)]
    squares = sum(r * r for r in residuals)
    if not squares:
        return Trend(slope, 0.0, n)
    r = sum(a * b for a, b in pairwise(residuals)) / squares
    worth = min(n, max(3.0, n * (1 - r) / (1 + r))) if r > -1 else n
    error = math.sqrt(squares / (n - 2) / spread) * math.sqrt(n / worth)
    return Trend(slope, T_95 * error, n)
