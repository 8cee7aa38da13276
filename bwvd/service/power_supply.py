"""Readings of the power from sysfs: battery, charger, undervoltage, heat. Blocking.

Reads can take a while (a fuel gauge on a slow bus is asked on the spot), so this runs off trio's thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PowerReading:
    """The power at one moment, in the words of the manifest's `power` record."""

    percent: int | None  # of the battery; None = there is none, or it does not say
    supply: str  # "battery", "charging", "full", "external", "unknown"
    flags: tuple[str, ...] = ()  # sorted: "undervoltage", "hot", "battery_overheat", ...


class SupplyLost(Exception):
    """The power supply that the configuration names is not there. One line."""


# power_supply(4)'s health that is a reason to worry, as flags.
_HEALTH = {
    "Overheat": "battery_overheat",
    "Dead": "battery_dead",
    "Over voltage": "battery_overvoltage",
    "Cold": "battery_cold",
    "Hot": "battery_overheat",
    "Over current": "battery_overcurrent",
}

# A zone at or above one of these is being throttled, or near its end.
_TRIPS = {"passive", "hot", "critical"}

# A battery that only says a word (capacity_level) instead of percent.
_LEVELS = {"Full": 100, "High": 80, "Normal": 50, "Low": 10, "Critical": 2}


def read_power(supply: str = "", sysfs: Path = Path("/sys")) -> PowerReading:
    """Read the power as it is now. What the kernel does not show is None, "unknown" or absent.

    Args:
        supply: a name under /sys/class/power_supply; "" = the first battery that feeds this machine.

    Raises: SupplyLost if `supply` names one that is not there.
    """
    flags = {*_undervoltage(sysfs), *_heat(sysfs)}
    supplies = sysfs / "class/power_supply"
    if supply:
        battery: Path | None = supplies / supply
        if "/" in supply or supply.startswith(".") or not (supplies / supply).is_dir():
            raise SupplyLost(f"power.supply: {supplies / supply} is not there")
    else:
        battery = next(_batteries(supplies), None)
    if battery is None:
        return PowerReading(None, "external" if _plugged_in(supplies) else "unknown", tuple(sorted(flags)))
    health = _HEALTH.get(_text(battery / "health"))
    if health:
        flags.add(health)
    return PowerReading(_percent(battery), _supply(battery), tuple(sorted(flags)))


def _batteries(supplies: Path) -> Iterator[Path]:
    """Batteries that feed this machine: one of scope "Device" is a mouse's."""
    for folder in _folders(supplies):
        if (
            _text(folder / "type") == "Battery"
            and _text(folder / "scope") != "Device"
            and _text(folder / "present") != "0"
        ):
            yield folder


def _plugged_in(supplies: Path) -> bool:
    return any(
        _text(folder / "online") in {"1", "2"} and _text(folder / "scope") != "Device"
        for folder in _folders(supplies)
        if _text(folder / "type") != "Battery"
    )


def _percent(battery: Path) -> int | None:
    percent = _number(battery / "capacity")
    if percent is None:
        for now, full in (("charge_now", "charge_full"), ("energy_now", "energy_full")):
            has, of = _number(battery / now), _number(battery / full)
            if has is not None and of:
                percent = 100 * has // of
                break
        else:
            percent = _LEVELS.get(_text(battery / "capacity_level"))
    return None if percent is None else max(0, min(100, percent))


def _supply(battery: Path) -> str:
    match _text(battery / "status"):
        case "Discharging":
            return "battery"
        case "Charging":
            return "charging"
        case "Full":
            return "full"
        case "Not charging":
            return "external"
        case _:
            return "unknown"


def _undervoltage(sysfs: Path) -> Iterator[str]:
    """A board whose supply sags: the Raspberry Pi's firmware tells it as the hwmon device `rpi_volt`."""
    for folder in _folders(sysfs / "class/hwmon"):
        if _text(folder / "name") == "rpi_volt" and _text(folder / "in0_lcrit_alarm") == "1":
            yield "undervoltage"


def _heat(sysfs: Path) -> Iterator[str]:
    for folder in _folders(sysfs / "class/thermal"):
        now = _number(folder / "temp")  # thousandths of a degree, as the trip points
        if now is None:
            continue
        for kind in sorted(folder.glob("trip_point_*_type")):
            trip = _number(kind.with_name(kind.name.replace("_type", "_temp")))
            if trip is not None and trip > 0 and now >= trip and _text(kind) in _TRIPS:
                yield "hot"


def _folders(parent: Path) -> list[Path]:
    try:
        return sorted(parent.iterdir())
    except OSError:
        return []  # a kernel without that class


def _text(path: Path) -> str:
    """An attribute, or "": drivers show what they know, and some answer with errors (ENODATA) while they settle."""
    try:
        return path.read_text("utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    try:
        return int(_text(path))
    except ValueError:
        return None
