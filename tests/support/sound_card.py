"""A sound card as libav's ALSA input shows it: samples by its own crystal, stamped with smoothed Unix time.

libav stamps each period with the wall clock, minus what lies in the card's buffer, and smooths that with a delay-locked
loop of 1.5 Hz (libavdevice/alsa_dec.c, timefilter.c; the loop: F. Adriaensen, "Using a DLL to filter time", 2005). A
step of the wall clock therefore goes through as a step of the stamps that rings out within seconds. An overrun resets
the loop.
"""

from __future__ import annotations

import array
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import av

from bwvd.clock import NS

UNIX_NS = 1_795_000_000 * NS  # Unix time when CLOCK_MONOTONIC was 0
CLICK_NS = NS  # from one click to the next
CLICK_LENGTH_NS = 4_000_000
_CLICK_HZ = 3_000


class Smoothing:
    """libav's filter of time stamps. In microseconds, as there."""

    def __init__(self, rate: int, period: int) -> None:
        width = 2 * math.pi * 1.5e-6 * period * 1e6 / rate
        self._second = _falling(math.sqrt(2) * width)
        self._third = _falling(width * width) / period
        self._sample_us = 1e6 / rate
        self._cycle_us = 0.0
        self._count = 0

    def reset(self) -> None:
        self._count = 0

    def update(self, now_us: float, period: int) -> float:
        self._count += 1
        if self._count == 1:
            self._cycle_us = now_us
        else:
            self._cycle_us += self._sample_us * period
            error = now_us - self._cycle_us
            self._cycle_us += max(self._second, 1 / self._count) * error
            self._sample_us += self._third * error
        return self._cycle_us


def _falling(x: float) -> float:
    return 1 - 1 / (x * (x / 2 + 1) + 1)


class Period(NamedTuple):
    """What one read gives."""

    frame: av.AudioFrame
    end_ns: int  # CLOCK_MONOTONIC after its last sample, the truth
    stamp_ns: int  # Unix time of its first sample, as libav says
    arrival_ns: int  # CLOCK_MONOTONIC of the read
    unix_ns: int  # Unix time then


@dataclass
class SoundCard:
    """Hears a click at each full second of CLOCK_MONOTONIC, and nothing else.

    ppm: how much too fast its crystal is. lost: spans of CLOCK_MONOTONIC that an overrun swallows. steps: at which
    time the wall clock is set, and by how much.
    """

    begin_ns: int
    ppm: int = 0
    rate: int = 48_000
    period: int = 1_024
    lost: list[tuple[int, int]] = field(default_factory=list)
    steps: list[tuple[int, int]] = field(default_factory=list)
    seed: int = 0

    def at(self, sample: int) -> int:
        """When a sample was really taken."""
        return self.begin_ns + sample * NS * 1_000_000 // (self.rate * (1_000_000 + self.ppm))

    def read(self, until_ns: int) -> Iterator[Period]:
        """The periods until then."""
        smoothing, chance = Smoothing(self.rate, self.period), random.Random(self.seed)
        lost = list(self.lost)
        sample = 0
        while (begin_ns := self.at(sample)) < until_ns:
            end_ns = self.at(sample + self.period)
            if lost and end_ns > lost[0][0]:
                sample = self._sample(lost.pop(0)[1])
                smoothing.reset()
                continue
            # The thread wakes late now and then; what has gathered in the buffer meanwhile tells how late.
            arrival_ns = end_ns + chance.randint(100_000, 900_000) + (chance.random() < 0.02) * 8_000_000
            unix_ns = arrival_ns + self._ahead(arrival_ns)
            gathered = (arrival_ns - end_ns) * self.rate // NS
            now_us = (unix_ns - (gathered + self.period) * NS // self.rate) / 1_000
            stamp_ns = int(smoothing.update(now_us, self.period)) * 1_000
            yield Period(self._frame(sample, begin_ns, end_ns), end_ns, stamp_ns, arrival_ns, unix_ns)
            sample += self.period

    def _ahead(self, at_ns: int) -> int:
        return UNIX_NS + sum(step_ns for step_at_ns, step_ns in self.steps if step_at_ns <= at_ns)

    def _sample(self, at_ns: int) -> int:
        return (at_ns - self.begin_ns) * self.rate * (1_000_000 + self.ppm) // (NS * 1_000_000)

    def _frame(self, sample: int, begin_ns: int, end_ns: int) -> av.AudioFrame:
        frame = av.AudioFrame("s16", "mono", self.period)
        frame.sample_rate = self.rate
        sound = bytes(2 * self.period)
        if begin_ns // CLICK_NS != end_ns // CLICK_NS or begin_ns % CLICK_NS < CLICK_LENGTH_NS:
            levels = array.array("h")
            for number in range(self.period):
                since_ns = self.at(sample + number) % CLICK_NS
                inside = since_ns < CLICK_LENGTH_NS
                levels.append(round(20_000 * math.sin(2 * math.pi * _CLICK_HZ * since_ns / NS)) if inside else 0)
            sound = levels.tobytes()
        plane = frame.planes[0]
        plane.update(sound + bytes(plane.buffer_size - len(sound)))
        return frame


def find_clicks(sound: Iterator[tuple[int, memoryview[float], int]]) -> list[int]:
    """The times of the clicks in decoded sound: of the middle of each one's energy, minus half a click.

    sound: time of the first sample in ns, samples as floats, samples per second.
    """
    found: list[int] = []
    energy = moment = 0.0
    first_ns = 0
    for at_ns, levels, rate in sound:
        if max(max(levels), -min(levels)) < 0.05:
            if energy > 1.0:
                found.append(first_ns + round(moment / energy) - CLICK_LENGTH_NS // 2)
            energy = moment = 0.0
            continue
        if not energy:
            first_ns = at_ns
        for index, level in enumerate(levels):
            power = level * level
            energy += power
            moment += power * (at_ns - first_ns + index * NS / rate)
    if energy > 1.0:
        found.append(first_ns + round(moment / energy) - CLICK_LENGTH_NS // 2)
    return found
