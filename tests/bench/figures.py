"""A figure of the benchmark: repeated, beside ffmpeg's, held against its goal. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Spread:
    """The values of one figure over its repetitions; never empty."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(tuple(values))

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def text(self, digits: int) -> str:
        """`1.04 (1.01..1.10)`; one value stands alone."""
        middle = f"{self.median:.{digits}f}"
        if len(self.values) == 1:
            return middle
        return f"{middle} ({min(self.values):.{digits}f}..{max(self.values):.{digits}f})"

    def document(self) -> dict[str, float | int]:
        return {"median": self.median, "min": min(self.values), "max": max(self.values), "n": len(self.values)}


def paired_ratio(ours: Spread, theirs: Spread) -> Spread:
    """Ours over theirs, pair by pair: what slows the machine down for a while slows both."""
    return Spread.of([a / b for a, b in zip(ours.values, theirs.values, strict=True) if b > 0] or [float("inf")])


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure should be at most, or at least."""

    most: float
    of: str  # "ratio" to ffmpeg, "ours", what ours is "above" ffmpeg's, or what ours is to be at "least"
    text: str


def at_most(most: float, unit: str) -> Goal:
    return Goal(most, "ours", f"≤ {most:g} {unit}")


def at_least(least: float, unit: str) -> Goal:
    return Goal(least, "least", f"≥ {least:g} {unit}")


def times_ffmpeg(most: float) -> Goal:
    return Goal(most, "ratio", f"≤ {most:.2f} x ffmpeg")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    group: str
    what: str
    unit: str
    ours: Spread
    theirs: Spread | None = None  # None: ffmpeg has nothing of the kind
    paired: bool = False  # both were measured in the same seconds, repetition by repetition
    goal: Goal | None = None
    digits: int = 2
    note: str = ""
    headline: bool = False  # stands in the README as well

    @property
    def ratio(self) -> Spread | None:
        if self.theirs is None:
            return None
        if self.paired and min(self.theirs.values) > 0:
            return paired_ratio(self.ours, self.theirs)
        return Spread.of([self.ours.median / self.theirs.median]) if self.theirs.median > 0 else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none. What is to be compared and can't be is missed."""
        if self.goal is None:
            return None
        if self.goal.of == "least":
            return self.ours.median >= self.goal.most
        if self.goal.of == "ours":
            return self.ours.median <= self.goal.most
        if self.goal.of == "above":
            return self.theirs is not None and self.ours.median - self.theirs.median <= self.goal.most
        ratio = self.ratio
        return ratio is not None and ratio.median <= self.goal.most

    def document(self) -> dict[str, Any]:
        ratio = self.ratio
        return {
            "group": self.group,
            "what": self.what,
            "unit": self.unit,
            "bwvd": self.ours.document(),
            "ffmpeg": self.theirs.document() if self.theirs else None,
            "ratio": ratio.document() if ratio else None,
            "goal": self.goal.text if self.goal else None,
            "met": self.met,
            "note": self.note,
        }


@dataclass(slots=True)
class Findings:
    """What one group of measurements found."""

    rows: list[Row] = field(default_factory=list)
    threads: list[dict[str, Any]] = field(default_factory=list)  # wake-ups in standby
    compared: list[str] = field(default_factory=list)  # the commands, in words
