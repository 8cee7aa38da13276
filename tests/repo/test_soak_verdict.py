"""The soak's judgement: what it must not overlook, and what it must not take for a leak."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from tests.soak.plan import FAULTS, LENGTHS, ORDERS, plan
from tests.soak.sample import Sample
from tests.soak.trend import trend
from tests.soak.verdict import constant, memory, switches_a_minute

MB = 1_000_000
REST = Sample(
    at_s=0,
    rss=90 * MB,
    pss=80 * MB,
    anonymous=50 * MB,
    descriptors=16,
    threads=6,
    switches=0,
    cpu_s=0,
    quiet=True,
    has_camera=True,
    state="standby",
    loop_bytes=0,
    backlog_bytes=0,
)


def samples(mb_an_hour: float, noise_mb: float = 0.2, hours: float = 0.5) -> list[Sample]:
    """One every ten seconds; a stall now and then needs some megabytes for a while."""
    chance = random.Random(1)
    found = []
    for at_s in range(0, round(hours * 3600), 10):
        stall_mb = 5 if chance.random() < 0.05 else 0
        grown = mb_an_hour * at_s / 3600 + abs(chance.gauss(0, noise_mb)) + stall_mb
        found.append(replace(REST, at_s=at_s, anonymous=round((50 + grown) * MB), switches=at_s * 60))
    return found


@pytest.mark.parametrize(("mb_an_hour", "verdict"), [(0, "flat"), (0.3, "flat"), (3, "grows"), (25, "grows")])
def test_a_leak_is_told_from_the_noise_of_stalls(mb_an_hour: float, verdict: str) -> None:
    found = memory(samples(mb_an_hour))
    assert found.judge() == verdict
    assert found.anonymous.slope == pytest.approx(mb_an_hour, abs=0.7)


@pytest.mark.parametrize("late", [False, True])
def test_sleep_neither_hides_a_leak_nor_looks_like_one(late: bool) -> None:
    """The camera is closed for much of one half: four megabytes less, which are no trend."""

    def slept(found: list[Sample]) -> list[Sample]:
        half_s = found[-1].at_s / 2
        return [
            replace(sample, anonymous=sample.anonymous - 4 * MB, has_camera=False)
            if (sample.at_s > half_s) == late and sample.at_s % 600 < 300
            else sample
            for sample in found
        ]

    assert memory(slept(samples(0, hours=1))).judge() == "flat"
    assert memory(slept(samples(3, hours=1))).judge() == "grows"


def test_too_short_a_run_proves_nothing() -> None:
    assert memory(samples(0, hours=0.1)).judge() == "unclear"
    assert memory([]).judge() == "unclear"


def test_a_wandering_quantity_is_trusted_less_than_as_many_independent_points() -> None:
    chance = random.Random(2)
    hours = [minute / 60 for minute in range(60)]
    independent = [chance.gauss(0, 1) for _ in hours]
    wandering = list(itertools.accumulate(chance.gauss(0, 0.3) for _ in hours))
    assert trend(hours, wandering).uncertainty > 2 * trend(hours, independent).uncertainty


def test_descriptors_that_stay_open_are_seen() -> None:
    rising = [replace(sample, descriptors=16 + round(sample.at_s) // 600) for sample in samples(0)]
    assert constant(rising, lambda sample: sample.descriptors).judge() == "grows"
    crowded = [replace(s, descriptors=48, quiet=False) if s.at_s % 100 == 0 else s for s in samples(0)]
    found = constant(crowded, lambda sample: sample.descriptors)
    assert (found.judge(), found.most) == ("constant", 48)
    assert constant([replace(s, quiet=False) for s in crowded], lambda s: s.descriptors).judge() == "unclear"


def test_context_switches_are_per_minute() -> None:
    assert switches_a_minute(samples(0)) == 3600


def test_the_plan_is_the_seed_s_and_has_everything_in_it() -> None:
    def first(seed: int) -> list[object]:
        return list(itertools.islice(plan(seed), 2000))

    deeds = list(itertools.islice(plan(1), 2000))
    assert first(1) == first(1) != first(2)
    assert deeds == sorted(deeds, key=lambda deed: deed.at_s)
    assert {deed.kind for deed in deeds} == ORDERS.keys() | FAULTS.keys()
    assert max(deed.length_s for deed in deeds if deed.kind == "stall") <= LENGTHS["stall"][1] == 10
