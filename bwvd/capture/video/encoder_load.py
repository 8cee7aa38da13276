"""The load of an encoder: measured against its camera, and what gives way where it is too high. Pure.

The rule, in the order in which things give way:

1. While what is done for a frame takes more than `BUSY` of the time between two frames, a faster preset is due,
   where the encoder has presets (libx264, libx265): when that has been so for `WINDOW_NS` on the average, or as soon as
   the frames are `HURRY_NS` late, by the middle one of the last `LEAST` (one that took long is no reason). A preset
   about halves the work of the one before, so it goes down by as many as bring the load under `BUSY`, one at least, and
   never beyond the fastest. The next GOP begins with it; where frames are `HURRY_NS` late, a GOP
   begins at once. It never goes back up: the next opening begins with the configured preset again.
2. Where nothing faster is left, a frame that is more than `LATE_NS` late when its turn comes is left out, and
   counted; while there still is, one that is more than `LATEST_NS` late. So what is in the loop does not lag further
   and further behind the camera.

Being late alone costs no frame: after a stall of a network a hundred frames come at once, and an encoder that is
fast enough has caught up in a moment.
"""

from __future__ import annotations

from collections import deque
from statistics import median_low

from bwvd.clock import NS
from bwvd.media.presets import PRESETS

BUSY = 0.9  # of the time between two frames: what is above leaves nothing for jitter
WINDOW_NS = 2 * NS  # of the camera's time that the load is measured over
LEAST = 5  # frames at least, before anything is judged; of the last so many the middle one counts where it hurries
WARM_UP = 2  # the first frames of an encoder: it is setting itself up
HURRY_NS = NS // 4
LATE_NS = NS
LATEST_NS = 2 * NS
PAUSE_NS = NS // 2  # between two frames: the camera has stopped in between, that is not its beat


class Pace:
    """The measure of one encoder after the other, for one opening of a camera.

    **Synchronization:** one thread.
    """

    def __init__(self, preset: str | None) -> None:
        """preset: what the encoder begins with, one of `PRESETS`; None where it has none."""
        self.preset = preset
        self.load = 0.0  # time spent for a frame, in times between two frames: the last measurement
        self._last_ns: int | None = None
        self._warming = WARM_UP
        self._lately: deque[int] = deque(maxlen=LEAST)
        self._empty()

    @property
    def slow(self) -> bool:
        """True if the encoder was slower than the camera when it was last measured."""
        return self.load > BUSY

    def taken(self, at_ns: int) -> None:
        """A frame was taken by the camera, whatever becomes of it."""
        last, self._last_ns = self._last_ns, at_ns
        if last is not None and 0 < at_ns - last <= PAUSE_NS:
            self._beats += 1
            self._span_ns += at_ns - last

    def leaves_out(self, late_ns: int) -> bool:
        """True if a frame whose turn comes `late_ns` after it was taken is left out."""
        return self.slow and late_ns > (LATEST_NS if self._may_hurry else LATE_NS)

    def spent(self, spent_ns: int, late_ns: int) -> str | None:
        """A frame was encoded; returns a faster preset if one is due now, which the caller begins when it can.

        spent_ns: on it, from its arrival on. late_ns: how late it was when its turn came.
        """
        if self._warming:
            self._warming -= 1
            self._beats = self._span_ns = 0
            return None
        self._encoded += 1
        self._spent_ns += spent_ns
        self._lately.append(spent_ns)
        if self._encoded < LEAST or not self._beats:
            return None
        beat_ns = self._span_ns / self._beats
        full, hurry = self._span_ns >= WINDOW_NS, late_ns > HURRY_NS
        if full:
            self.load = self._spent_ns / self._encoded / beat_ns
            self._empty()
        elif hurry:
            self.load = median_low(self._lately) / beat_ns
        return self._faster() if self.slow and (full or hurry) else None

    def anew(self, preset: str | None) -> None:
        """Another encoder has begun: what was measured is not about it."""
        self.preset = preset
        self.load = 0.0
        self._warming = WARM_UP
        self._lately.clear()
        self._empty()

    @property
    def _may_hurry(self) -> bool:
        return self.preset in PRESETS[1:]

    def _faster(self) -> str | None:
        if self.preset is None or not self._may_hurry:
            return None
        load, at = self.load, PRESETS.index(self.preset)
        while load > BUSY and at > 0:
            load /= 2
            at -= 1
        return PRESETS[at]

    def _empty(self) -> None:
        self._beats = self._span_ns = self._encoded = self._spent_ns = 0
