"""The clock of a device's audio: its samples counted, and corrected towards its stamps. Pure."""

from __future__ import annotations

from collections import deque
from statistics import median_low
from typing import NamedTuple

from bwvd.capture.timestamps import MS
from bwvd.clock import NS


class SampleStep(NamedTuple):
    """The time of a block of audio, and what to put in or leave out so that blocks follow without hole or overlap."""

    begin_ns: int | None  # start counting anew from here; None = go on counting
    silence: int  # samples of silence to put before the block
    drop: int  # samples to leave out at its beginning
    lost_ns: int  # how much audio is missing, or is left out from here on; 0 = none
    at_ns: int  # where the block lies: its first sample that is not left out


class SampleClock:
    """Counts samples, and follows the device's stamps slowly.

    A sound card's crystal is off by some 10⁻⁵ to 10⁻⁴: 200 ppm are 20 ms in 100 s. The count follows that smoothly, so
    that each block is told a little earlier or later than counting alone would say; the resampler stretches the audio
    by as much. What is off all at once is no drift: audio was lost, and silence takes its place. What stays off is
    put right at once as well, because stretching it would take long: silence is put in, or audio is left out.
    """

    FOLLOW = 16  # each block corrects 1/16 of the offset
    HOLE_NS = 20 * MS  # further than the last blocks were, all at once
    SHIFT_NS = 10 * MS  # all of the last blocks: stretching would take seconds
    REMEMBERED = 8  # blocks: longer than what is late once because the machine was busy
    RESTART_NS = NS  # a hole longer than this is not filled

    def __init__(self, rate: int) -> None:
        """rate: samples per second."""
        self._rate = rate
        self.next_ns: int | None = None  # when the next block is expected; None before the first
        self._rest = 0  # of a nanosecond, in 1/rate: counting alone is exact
        self._offs: deque[int] = deque(maxlen=self.REMEMBERED)
        self._owed = 0  # samples still to be left out

    def stop(self) -> None:
        """Forget the count: the next block begins anew, and nothing is missing before it."""
        self.next_ns = None

    def take(self, start_ns: int | None, samples: int) -> SampleStep:
        """Account for a block of `samples` that was taken from `start_ns` on (None: no believable stamp)."""
        count_ns = self.next_ns
        if count_ns is None:
            if start_ns is None:
                raise ValueError("the first block needs a time")
            return self._begin(start_ns, samples, 0)
        if self._owed:
            return self._leave_out(count_ns, samples)
        if start_ns is None:
            return self._go_on(count_ns, samples)
        off_ns = start_ns - count_ns
        if off_ns > self.HOLE_NS and off_ns - max(median_low(self._offs or (0,)), 0) > self.HOLE_NS:
            return self._fill(count_ns, start_ns, samples)
        self._offs.append(off_ns)
        if abs(off_ns) > self.SHIFT_NS and len(self._offs) == self.REMEMBERED:
            if min(self._offs) > self.SHIFT_NS:
                return self._fill(count_ns, count_ns + median_low(self._offs), samples)
            if max(self._offs) < -self.SHIFT_NS:
                lost_ns = -median_low(self._offs)
                self._owed = lost_ns * self._rate // NS
                return self._leave_out(count_ns, samples)._replace(lost_ns=lost_ns)
        # What is far off is waited with: it is an outlier, or will be put right as a whole.
        follow_ns = off_ns // self.FOLLOW if abs(off_ns) <= self.SHIFT_NS else 0
        return self._go_on(count_ns + follow_ns, samples)

    def _begin(self, start_ns: int, samples: int, lost_ns: int) -> SampleStep:
        self._offs.clear()
        self._rest, self._owed = 0, 0
        return self._go_on(start_ns, samples)._replace(begin_ns=start_ns, lost_ns=lost_ns)

    def _fill(self, count_ns: int, start_ns: int, samples: int) -> SampleStep:
        lost_ns = start_ns - count_ns
        if lost_ns > self.RESTART_NS:
            return self._begin(start_ns, samples, lost_ns)
        self._offs.clear()
        silence = lost_ns * self._rate // NS
        self._count(count_ns, silence)
        return self._go_on(self.next_ns or 0, samples)._replace(silence=silence, lost_ns=lost_ns)

    def _leave_out(self, count_ns: int, samples: int) -> SampleStep:
        drop = min(self._owed, samples)
        self._owed -= drop
        self._offs.clear()
        return self._go_on(count_ns, samples - drop)._replace(drop=drop)

    def _go_on(self, at_ns: int, samples: int) -> SampleStep:
        self._count(at_ns, samples)
        return SampleStep(None, 0, 0, 0, at_ns)

    def _count(self, at_ns: int, samples: int) -> None:
        whole, self._rest = divmod(samples * NS + self._rest, self._rate)
        self.next_ns = at_ns + whole
