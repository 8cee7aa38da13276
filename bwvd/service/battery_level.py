"""Levels of the battery: good, low, and so low that it is time to close in order. Pure."""

from __future__ import annotations

from enum import StrEnum

from bwvd.service.power_supply import PowerReading


class Level(StrEnum):
    """How the battery stands."""

    GOOD = "good"
    WARN = "warn"
    CRITICAL = "critical"  # close in order now: what is left is for that


# A gauge that wavers around a threshold must not ring twice.
HYSTERESIS_PERCENT = 3
# One reading may be a mistake (a bus error reads as 0 %, a load dip as less than there is); that many in a row are not.
CRITICAL_READINGS = 3


class PowerGauge:
    """Turns readings into levels. **Synchronization:** one task."""

    def __init__(self, warn_percent: int, critical_percent: int) -> None:
        self._warn = warn_percent
        self._critical = critical_percent
        self._in_a_row = 0
        self.level = Level.GOOD

    def take(self, reading: PowerReading) -> Level:
        """The level after one more reading.

        A battery that is being charged, or rests beside a charger, is never critical. A reading without percent
        changes nothing: not knowing is no reason to stop, and no relief.
        """
        if reading.supply in {"charging", "full", "external"}:
            self._in_a_row = 0
            low = reading.percent is not None and reading.percent <= self._warn
            self.level = Level.WARN if low and self.level is not Level.GOOD else Level.GOOD
            return self.level
        if reading.percent is None:
            return self.level
        self._in_a_row = self._in_a_row + 1 if reading.percent <= self._critical else 0
        match self.level:
            case Level.GOOD | Level.WARN if self._in_a_row >= CRITICAL_READINGS:
                self.level = Level.CRITICAL
            case Level.CRITICAL if reading.percent <= self._critical + HYSTERESIS_PERCENT:
                pass
            case Level.GOOD if reading.percent > self._warn:
                pass
            case _ if reading.percent <= self._warn + HYSTERESIS_PERCENT:
                self.level = Level.WARN
            case _:
                self.level = Level.GOOD
        return self.level
