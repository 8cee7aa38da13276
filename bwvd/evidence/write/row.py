"""The row of a storage's recordings: each names the one before it and how that ended, so that a missing one is missed.

A recording says it in its first record, which is signed by itself: so the next one's first record, two lines without
anybody's texts, shows whoever has this one alone that it is one of a row, and what its whole manifest was.
"""

from __future__ import annotations

from threading import Lock

from bwvd.evidence.format.recording_id import serial_of
from bwvd.evidence.format.records import Before

KEPT = 64  # recordings: a number may be used long after a larger one, but not behind so many


class Row:
    """What is known of the newest recordings, by serial number.

    **Synchronization:** any thread.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[int, Before] = {}

    def is_known(self, before: Before) -> None:
        """Take what a start has found out about a recording, or what has become of it since."""
        with self._lock:
            self._known[before.serial] = before
            for serial in sorted(self._known)[:-KEPT]:
                del self._known[serial]

    def began(self, recording: str) -> None:
        """A recording has its folder, and no end yet."""
        self.ended(recording, "begun", 0, "")

    def ended(self, recording: str, event: str, segments: int, manifest_sha512: str) -> None:
        """A recording's last record is durable. `event`: `closed` or `recovered`."""
        if (serial := serial_of(recording)) is not None:
            self.is_known(Before(serial, recording, event, segments, manifest_sha512))

    def before(self, recording: str) -> Before | None:
        """What a recording that begins now has to say of the one before it; None for a name that is no id."""
        serial = serial_of(recording)
        if serial is None:
            return None
        with self._lock:
            return self._known.get(serial - 1, Before(serial - 1))
