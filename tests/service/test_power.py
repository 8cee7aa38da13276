"""The power: what the kernel shows, when it is low, and who is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from bwvd.config.schema import Power
from bwvd.service.battery_level import CRITICAL_READINGS, HYSTERESIS_PERCENT, Level, PowerGauge
from bwvd.service.power import run_power
from bwvd.service.power_supply import PowerReading, SupplyLost, read_power

BATTERY = {"type": "Battery", "status": "Discharging", "capacity": "63", "present": "1", "health": "Good"}


def device(root: Path, where: str, attributes: Mapping[str, str]) -> Path:
    folder = root / "class" / where
    folder.mkdir(parents=True)
    for name, value in attributes.items():
        (folder / name).write_text(value + "\n")
    return folder


def test_a_battery_is_read(tmp_path: Path) -> None:
    device(tmp_path, "power_supply/AC", {"type": "Mains", "online": "0"})
    device(tmp_path, "power_supply/bq27546", BATTERY)
    assert read_power("", tmp_path) == PowerReading(63, "battery")
    assert read_power("bq27546", tmp_path) == PowerReading(63, "battery")


@pytest.mark.parametrize(
    ("status", "supply"),
    [
        ("Discharging", "battery"),
        ("Charging", "charging"),
        ("Full", "full"),
        ("Not charging", "external"),
        ("Unknown", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_status_is_told_in_the_manifests_words(tmp_path: Path, status: str, supply: str) -> None:
    device(tmp_path, "power_supply/BAT0", {**BATTERY, "status": status})
    assert read_power("", tmp_path).supply == supply


@pytest.mark.parametrize(
    ("attributes", "percent"),
    [
        ({"capacity": "0"}, 0),
        ({"capacity": "101"}, 100),
        ({"charge_now": "1000000", "charge_full": "4000000"}, 25),
        ({"energy_now": "1", "energy_full": "3"}, 33),
        ({"charge_now": "1000000", "charge_full": "0", "capacity_level": "Low"}, 10),
        ({"capacity_level": "Critical"}, 2),
        ({"capacity": "many"}, None),
        ({}, None),
    ],
)
def test_percent_comes_from_what_there_is(tmp_path: Path, attributes: dict[str, str], percent: int | None) -> None:
    device(tmp_path, "power_supply/BAT0", {"type": "Battery", "status": "Discharging", **attributes})
    assert read_power("", tmp_path) == PowerReading(percent, "battery")


def test_a_mouse_is_not_our_battery_and_an_empty_bay_neither(tmp_path: Path) -> None:
    device(tmp_path, "power_supply/a-mouse", {**BATTERY, "scope": "Device"})
    device(tmp_path, "power_supply/b-bay", {**BATTERY, "present": "0"})
    assert read_power("", tmp_path) == PowerReading(None, "unknown")
    device(tmp_path, "power_supply/usb", {"type": "USB", "online": "1"})
    assert read_power("", tmp_path) == PowerReading(None, "external")


def test_a_machine_that_shows_nothing_is_unknown(tmp_path: Path) -> None:
    assert read_power("", tmp_path) == PowerReading(None, "unknown")


@pytest.mark.parametrize("name", ["BAT9", "../BAT0", "..", "a/b"])
def test_a_configured_supply_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    device(tmp_path, "power_supply/BAT0", BATTERY)
    with pytest.raises(SupplyLost, match=r"^power\.supply: .* is not there$"):
        read_power(name, tmp_path)


def test_flags_of_the_board(tmp_path: Path) -> None:
    device(tmp_path, "power_supply/BAT0", {**BATTERY, "health": "Overheat"})
    device(tmp_path, "hwmon/hwmon0", {"name": "cpu_thermal", "in0_lcrit_alarm": "1"})  # another device's alarm
    alarm = device(tmp_path, "hwmon/hwmon1", {"name": "rpi_volt", "in0_lcrit_alarm": "1"})
    trips = {"trip_point_0_type": "active", "trip_point_0_temp": "40000"}  # a fan's: no trouble
    trips |= {"trip_point_1_type": "passive", "trip_point_1_temp": "80000", "trip_point_2_type": "critical"}
    trips |= {"trip_point_2_temp": "0"}  # not set
    zone = device(tmp_path, "thermal/thermal_zone0", {"type": "cpu-thermal", "temp": "80000", **trips})
    device(tmp_path, "thermal/cooling_device0", {"type": "Fan"})
    assert read_power("", tmp_path).flags == ("battery_overheat", "hot", "undervoltage")
    (zone / "temp").write_text("79999\n")
    (alarm / "in0_lcrit_alarm").write_text("0\n")
    assert read_power("", tmp_path).flags == ("battery_overheat",)


# --- the gauge -------------------------------------------------------------------------------------------------------


def levels(*percents: int | None, supply: str = "battery") -> list[Level]:
    gauge = PowerGauge(15, 5)
    return [gauge.take(PowerReading(percent, supply)) for percent in percents]


G, W, C = Level.GOOD, Level.WARN, Level.CRITICAL


@pytest.mark.parametrize(
    ("percents", "expected"),
    [
        ([16, 15, 16, 18, 19], [G, W, W, W, G]),
        ([15, 16, 15, 17, 15], [W, W, W, W, W]),  # wavering rings once
        ([6, 5, 5, 5, 6, 8, 9], [W, W, W, C, C, C, W]),
        ([50, 0, 50, 0, 0, 50], [G, W, G, W, W, G]),  # a bus error is not an empty battery
        ([50, None, None], [G, G, G]),
        ([5, 5, None, 5], [W, W, W, C]),
    ],
)
def test_levels_have_hysteresis_and_critical_needs_certainty(percents: list[int | None], expected: list[Level]) -> None:
    assert levels(*percents) == expected


def test_a_charger_ends_critical_at_once() -> None:
    gauge = PowerGauge(15, 5)
    for _ in range(CRITICAL_READINGS):
        gauge.take(PowerReading(3, "battery"))
    assert gauge.level is C
    assert gauge.take(PowerReading(3, "charging")) is W
    assert gauge.take(PowerReading(16, "charging")) is G
    assert levels(1, 1, 1, 1, supply="charging") == [G] * 4


readings = st.builds(
    PowerReading,
    st.one_of(st.none(), st.integers(0, 100)),
    st.sampled_from(["battery", "charging", "full", "external", "unknown"]),
)


@given(st.lists(readings, max_size=60), st.integers(0, 100), st.integers(0, 100))
def test_critical_is_never_reached_without_that_many_low_readings(taken: list[PowerReading], a: int, b: int) -> None:
    critical, warn = sorted((a, b))
    gauge = PowerGauge(warn, critical)
    before = gauge.level
    for at, reading in enumerate(taken):
        level = gauge.take(reading)
        if level is C and before is not C:
            known = [
                one for one in taken[: at + 1] if one.percent is not None or one.supply not in {"battery", "unknown"}
            ]
            last = known[-CRITICAL_READINGS:]
            assert len(last) == CRITICAL_READINGS
            assert all(one.supply in {"battery", "unknown"} for one in last)
            assert all(one.percent is not None and one.percent <= critical for one in last)
        if level is G and reading.supply in {"battery", "unknown"} and reading.percent is not None:
            assert reading.percent > warn
        if before is C and level is not C and reading.supply == "battery":
            assert reading.percent is not None
            assert reading.percent > critical + HYSTERESIS_PERCENT
        before = level


# --- the actor -------------------------------------------------------------------------------------------------------


async def test_changes_are_told_and_nothing_else(autojump_clock: MockClock) -> None:
    script: list[PowerReading | SupplyLost] = [
        PowerReading(16, "battery"),
        PowerReading(16, "battery"),
        PowerReading(15, "battery", ("hot",)),
        PowerReading(5, "battery", ("hot",)),
        PowerReading(4, "battery"),
        PowerReading(4, "battery"),
        SupplyLost("power.supply: gone"),
        SupplyLost("power.supply: gone"),
        PowerReading(50, "charging"),
    ]
    left = iter(script)
    told: list[tuple[float, object]] = []

    async def read() -> PowerReading:
        await trio.lowlevel.checkpoint()
        found = next(left)
        if isinstance(found, SupplyLost):
            raise found
        return found

    with trio.move_on_after(10 * (len(script) - 1) + 5):
        await run_power(
            Power(),
            lambda reading: told.append((trio.current_time(), (reading.percent, reading.supply))),
            lambda level, _: told.append((trio.current_time(), level)),
            lambda *fault: told.append((trio.current_time(), fault)),
            read=read,
        )
    assert told == [
        (0, (16, "battery")),
        (20, (15, "battery")),
        (20, W),
        (20, ("power", True, "battery low, hot")),
        (30, (5, "battery")),
        (40, (4, "battery")),
        (40, ("power", True, "battery low")),
        (50, C),
        (50, ("power", True, "battery critical")),
        (60, (None, "unknown")),
        (60, ("power", True, "power.supply: gone")),
        (80, (50, "charging")),
        (80, G),
        (80, ("power", False, "")),
    ]


async def test_none_means_do_not_look(autojump_clock: MockClock) -> None:
    async def read() -> PowerReading:
        raise AssertionError("looked")

    await run_power(Power(supply="none"), print, print, print, read=read)


async def test_the_kernels_sysfs_is_read_off_trios_thread() -> None:
    """Whatever this machine has: a reading comes, and the actor ends when it is cancelled."""
    got: list[PowerReading] = []
    with trio.CancelScope() as scope:

        def take(reading: PowerReading) -> None:
            got.append(reading)
            scope.cancel()

        await run_power(Power(), take, lambda *_: None, lambda *_: None)
    assert len(got) == 1
    assert got[0].supply in {"battery", "charging", "full", "external", "unknown"}
