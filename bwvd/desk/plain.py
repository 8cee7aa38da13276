"""Plain segments in memory: those of all recordings that were played last. A person goes back and forth."""

from __future__ import annotations

import threading
from collections import OrderedDict

KEPT_BYTES = 16 * 1024 * 1024  # of all recordings together: four cameras at once need no more than one


class Owner:
    """What segments are kept for: a recording as it was read once."""

    barred = False  # nothing is kept for it any more


class PlainSegments:
    """Keeps what was decrypted last, each by what it belongs to and its number.

    **Synchronization:** any threads.
    """

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[Owner, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, owner: Owner, number: int) -> bytes | None:
        """A segment that was kept; None where it is not, or not any more."""
        with self._lock:
            if (found := self._kept.get((owner, number))) is not None:
                self._kept.move_to_end((owner, number))
            return found

    def keep(self, owner: Owner, number: int, plain: bytes) -> None:
        """Keep a segment, and the last ones before it for which there is room; none of what was forgotten."""
        with self._lock:
            if owner.barred:
                return
            self._bytes += len(plain) - len(self._kept.pop((owner, number), b""))
            self._kept[owner, number] = plain
            while len(self._kept) > 1 and self._bytes > self._most_bytes:
                self._bytes -= len(self._kept.popitem(last=False)[1])

    def forget(self, owner: Owner) -> None:
        """Forget the segments of a recording, and keep none from now on: some thread may still be decrypting one."""
        with self._lock:
            owner.barred = True
            for key in [key for key in self._kept if key[0] is owner]:
                self._bytes -= len(self._kept.pop(key))
