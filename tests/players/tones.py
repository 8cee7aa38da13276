"""Tones for tests of what listens to them."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence


def tone(rate: int, parts: Sequence[tuple[float, int, float]]) -> array[int]:
    """Silence, and in it sines: each a begin in seconds, a pitch in Hz, a length in seconds."""
    heard = array("h", [0] * round(rate * (parts[-1][0] + 1)))
    for at_s, hz, length_s in parts:
        first = round(at_s * rate)
        for n in range(round(length_s * rate)):
            heard[first + n] = round(16_000 * math.sin(math.tau * hz * n / rate))
    return heard
