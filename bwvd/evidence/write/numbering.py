"""Serial numbers and ids of recordings. Serial numbers are gapless per device: a missing recording can be counted.

A number is given with the press, and its folder is made when there is media, which may be long after; meanwhile a
storage error may take the next number for what goes on. So that the flash never holds a number without those before it,
whatever the power does, a folder is made for each of those first: it holds the place until its recording begins, or
until it is given back, and then it is brought to an end like one that was cut as it was made.
"""

from __future__ import annotations

from threading import Lock

from bwvd.clock import NS, Clock
from bwvd.evidence.format.recording_id import recording_id


class RecordingNumbers:
    """Counts recordings and makes their ids: `20261122T071503Z-BWV-0001-000042`.

    Args:
        device: the device's id.
        next_serial: the first number to give; from journal and folders at start-up.

    **Synchronization:** any thread: the recorder's and the storage's jobs both count.
    """

    def __init__(self, device: str, next_serial: int, clock: Clock) -> None:
        self._device = device
        self._clock = clock
        self._lock = Lock()
        self._ids: dict[int, str] = {}  # given, and no recording of that number has begun yet
        self._placeholders: set[int] = set()  # of those: an empty folder is there
        self._given_back: set[int] = set()  # of those: no recording of that number will begin
        self.next_serial = next_serial

    def take(self, press_ns: int) -> tuple[int, str]:
        """The next serial number, and the id of a recording pressed at that CLOCK_MONOTONIC."""
        reading = self._clock.read()
        pressed_s = (reading.utc_ns + press_ns - reading.mono_ns) // NS
        with self._lock:
            serial = self.next_serial
            self.next_serial += 1
            recording = recording_id(pressed_s, self._device, serial)
            self._ids[serial] = recording
        return serial, recording

    def skip_to(self, last: int) -> None:
        """Give no number up to `last` from now on. What was given stays given: its recording may have begun."""
        with self._lock:
            self.next_serial = max(self.next_serial, last + 1)

    def give_back(self, serial: int) -> None:
        """No recording of that number will begin. The newest one is given again, if no folder holds its place."""
        with self._lock:
            self._given_back.add(serial)
            while self.next_serial - 1 in self._given_back - self._placeholders:
                self.next_serial -= 1
                self._forget(self.next_serial)

    def without_folder_before(self, serial: int) -> list[tuple[int, str]]:
        """Smaller numbers, with their ids, that were given and that no folder stands for."""
        with self._lock:
            return sorted(
                (one, recording)
                for one, recording in self._ids.items()
                if one < serial and one not in self._placeholders
            )

    def placeholder_made(self, serial: int) -> None:
        """A placeholder folder of that number is there, and durable."""
        with self._lock:
            self._placeholders.add(serial)

    def recording_begun(self, serial: int) -> None:
        """The recording of that number has its folder."""
        with self._lock:
            self._forget(serial)

    @property
    def has_placeholders(self) -> bool:
        """Whether a folder holds the place of a number whose recording has not begun."""
        return bool(self._placeholders)

    def abandoned(self) -> list[str]:
        """The ids of numbers that were given back and whose folders have to be brought to an end. Given once."""
        with self._lock:
            serials = sorted(self._placeholders & self._given_back)
            recordings = [self._ids[serial] for serial in serials]
            for serial in serials:
                self._forget(serial)
        return recordings

    def _forget(self, serial: int) -> None:
        self._ids.pop(serial, None)
        self._placeholders.discard(serial)
        self._given_back.discard(serial)
