"""The gate: work on external power alone, and not one moment longer."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from bwvd.offload.power_gate import PowerGate
from bwvd.service.power_supply import PowerReading, SupplyLost


class Supply:
    """What the kernel shows."""

    def __init__(self, supply: str) -> None:
        self.supply = supply

    async def read(self) -> PowerReading:
        await trio.lowlevel.checkpoint()
        if not self.supply:
            raise SupplyLost("power.supply: BAT9 is not there")
        return PowerReading(50, self.supply)


def gate_of(supply: Supply, told: list[tuple[str, bool, str]]) -> PowerGate:
    return PowerGate(supply.read, lambda *fault: told.append(fault), lambda: None)


@pytest.mark.parametrize(
    ("supply", "opens"),
    [("charging", True), ("full", True), ("external", True), ("battery", False), ("unknown", False), ("", False)],
)
async def test_what_counts_as_external_power(autojump_clock: MockClock, supply: str, opens: bool) -> None:
    """A battery that says nothing may be one that is worn."""
    async with trio.open_nursery() as nursery:
        gate = gate_of(Supply(supply), [])
        nursery.start_soon(gate.run)
        await trio.sleep(1)
        assert gate.is_open is opens
        nursery.cancel_scope.cancel()


async def test_work_ends_when_the_power_goes_and_begins_again(autojump_clock: MockClock) -> None:
    supply, told = Supply("charging"), list[tuple[str, bool, str]]()
    gate = gate_of(supply, told)
    ended: list[float] = []

    async def work() -> None:
        for _ in range(2):
            await gate.wait_open()
            async with gate.while_open():
                await trio.sleep(1_000)
            ended.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(gate.run)
        nursery.start_soon(work)
        await trio.sleep(15)
        supply.supply = "battery"
        await trio.sleep(10)
        assert ended == [20.0]
        supply.supply = "full"
        await trio.sleep(10)
        assert gate.is_open
        supply.supply = ""
        await trio.sleep(10)
        assert len(ended) == 2
        assert told[-1] == ("offload:power", True, "power.supply: BAT9 is not there")
        nursery.cancel_scope.cancel()


async def test_always_is_always() -> None:
    gate = PowerGate(None, lambda *_: None, lambda: None)
    await gate.run()
    async with gate.while_open():
        assert gate.is_open
