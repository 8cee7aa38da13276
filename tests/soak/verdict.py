"""What a soak has shown: memory flat, descriptors and threads constant, no frame lost. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from tests.soak.sample import Sample
from tests.soak.trend import Trend, trend

MB = 1_000_000
LIMIT_MB_H = 1.0
WARM_UP_SHARE = 0.25
# At most. The rehearsal is over after a few minutes; what the daemon keeps a fixed number of (512 commits, say)
# and the pools of the interpreter have filled after 20 to 30.
WARM_UP_S = 1800.0
QUARTERS = 4


def warm_up_s(whole_s: float) -> float:
    """How much of the beginning says nothing yet."""
    return min(WARM_UP_S, whole_s * WARM_UP_SHARE)


def floor(samples: Sequence[Sample], value: Callable[[Sample], float]) -> tuple[list[float], list[float]]:
    """The least of every minute, with the hour at which it was: what a stall needs for a while is no leak.

    Only of moments with a camera: how often it was away or asleep, early or late, says nothing of what grows.
    """
    minutes: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.has_camera:
            minutes[int(sample.at_s // 60)].append(sample)
    least = [min(group, key=value) for _, group in sorted(minutes.items())]
    return [sample.at_s / 3600 for sample in least], [value(sample) for sample in least]


@dataclass(frozen=True, slots=True)
class Memory:
    anonymous: Trend  # MB an hour
    rss: Trend
    pss: Trend
    first_mb: float
    last_mb: float
    peak_mb: float

    def judge(self) -> str:
        return self.anonymous.judge(LIMIT_MB_H)


@dataclass(frozen=True, slots=True)
class Constant:
    """The least that was seen in quiet moments of each quarter, and the most at any time.

    Constant: the last quarter comes down to what any other came down to.
    """

    least: tuple[int, ...]
    most: int

    def judge(self) -> str:
        if len(self.least) < QUARTERS:
            return "unclear"
        # Worker threads that have had nothing to do for ten seconds end, so a number may be lower than before.
        return "grows" if self.least[-1] > min(self.least[:-1]) else "constant"


def memory(samples: Sequence[Sample]) -> Memory:
    """Of the samples after the warm-up."""

    def line(value: Callable[[Sample], float]) -> Trend:
        return trend(*floor(samples, lambda sample: value(sample) / MB))

    _, floors = floor(samples, lambda sample: sample.anonymous / MB)
    return Memory(
        anonymous=line(lambda sample: sample.anonymous),
        rss=line(lambda sample: sample.rss),
        pss=line(lambda sample: sample.pss),
        first_mb=floors[0] if floors else 0.0,
        last_mb=floors[-1] if floors else 0.0,
        peak_mb=max((sample.anonymous / MB for sample in samples), default=0.0),
    )


def constant(samples: Sequence[Sample], value: Callable[[Sample], int]) -> Constant:
    """Of the samples after the warm-up."""
    if not samples:
        return Constant((), 0)
    begin_s, end_s = samples[0].at_s, samples[-1].at_s
    quarters: dict[int, list[int]] = defaultdict(list)
    for sample in samples:
        if sample.quiet:
            place = (sample.at_s - begin_s) / max(end_s - begin_s, 1)
            quarters[min(QUARTERS - 1, int(place * QUARTERS))].append(value(sample))
    return Constant(tuple(min(quarters[n]) for n in sorted(quarters)), max(map(value, samples)))


def switches_a_minute(samples: Sequence[Sample]) -> float:
    """The median over neighbouring samples; a thread that has ended takes its count with it."""
    rates = [
        (b.switches - a.switches) * 60 / (b.at_s - a.at_s) for a, b in pairwise(samples) if b.switches >= a.switches
    ]
    return median(rates) if rates else 0.0


def cpu_share(samples: Sequence[Sample]) -> float:
    """Of one core."""
    if len(samples) < 2 or samples[-1].at_s <= samples[0].at_s:
        return 0.0
    return (samples[-1].cpu_s - samples[0].cpu_s) / (samples[-1].at_s - samples[0].at_s)
