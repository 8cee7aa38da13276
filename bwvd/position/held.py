"""The positions of the time that the loop holds, for the recordings that begin in it. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from bwvd.messages import Located


@dataclass(frozen=True, slots=True)
class Begun:
    """A recording in progress: its id, and CLOCK_MONOTONIC of its first frame."""

    recording: str
    first_ns: int


@dataclass(slots=True)
class HeldPositions:
    """What was told, losses included; each recording gets its own copy of its time. **Synchronization:** one task."""

    _held: deque[Located] = field(default_factory=deque)
    _recording: str = ""

    def __len__(self) -> int:
        return len(self._held)

    def keep(self, located: Located) -> None:
        """What is told now."""
        self._held.append(located)

    def let_go(self, from_ns: int) -> None:
        """Of what is older than the oldest frame that the loop holds or will hold."""
        while self._held and self._held[0].at_ns < from_ns:
            self._held.popleft()

    def clear(self) -> None:
        self._held.clear()

    def of_new(self, begun: Begun | None) -> list[Located]:
        """What lies in a recording that nobody asked for before, the oldest first; [] for any other."""
        recording = begun.recording if begun is not None else ""
        is_new, self._recording = recording not in ("", self._recording), recording
        return [one for one in self._held if begun is not None and one.at_ns >= begun.first_ns] if is_new else []
