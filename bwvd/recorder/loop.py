"""The loop: the last seconds of encoded media in RAM, and nothing older. Pure; the time is an argument.

The loop holds every GOP that reaches into the last `seconds`, so that a press at any instant finds a key frame at or
before `seconds` ago: its pre-event part is in [seconds, seconds + 1 GOP] (invariant 3), and no sample is older than
`seconds` + the length of its GOP (invariant 2). What leaves is overwritten by the last owner's release.
"""

from __future__ import annotations

import itertools
from collections import deque

from bwvd.clock import NS
from bwvd.media.samples import Gop
from bwvd.messages import PreEvent

# Two GOPs whose edges lie this close are neighbours: less is rounding and jitter, more is a gap.
NEIGHBOUR_NS = 50_000_000
# The last frame of a GOP counts for so many times the GOP's mean interval: its duration reaches to the next frame, over
# a stall of the camera too, and a frame is not younger because none came after it.
LAST_INTERVALS = 4


class Loop:
    """A time- and byte-bounded queue of GOPs; append and evict are O(1).

    Args:
        seconds: how far back a press must reach.
        max_bytes: of media held; beyond it the oldest GOPs leave early, and the pre-event part says "memory".

    **Synchronization:** one task.
    """

    def __init__(self, seconds: float, max_bytes: int) -> None:
        self.seconds_ns = round(seconds * NS)
        self.max_bytes = max_bytes
        self.bytes = 0
        self._gops: deque[Gop] = deque()
        self._short_because = "started"  # why a press finds less than asked, if it does

    def __len__(self) -> int:
        return len(self._gops)

    def held(self) -> tuple[Gop, ...]:
        """What is in the loop, oldest first."""
        return tuple(self._gops)

    @property
    def held_ns(self) -> int:
        """From the oldest held frame to the end of the newest."""
        return self._gops[-1].end_ns - self._gops[0].start_ns if self._gops else 0

    @property
    def from_ns(self) -> int | None:
        """CLOCK_MONOTONIC of the oldest frame that is held; None where none is."""
        return self._gops[0].start_ns if self._gops else None

    def append(self, gop: Gop, now_ns: int) -> None:
        """Take the newest GOP, and let go of what is now too old or too much."""
        if self._gops and gop.start_ns - _seen_until_ns(self._gops[-1]) > NEIGHBOUR_NS:
            self._short_because = "camera_gap"
        self._gops.append(gop.hold())
        self.bytes += gop.size
        self.evict(now_ns)
        while self.bytes > self.max_bytes and len(self._gops) > 1:
            self._drop()
            self._short_because = "memory"

    def evict(self, now_ns: int) -> int:
        """Let go of every GOP that ended `seconds` ago or earlier; returns how many went."""
        gone = 0
        while self._gops and self._leaves_ns() <= now_ns:
            # A loop that reaches its full length can only be short for a press that is handled late.
            self._short_because = "late_press" if self._has_neighbour() else "camera_gap"
            self._drop()
            gone += 1
        return gone

    def next_eviction_ns(self) -> int | None:
        """When `evict` next has something to do, if nothing is appended before."""
        return self._leaves_ns() if self._gops else None

    def before(self, press_ns: int) -> tuple[Gop, ...]:
        """What a press at `press_ns` keeps. The GOPs stay in the loop: the next recording may want them too."""
        first = 0
        for index, gop in enumerate(self._gops):
            if gop.start_ns > press_ns - self.seconds_ns:
                break
            first = index
        return tuple(self._gops)[first:]

    def pre_event(self, press_ns: int, first_ns: int) -> PreEvent:
        """How far a recording that begins at `first_ns` reaches back from its press, and why less than the loop."""
        got_ns = max(0, press_ns - first_ns)
        short = got_ns < self.seconds_ns
        return PreEvent(self.seconds_ns, got_ns, self._why_short(self.before(press_ns)) if short else "")

    def clear(self, reason: str) -> None:
        """Let go of everything. `reason` is why the next press may find little: "started", "asleep", "camera_gap"."""
        while self._gops:
            self._drop()
        self._short_because = reason

    def _why_short(self, gops: tuple[Gop, ...]) -> str:
        pairs = itertools.pairwise(gops)
        holes = any(later.start_ns - _seen_until_ns(earlier) > NEIGHBOUR_NS for earlier, later in pairs)
        return "camera_gap" if holes else self._short_because

    def _leaves_ns(self) -> int:
        """When the oldest GOP's last frame is `seconds` old.

        Its end is taken from its neighbour's start where there is one: their jitter must not make the next press short.
        """
        end_ns = self._gops[1].start_ns if self._has_neighbour() else _seen_until_ns(self._gops[0])
        return end_ns + self.seconds_ns

    def _has_neighbour(self) -> bool:
        """Whether the second GOP goes on where the oldest ends."""
        return len(self._gops) > 1 and abs(self._gops[1].start_ns - _seen_until_ns(self._gops[0])) <= NEIGHBOUR_NS

    def _drop(self) -> None:
        gop = self._gops.popleft()
        self.bytes -= gop.size
        gop.release()


def _seen_until_ns(gop: Gop) -> int:
    """The end of what was seen in a GOP, without a stall of the camera behind it."""
    batch = gop.leading
    first, last = batch.samples[0], batch.samples[-1]
    if len(batch.samples) == 1:
        return batch.end_ns
    mean_ns = (last.dts_ns - first.dts_ns) // (len(batch.samples) - 1)
    return batch.end_ns - max(0, last.duration_ns - LAST_INTERVALS * mean_ns)
