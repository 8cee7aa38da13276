"""A battery and a charger in virtual time, as the daemon reads them and as the kernel shows them."""

from __future__ import annotations

from pathlib import Path

import trio

from bwvd.clock import NS, Clock
from bwvd.service.power_supply import PowerReading, SupplyLost

STATUS = {  # PowerReading.supply: what power_supply(4) calls it
    "battery": "Discharging",
    "charging": "Charging",
    "full": "Full",
    "external": "Not charging",
    "unknown": "Unknown",
}


class VirtualSupply:
    """What `power_supply.read_power` would find: one battery that runs empty, and what may be wrong with it.

    `read` is for `bwvd.service.power.run_power`. `show` writes the same as a tree of sysfs, for the real reader.

    **Synchronization:** one thread; `read` on trio's.
    """

    def __init__(
        self, clock: Clock, *, percent: float = 80.0, drain_per_hour: float = 0.0, name: str = "virtual"
    ) -> None:
        """percent: of the battery, now. drain_per_hour: percent by which it falls; a negative number charges."""
        self.name = name
        self.reads = 0
        self._clock = clock
        self._percent = percent
        self._at_ns = clock.monotonic_ns()
        self._drain_per_hour = drain_per_hour
        self._external = False
        self._present = True
        self._says_percent = True
        self._slow_s = 0.0
        self._flags: set[str] = set()

    @property
    def percent(self) -> float:
        """What is left, now."""
        passed_h = (self._clock.monotonic_ns() - self._at_ns) / NS / 3600
        return max(0.0, min(100.0, self._percent - passed_h * self._drain_per_hour))

    # --- what happens to it ---

    def set(self, percent: float) -> None:
        """Another level, at once: an old battery under load, a gauge that recalibrates."""
        self._percent, self._at_ns = percent, self._clock.monotonic_ns()

    def drain(self, per_hour: float) -> None:
        """Fall by so many percent an hour from now on; a negative number charges."""
        self.set(self.percent)
        self._drain_per_hour = per_hour
        self._external = False

    def plug_in(self, per_hour: float = 60.0) -> None:
        """A charger: rise by so many percent an hour; 0 = it feeds the device and leaves the battery alone."""
        self.drain(-per_hour)
        self._external = True

    def flag(self, flag: str, up: bool = True) -> None:
        """ "undervoltage", "hot" or "battery_overheat" is so, or no more."""
        (self._flags.add if up else self._flags.discard)(flag)

    def mute(self, muted: bool = True) -> None:
        """The gauge does not say the percentage, or says it again."""
        self._says_percent = not muted

    def unplug(self) -> None:
        """The supply that the configuration names is not there: SupplyLost."""
        self._present = False

    def plug(self) -> None:
        self._present = True

    def wedge(self, seconds: float) -> None:
        """Every reading takes so long from now on: a gauge on a slow bus."""
        self._slow_s = seconds

    # --- how it is read ---

    def reading(self) -> PowerReading:
        """The power as it is now. Raises SupplyLost."""
        if not self._present:
            raise SupplyLost(f"power.supply: {self.name} is not there")
        return PowerReading(int(self.percent) if self._says_percent else None, self._supply, tuple(sorted(self._flags)))

    async def read(self) -> PowerReading:
        """As `bwvd.service.power.read_in_thread`, in virtual time. Raises SupplyLost."""
        self.reads += 1
        await trio.sleep(self._slow_s)
        return self.reading()

    def show(self, sysfs: Path) -> None:
        """Write what the kernel would show into the folder `sysfs`, in place of what this supply showed before."""
        battery = sysfs / "class/power_supply" / self.name
        if not self._present:
            if battery.is_dir():
                for attribute in battery.iterdir():
                    attribute.unlink()
                battery.rmdir()
        else:
            _write(battery / "type", "Battery")
            _write(battery / "present", "1")
            _write(battery / "status", STATUS[self._supply])
            _write(battery / "health", "Overheat" if "battery_overheat" in self._flags else "Good")
            _write(battery / "capacity", str(int(self.percent)) if self._says_percent else "")
        _write(sysfs / "class/hwmon/hwmon0/name", "rpi_volt")
        _write(sysfs / "class/hwmon/hwmon0/in0_lcrit_alarm", "1" if "undervoltage" in self._flags else "0")
        zone = sysfs / "class/thermal/thermal_zone0"
        _write(zone / "trip_point_0_type", "hot")
        _write(zone / "trip_point_0_temp", "85000")
        _write(zone / "temp", "91000" if "hot" in self._flags else "48000")

    @property
    def _supply(self) -> str:
        if not self._external and self._drain_per_hour >= 0:
            return "battery"
        if self.percent >= 100:
            return "full"
        return "charging" if self._drain_per_hour < 0 else "external"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
