"""Every reader of the power says what is so: the virtual one, and the real one over a tree of sysfs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from bwvd.service.power_supply import PowerReading, read_power
from bwvd.testing.clock import VirtualClock
from bwvd.testing.conformance.supply import CHECKS, Subject
from bwvd.testing.supply import VirtualSupply


def _subject(supply: VirtualSupply, read: Callable[[], Awaitable[PowerReading]]) -> Subject:
    def charge(charging: bool) -> None:
        if charging:
            supply.plug_in()
        else:
            supply.drain(0)

    return Subject(read, supply.set, charge, supply.flag, supply.mute, supply.unplug, supply.plug)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_virtual_supply(
    check: Callable[[Subject], Awaitable[None]], autojump_clock: trio.testing.MockClock
) -> None:
    supply = VirtualSupply(VirtualClock())
    await check(_subject(supply, supply.read))


@pytest.mark.parametrize("name", ["virtual", ""])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_sysfs(
    check: Callable[[Subject], Awaitable[None]], name: str, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    supply = VirtualSupply(VirtualClock())

    async def read() -> PowerReading:
        supply.show(tmp_path)
        return read_power(name, tmp_path)

    subject = _subject(supply, read)
    if not name:  # any battery will do, so that none is missed by its name
        subject = Subject(read, subject.set_percent, subject.charge, subject.flag, subject.mute)
    await check(subject)


async def test_a_battery_falls_with_time_and_a_charger_fills_it(autojump_clock: trio.testing.MockClock) -> None:
    supply = VirtualSupply(VirtualClock(), percent=50, drain_per_hour=10)
    await trio.sleep(3600)
    assert await supply.read() == PowerReading(40, "battery")
    supply.plug_in(60)
    await trio.sleep(1800)
    assert await supply.read() == PowerReading(70, "charging")
    await trio.sleep(3600)
    assert await supply.read() == PowerReading(100, "full")
    supply.drain(100)
    await trio.sleep(7200)
    assert await supply.read() == PowerReading(0, "battery")
    supply.wedge(30)
    began = trio.current_time()
    await supply.read()
    assert trio.current_time() - began == 30
