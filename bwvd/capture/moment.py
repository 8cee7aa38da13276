"""When something arrived, and its stamps in nanoseconds."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from bwvd.clock import NS


class Moment(NamedTuple):
    """Both clocks at the arrival of a packet."""

    mono_ns: int
    unix_ns: int


def to_ns(ticks: int | None, time_base: Fraction | None) -> int | None:
    """libav's ticks to nanoseconds; None where there are none."""
    if ticks is None or time_base is None:
        return None
    numerator, denominator = time_base.as_integer_ratio()
    return ticks * numerator * NS // denominator
