"""Beeps: what their pitches are, and where they begin in what was heard."""

from __future__ import annotations

import itertools
from array import array
from typing import NamedTuple

BEEP_S = 0.1
PITCHES = tuple(400 + 170 * n for n in range(12))  # Hz; each second the next one

_BLOCK_S = 0.004
_LOUD = 2500  # of 32768: the mean of a block; coding makes some noise beside a beep


class Beep(NamedTuple):
    """at_s: where it begins. second: which it is, of a round."""

    at_s: float
    second: int


def pitch(second: int) -> int:
    return PITCHES[second % len(PITCHES)]


def beeps(heard: array[int], rate: int) -> list[Beep]:
    """All that are whole enough to be told apart."""
    block = round(_BLOCK_S * rate)
    loud = [sum(map(abs, heard[at : at + block])) > _LOUD * block for at in range(0, len(heard) - block + 1, block)]
    found = []
    at = 0
    for is_loud, run in itertools.groupby(loud):
        length = len(list(run))
        if is_loud and 0.06 <= length * _BLOCK_S <= 0.16:
            middle = heard[(at + 2) * block : (at + length - 2) * block]
            crossings = sum((a < 0) != (b < 0) for a, b in itertools.pairwise(middle))
            hz = crossings * rate / 2 / len(middle)
            nearest = min(range(len(PITCHES)), key=lambda n: abs(PITCHES[n] - hz))
            if abs(PITCHES[nearest] - hz) < 60:
                found.append(Beep(at * _BLOCK_S, nearest))
        at += length
    return found
