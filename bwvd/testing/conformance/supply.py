# ruff: noqa: S101  # a conformance suite is made of asserts
"""The checks of every reader of the power: `power_supply.read_power` over a tree of sysfs, and the virtual one.

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_my_supply(check, autojump_clock): await check(my_subject())

Each check needs a subject of its own: a battery of 80 %, discharging, nothing wrong. None needs pytest.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bwvd.service.power_supply import PowerReading, SupplyLost


@dataclass(frozen=True, slots=True)
class Subject:
    """The reader under test, and the hand on the battery. None = this one can't be made to."""

    read: Callable[[], Awaitable[PowerReading]]
    set_percent: Callable[[float], None]
    charge: Callable[[bool], None]  # a charger is there, or is not any more
    flag: Callable[[str, bool], None] | None = None  # "undervoltage", "hot" or "battery_overheat" is up, or no more
    mute: Callable[[bool], None] | None = None  # the gauge does not say the percentage
    unplug: Callable[[], None] | None = None
    plug: Callable[[], None] | None = None


async def _error(subject: Subject) -> SupplyLost:
    try:
        await subject.read()
    except SupplyLost as lost:
        return lost
    raise AssertionError("a supply that is not there was read")


async def says_what_is_left(subject: Subject) -> None:
    assert await subject.read() == PowerReading(80, "battery", ())
    for percent in (100.0, 63.9, 1.0, 0.0):
        subject.set_percent(percent)
        reading = await subject.read()
        assert reading.percent == int(percent), "whole percents, rounded down: never more than there is"
        assert reading.supply == "battery"


async def says_where_the_power_comes_from(subject: Subject) -> None:
    subject.set_percent(50)
    subject.charge(True)
    assert (await subject.read()).supply == "charging"
    subject.set_percent(100)
    assert (await subject.read()).supply in ("full", "charging")
    subject.charge(False)
    assert (await subject.read()).supply == "battery"


async def says_what_is_wrong(subject: Subject) -> None:
    if subject.flag is None:
        return
    flags = ("battery_overheat", "hot", "undervoltage")
    for flag in flags:
        subject.flag(flag, True)
        assert flag in (await subject.read()).flags
    assert (await subject.read()).flags == flags, "sorted, each once"
    for flag in flags:
        subject.flag(flag, False)
    assert (await subject.read()).flags == ()


async def does_not_guess(subject: Subject) -> None:
    if subject.mute is None:
        return
    subject.mute(True)
    assert (await subject.read()).percent is None
    subject.mute(False)
    assert (await subject.read()).percent == 80


async def says_that_it_is_absent(subject: Subject) -> None:
    if subject.unplug is None or subject.plug is None:
        return
    subject.unplug()
    for _ in range(2):
        assert len(str(await _error(subject)).splitlines()) == 1
    subject.plug()
    assert (await subject.read()).percent == 80


CHECKS: tuple[Callable[[Subject], Awaitable[None]], ...] = (
    says_what_is_left,
    says_where_the_power_comes_from,
    says_what_is_wrong,
    does_not_guess,
    says_that_it_is_absent,
)
