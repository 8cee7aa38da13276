"""Times of frames that bring none: a steady beat under their arrivals. Pure.

A pipe only ever delays, and several frames may come at once when we, or the program, were not let run. So the least
delay of the last frames tells where the beat lies, and a frame that is late alone moves nothing. A frame that was lost
makes all that follow late; that is seen when all of the last frames are, and the hole comes then.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from statistics import median_low

from bwvd.capture.timestamps import LEAST_STEP_NS
from bwvd.clock import NS

WINDOW = 15  # frames over which the least delay is taken
STALL_NS = NS // 2  # later than this is no delay of a pipe
SHARE = 16  # of what is off, corrected with each frame
LEARNED = 32  # of each correction: the beat's own


class ArrivalBeat:
    """The clock of one track without stamps. **Synchronization:** one thread."""

    def __init__(self, step_ns: int) -> None:
        """step_ns: between two frames, nominally; it is learned."""
        self._step_ns = step_ns
        self._last_ns: int | None = None
        self._arrivals: deque[int] = deque(maxlen=WINDOW + 1)
        self._late: deque[int] = deque(maxlen=WINDOW)  # behind the beat, each

    def place(self, arrival_ns: int) -> int:
        """The time of the next frame, which came at `arrival_ns`: later than the last one's."""
        last_ns = self._last_ns
        self._arrivals.append(arrival_ns)
        if last_ns is None:
            self._last_ns = arrival_ns
            return arrival_ns
        at_ns = last_ns + self._step_ns
        late_ns = arrival_ns - at_ns
        self._late.append(late_ns)
        if late_ns > STALL_NS or self._grows():
            at_ns = arrival_ns
            self._begin_again()
        elif late_ns < 0:  # not from the future: all that came before was late
            at_ns = arrival_ns
            self._move(late_ns)
        elif len(self._late) == WINDOW and (least_ns := min(self._late)) > 0:
            by_ns = least_ns if least_ns > self._step_ns // 2 else least_ns // SHARE
            at_ns += by_ns
            self._move(by_ns)
        self._last_ns = max(at_ns, last_ns + LEAST_STEP_NS)
        return self._last_ns

    def _grows(self) -> bool:
        """True if each of the last frames was clearly later than the one some frames before: that is another rate."""
        if len(self._late) < WINDOW:
            return False
        far = WINDOW // 2
        return all(self._late[n + far] - self._late[n] > far * self._step_ns // SHARE for n in range(WINDOW - far))

    def _begin_again(self) -> None:
        """A pause, or another rate."""
        if len(self._arrivals) > WINDOW:
            self._step_ns = max(median_low(b - a for a, b in pairwise(self._arrivals)), LEAST_STEP_NS)
        self._late.clear()
        self._arrivals.clear()

    def _move(self, by_ns: int) -> None:
        """The beat has moved, and is a little longer, or shorter; what was late is so by less."""
        self._step_ns = max(self._step_ns + min(by_ns, self._step_ns // 2) // LEARNED, LEAST_STEP_NS)
        for index, late_ns in enumerate(self._late):
            self._late[index] = late_ns - by_ns
