"""Serial numbers and ids of recordings. Serial numbers are gapless per device: a missing recording can be counted."""

from __future__ import annotations

import datetime

from bwvd.clock import Clock


class Naming:
    """Counts recordings and makes their ids: `20261122T071503Z-BWV-0001-000042`.

    Args:
        device: the device's id.
        next_serial: the first number to give; from journal and folders at start-up.

    **Synchronization:** one thread.
    """

    def __init__(self, device: str, next_serial: int, clock: Clock) -> None:
        self._device = device
        self._clock = clock
        self.next_serial = next_serial

    def take(self, press_ns: int) -> tuple[int, str]:
        """The next serial number, and the id of a recording pressed at that CLOCK_MONOTONIC."""
        serial = self.next_serial
        self.next_serial += 1
        reading = self._clock.read()
        utc_s = (reading.utc_ns + press_ns - reading.mono_ns) // 1_000_000_000
        stamp = datetime.datetime.fromtimestamp(max(0, utc_s), tz=datetime.UTC)
        return serial, f"{stamp:%Y%m%dT%H%M%SZ}-{self._device}-{serial:06d}"

    def give_back(self, serial: int) -> None:
        """No folder was made for the newest number: the next recording carries it."""
        if serial == self.next_serial - 1:
            self.next_serial = serial
