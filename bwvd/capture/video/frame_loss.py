"""Losses of a video track while it went on: found from its times, told once per GOP. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from statistics import median_low

from bwvd.capture.timestamps import Placed
from bwvd.clock import NS
from bwvd.messages import MediaEvent, MediaGap

Out = Callable[[MediaEvent], None]

STALL_NS = NS  # a hole that is as long is a stall; a beat may be as long as it likes
TOLD_SINGLY = 8  # holes in one GOP; a worse one is told as a whole


class Cadence:
    """Finds holes in a camera's beat.

    V4L2 counts frames, but libav does not hand the count on. A camera that goes slower in the dark is no loss: a long
    interval counts as a hole only if the next one is not long as well.

    A camera's jitter is that of its frames' times. Between neighbours it counts twice, and over a row of intervals no
    more than that: so the usual interval is the mean of a row, small holes included, which jitter moves by little.
    """

    REMEMBERED = 15  # intervals
    LONG = 1.6  # times the usual one: jitter stays below, one lost frame lies above
    ALIKE = 1.8  # intervals that differ from the median by more than this factor are of another beat
    FIRST = 5  # nominal intervals to begin with: less, and the first real one counts too much
    COUNTED = 2  # missing frames, at most, of a hole whose length says something about the beat

    def __init__(self, step_ns: int) -> None:
        """step_ns: the nominal interval."""
        self._nominal_ns = step_ns
        self._usual: deque[tuple[int, int]] = deque([(step_ns, 1)] * self.FIRST, self.REMEMBERED)  # length, steps
        self._each: deque[int] = deque([step_ns] * self.FIRST, self.REMEMBERED)  # the same, of a step
        self._last_ns: int | None = None
        self._suspect: tuple[int, int, int] | None = None  # from, to, frames

    @property
    def least_ns(self) -> int:
        """`step_ns` is not less: what is answered by this need not be asked of that, which takes ten times as long."""
        return min(self._each)

    @property
    def step_ns(self) -> int:
        """The usual interval of the last frames."""
        middle = median_low([length // steps for length, steps in self._usual])
        length = steps = 0
        for one, its_steps in self._usual:
            if middle * its_steps <= self.ALIKE * one and one <= self.ALIKE * (middle + 1) * its_steps:
                length += one
                steps += its_steps
        return max(length // steps, 1)

    def interrupt(self) -> tuple[int, int, int] | None:
        """The next frame's distance from the last says nothing. Returns a stall that nothing can confirm any more."""
        suspect, self._last_ns, self._suspect = self._suspect, None, None
        if suspect is None or suspect[1] - suspect[0] < STALL_NS:
            return None
        return self._confirm(suspect, self.step_ns)

    def note(self, at_ns: int, *, slow: bool = False) -> tuple[int, int, int] | None:
        """Take the next frame's time; returns a hole that lies behind: its ends, and how many frames are missing.

        slow: it is we who don't keep up. Then every long interval is a hole, however many there are in a row, and long
        is what the nominal one is not: the driver has no room for what we have not taken yet.
        """
        last, self._last_ns = self._last_ns, at_ns
        if last is None:
            return None
        interval = at_ns - last
        if self._suspect is None and not slow and interval <= self.LONG * self.least_ns:
            self._learn(interval, 1)
            return None
        usual = self.step_ns
        if slow:
            usual = min(usual, self._nominal_ns)
        suspect, self._suspect = self._suspect, None
        if slow and interval > self.LONG * usual:
            # Told at once; a suspicion before it can't be judged any more and lies within a step of it.
            since = last if suspect is None else suspect[0]
            return since + usual, at_ns, max(round((at_ns - since) / usual) - 1, 1)
        if interval <= self.LONG * usual:
            hole = self._confirm(suspect, usual)
            self._learn(interval, 1)
            return hole
        if suspect is not None:
            before = suspect[1] - suspect[0]
            # Frames of more than a second, one after the other, need not be alike: in the dark each has its own time.
            if abs(interval - before) <= interval // 4 or min(interval, before) >= STALL_NS:
                self._usual.clear()
                self._each.clear()
                self._learn(before, 1)
                self._learn(interval, 1)
                return None
        self._suspect = (last, at_ns, max(round(interval / usual) - 1, 1))
        return self._confirm(suspect, usual)

    def _confirm(self, suspect: tuple[int, int, int] | None, usual: int) -> tuple[int, int, int] | None:
        """What was suspected is a hole."""
        if suspect is None:
            return None
        from_ns, to_ns, frames = suspect
        if frames <= self.COUNTED:
            self._learn(to_ns - from_ns, frames + 1)
        return from_ns + usual, to_ns, frames

    def _learn(self, length_ns: int, steps: int) -> None:
        self._usual.append((length_ns, steps))
        self._each.append(length_ns // steps)


class Losses:
    """Collects what was lost in the GOP in the making, and tells it before the GOP.

    **Synchronization:** one thread.
    """

    LATE_STEPS = 3  # a frame that waited for so many others in the driver's queue: it is we who are slow

    def __init__(self, step_ns: int, live: bool, *, queues: bool = False) -> None:
        """live: a camera, whose beat is watched. A file may have holes of its own. queues: its driver has a queue of a
        few frames, and drops what does not fit."""
        self._cadence = Cadence(step_ns) if live else None
        self._queues = queues
        self._found: list[tuple[int, int, str, int]] = []  # from, to, cause, frames
        self._end_ns: int | None = None

    def frame(self, placed: Placed, arrival_ns: int, *, slow: bool = False) -> None:
        """A frame is there. slow: what is done with each takes longer than the camera takes for the next."""
        if placed.doubt and self._end_ns is not None:
            self._add(self._end_ns, placed.dts_ns, "timestamps", 0)
        self._end_ns = placed.dts_ns
        if self._cadence is None:
            return
        if placed.doubt:
            self._interrupt()
            return
        lag_ns = arrival_ns - placed.dts_ns
        late = lag_ns > self.LATE_STEPS * self._cadence.least_ns and lag_ns > self.LATE_STEPS * self._cadence.step_ns
        hole = self._cadence.note(placed.dts_ns, slow=slow and late and self._queues)
        if hole is not None:
            from_ns, to_ns, frames = hole
            if to_ns - from_ns >= STALL_NS // 2:
                cause = "stalled"
            elif slow or late:
                cause = "encoder_slow"
            else:
                cause = "dropped_by_device"
            self._add(from_ns, to_ns, cause, frames)

    def damaged(self, from_ns: int, to_ns: int, frames: int, cause: str = "corrupt") -> None:
        """Frames that were there, and no good. The next frame's distance says nothing of the beat."""
        self._interrupt()
        self._add(from_ns, to_ns, cause, frames)

    def lost(self, from_ns: int, to_ns: int, cause: str, frames: int) -> None:
        """Frames that were there, and went no further than to us."""
        self._add(from_ns, to_ns, cause, frames)

    def end(self, out: Out) -> None:
        """Say what was found, and what nothing can confirm any more: no frame will come."""
        self._interrupt()
        self.tell(out)

    def tell(self, out: Out) -> None:
        """Say what was found since the last time."""
        found, self._found = self._found, []
        for cause in dict.fromkeys(cause for _, _, cause, _ in found):
            holes = [(a, b, frames) for a, b, named, frames in found if named == cause]
            if len(holes) > TOLD_SINGLY:
                whole = min(a for a, _, _ in holes), max(b for _, b, _ in holes), sum(n for _, _, n in holes)
                holes = [whole]
            for from_ns, to_ns, frames in holes:
                out(MediaGap("video", from_ns, max(to_ns, from_ns), cause, frames))

    def _interrupt(self) -> None:
        hole = self._cadence.interrupt() if self._cadence is not None else None
        if hole is not None:
            self._add(hole[0], hole[1], "stalled", hole[2])

    def _add(self, from_ns: int, to_ns: int, cause: str, frames: int) -> None:
        if self._found:
            begin, end, named, before = self._found[-1]
            if named == cause and from_ns <= end:
                self._found[-1] = (begin, max(end, to_ns), cause, before + frames)
                return
        self._found.append((from_ns, to_ns, cause, frames))
