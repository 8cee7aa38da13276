"""Device timestamps to CLOCK_MONOTONIC. Pure: no libav, no trio, every clock reading is an argument.

What is assumed of each kind of source:

- A file and a filter graph have a time line of their own that is exact; it is laid onto CLOCK_MONOTONIC once, where
  the first sample was due, and read at the pace of that clock (`Playback`).
- A V4L2 driver stamps frames with CLOCK_MONOTONIC; some use CLOCK_REALTIME, some nothing or nonsense. Which of them is
  seen from the value: a frame was taken at most `OLDEST_NS` before it arrived and not after it (`KernelStamps`).
- ALSA stamps, as libav reports them, are Unix time that libav smooths with a control loop of about a second. A step of
  the wall clock makes them wrong by the step, and ring for some seconds after. They count only where they agree with
  the arrival, and not at all for `HOLDOVER_NS` after a step; meanwhile samples are counted (`UnixStamps`).
- An RTSP camera has its own clock, which drifts against ours by some 10⁻⁴, and its packets arrive late by a changing
  amount, never early. The best arrival of the last seconds tells the offset (`OwnClock`), one for all tracks: it is one
  clock. That clock may be set while it runs, and its tracks show that one after the other (`WithoutJumps`, one a
  track): a stamp that lies before the last one, or ahead of it by more than has passed and than any packet was late,
  is where the stamps begin anew, and they go on from there.

No assumption at all: that stamps are there, rise, or make sense. `FrameTimes` fills what is missing and what repeats or
runs backwards from the arrivals, says so, and gives strictly rising decode times for any input. Nothing is invented: a
camera that pauses, or goes slower in the dark, has frames further apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, Protocol

from bwvd.clock import NS

MS = 1_000_000

OLDEST_NS = 5 * NS  # no driver holds a frame for longer before it hands it over
EARLY_NS = 50 * MS  # stamp and arrival are read by different clocks' users: a little early is no contradiction
LEAST_STEP_NS = 100_000  # between two decode times: a few ticks of any track's time scale
LONGEST_HOLE_NS = 10 * NS  # a jump forward by more than this is a fault of the stamps, not a pause
LONG = 1.6  # times the usual interval: no jitter, but a hole or another beat
LONGEST_BACK_NS = NS // 10  # a step back by more than this is a new beginning of the stamps
LONGEST_REORDER_NS = 2 * NS  # presentation after decoding: 16 reordered frames at 8 frames/s


class Moment(NamedTuple):
    """Both clocks at the arrival of a packet."""

    mono_ns: int
    unix_ns: int


class TimeBase(NamedTuple):
    """How long a tick of libav's is: `ns / per` nanoseconds. A `Fraction` is dear where each packet is asked."""

    ns: int
    per: int

    @staticmethod
    def of(base: Fraction) -> TimeBase:
        """base: seconds of a tick."""
        numerator, denominator = base.as_integer_ratio()
        return TimeBase(numerator * NS, denominator)


def to_ns(ticks: int | None, base: TimeBase | None) -> int | None:
    """libav's ticks to nanoseconds; None where there are none."""
    if ticks is None or base is None:
        return None
    ns, per = base
    return ticks * ns // per


class Stamps(Protocol):
    """Turns a device's stamp into CLOCK_MONOTONIC."""

    def monotonic(self, stamp_ns: int | None, arrival_ns: int, unix_ns: int) -> int | None:
        """The moment on CLOCK_MONOTONIC, or None where the stamp can't be believed.

        stamp_ns: the device's, in its own time. arrival_ns: CLOCK_MONOTONIC when it was read. unix_ns: Unix time then.
        """
        ...


@dataclass(slots=True)
class _Laid:
    """One track of what is played, laid onto CLOCK_MONOTONIC."""

    begin_ns: int  # its first packet of this round
    first_offset_ns: int  # from its stamps to the clock, there
    offset_ns: int  # the same, now
    last_ns: int  # its last packet
    end_ns: int  # the end of the latest one


class Playback:
    """The time line of something that is played: one for all tracks of the container.

    A track whose stamps lie elsewhere (sound that is 100 s late), or begin anew, is laid where it comes in the file: by
    the distance of another track, where that makes sense, else at the moment that the line has come to.
    """

    def __init__(self, begin_ns: int) -> None:
        """begin_ns: CLOCK_MONOTONIC at which the first packet is due."""
        self._last_ns = begin_ns
        self._tracks: dict[int, _Laid] = {}

    def due(self, stamp_ns: int, duration_ns: int = 0, *, track: int = 0) -> int:
        """The time at which a packet of a track is due, in the file's order."""
        laid = self._tracks.get(track)
        if laid is None:
            offset_ns = self._offset(stamp_ns)
            due_ns = stamp_ns + offset_ns
            self._tracks[track] = _Laid(due_ns, offset_ns, offset_ns, due_ns, due_ns + duration_ns)
        else:
            due_ns = stamp_ns + laid.offset_ns
            if not (_follows(due_ns, laid.last_ns) or _follows(due_ns, self._last_ns)):
                laid.offset_ns = self._offset(stamp_ns)
                due_ns = stamp_ns + laid.offset_ns
            laid.last_ns, laid.end_ns = due_ns, max(laid.end_ns, due_ns + duration_ns)
        self._last_ns = due_ns
        return due_ns

    def _offset(self, stamp_ns: int) -> int:
        for other in self._tracks.values():
            if _follows(stamp_ns + other.offset_ns, self._last_ns):
                return other.offset_ns
        return self._last_ns - stamp_ns

    def of(self, track: int) -> Stamps:
        """The reading of one track's stamps."""
        return _PlayedTrack(self._tracks, track)

    def late(self, by_ns: int) -> None:
        """Put everything that follows off: it could not be played in time."""
        self._last_ns += by_ns
        for laid in self._tracks.values():
            laid.begin_ns += by_ns
            laid.first_offset_ns += by_ns
            laid.offset_ns += by_ns
            laid.last_ns += by_ns
            laid.end_ns += by_ns

    def length_ns(self, track: int) -> int:
        """The length of a track in this round, what it could not be played in time for left out."""
        laid = self._tracks.get(track)
        return 0 if laid is None else laid.end_ns - laid.begin_ns

    def again(self, length_ns: int) -> None:
        """The same stamps begin again, `length_ns` of media after they began."""
        for laid in self._tracks.values():
            laid.begin_ns += length_ns
            laid.first_offset_ns += length_ns
            laid.offset_ns = laid.first_offset_ns
            laid.end_ns = laid.begin_ns


def _follows(due_ns: int, last_ns: int) -> bool:
    """True if a packet that is due then can come after one that was due at `last_ns`."""
    return -NS <= due_ns - last_ns <= LONGEST_HOLE_NS


class _PlayedTrack:
    """`Stamps` of one track of a `Playback`: as it lies now; None where nothing of it has been due yet."""

    def __init__(self, tracks: dict[int, _Laid], track: int) -> None:
        self._tracks = tracks
        self._track = track

    def monotonic(self, stamp_ns: int | None, arrival_ns: int, unix_ns: int) -> int | None:  # noqa: ARG002 - of Stamps
        laid = self._tracks.get(self._track)
        return None if stamp_ns is None or laid is None else stamp_ns + laid.offset_ns


class KernelStamps:
    """V4L2: CLOCK_MONOTONIC, CLOCK_REALTIME or nonsense, told apart by plausibility."""

    def monotonic(self, stamp_ns: int | None, arrival_ns: int, unix_ns: int) -> int | None:
        if stamp_ns is None:
            return None
        for stamp in (stamp_ns, stamp_ns - (unix_ns - arrival_ns)):
            if -EARLY_NS <= arrival_ns - stamp <= OLDEST_NS:
                return min(stamp, arrival_ns)
        return None


class UnixStamps:
    """ALSA: Unix time, useless around a step of the wall clock."""

    OLDEST_NS = 2 * NS  # more audio than any capture buffer of libav holds
    STEP_NS = 5 * MS  # between two packets; slewing (500 ppm) makes at most a tenth of it
    HOLDOVER_NS = 15 * NS  # libav's smoothing has settled to below a millisecond by then

    def __init__(self) -> None:
        self._ahead_ns: int | None = None  # Unix time minus CLOCK_MONOTONIC
        self._distrust_until_ns: int | None = None

    def monotonic(self, stamp_ns: int | None, arrival_ns: int, unix_ns: int) -> int | None:
        ahead_ns = unix_ns - arrival_ns
        if self._ahead_ns is not None and abs(ahead_ns - self._ahead_ns) > self.STEP_NS:
            self._distrust_until_ns = arrival_ns + self.HOLDOVER_NS
        self._ahead_ns = ahead_ns
        if self._distrust_until_ns is not None:
            if arrival_ns < self._distrust_until_ns:
                return None
            self._distrust_until_ns = None
        if stamp_ns is None:
            return None
        stamp = stamp_ns - ahead_ns
        return stamp if -EARLY_NS <= arrival_ns - stamp <= self.OLDEST_NS else None


class OwnClock:
    """RTSP: a clock of its own, seen through a network that only ever delays."""

    FAR_NS = 5 * NS  # further off than any delay: the stamps have begun anew
    WINDOW_NS = 10 * NS  # over which the least delay is taken
    AHEAD_NS = 20 * MS  # from the future by less: no reason to change the distances of frames
    AHEAD_SHARE = 10  # stamps from further ahead: corrected by up to a tenth of each step from stamp to stamp
    BEHIND_SHARE = 200  # a drift: by up to half a per cent. Not of what passes between packets: they come in bursts

    def __init__(self) -> None:
        self._offset_ns: int | None = None
        self._newest_ns: int | None = None  # the latest stamp of those that were placed
        self._window_ns = 0
        self._least_ns: int | None = None
        self._behind_ns = 0

    def calibrate(self, stamp_ns: int, arrival_ns: int) -> None:
        """Look at a packet of a backlog before any of it is placed: the least delay of all tells the offset."""
        offset_ns = arrival_ns - stamp_ns
        if self._offset_ns is None or abs(offset_ns - self._offset_ns) > self.FAR_NS:
            self._offset_ns = offset_ns
        self._offset_ns = min(self._offset_ns, offset_ns)
        self._window_ns = arrival_ns

    def delay_ns(self, stamp_ns: int, arrival_ns: int) -> int:
        """The lateness of a packet in ns; below 0, it claims to be from the future. 0 while nothing is known."""
        return 0 if self._offset_ns is None else arrival_ns - stamp_ns - self._offset_ns

    def monotonic(self, stamp_ns: int | None, arrival_ns: int, unix_ns: int) -> int | None:  # noqa: ARG002 - of Stamps
        if stamp_ns is None:
            return None
        if self._offset_ns is None or abs(arrival_ns - stamp_ns - self._offset_ns) > self.FAR_NS:
            self._offset_ns = arrival_ns - stamp_ns
            self._newest_ns, self._window_ns = stamp_ns, arrival_ns
            self._least_ns, self._behind_ns = None, 0
            return arrival_ns
        newest_ns = stamp_ns if self._newest_ns is None else max(self._newest_ns, stamp_ns)
        passed_ns = 0 if self._newest_ns is None else newest_ns - self._newest_ns
        self._newest_ns = newest_ns
        delay_ns = arrival_ns - stamp_ns - self._offset_ns
        if delay_ns < -self.AHEAD_NS:
            self._offset_ns -= min(-delay_ns - self.AHEAD_NS, passed_ns // self.AHEAD_SHARE)
        self._least_ns = delay_ns if self._least_ns is None else min(self._least_ns, delay_ns)
        if arrival_ns - self._window_ns >= self.WINDOW_NS:
            self._behind_ns = max(self._least_ns, 0)
            self._window_ns, self._least_ns = arrival_ns, None
        step_ns = min(self._behind_ns, passed_ns // self.BEHIND_SHARE)
        self._behind_ns -= step_ns
        self._offset_ns += step_ns
        return stamp_ns + self._offset_ns


class WithoutJumps:
    """One track's stamps on an `OwnClock`, with what they jumped by taken out."""

    JUMP_NS = 300 * MS  # ahead of the time that has passed, and of all that was late
    BACK_NS = 500 * MS  # less far back go frames that are shown in another order than they come

    def __init__(self, clock: OwnClock) -> None:
        """clock: shared with the other tracks of the camera."""
        self._clock = clock
        self._shift_ns = 0
        self._last: tuple[int, int] | None = None  # the last stamp, without jumps, and its arrival

    def monotonic(self, stamp_ns: int | None, arrival_ns: int, unix_ns: int) -> int | None:
        """As of `Stamps`; None also for the first stamp after a jump."""
        if stamp_ns is None:
            return None
        stamp_ns += self._shift_ns
        jumped = False
        if self._last is not None:
            last_ns, last_arrival_ns = self._last
            ahead_ns = stamp_ns - last_ns - (arrival_ns - last_arrival_ns)
            back = stamp_ns < last_ns - self.BACK_NS
            future = ahead_ns > self.JUMP_NS and self._clock.delay_ns(stamp_ns, arrival_ns) < -self.JUMP_NS
            jumped = back or future
            if jumped:
                self._shift_ns -= ahead_ns
                stamp_ns -= ahead_ns
        self._last = stamp_ns, arrival_ns
        found_ns = self._clock.monotonic(stamp_ns, arrival_ns, unix_ns)
        return None if jumped else found_ns


class Placed(NamedTuple):
    """The time of a frame on CLOCK_MONOTONIC."""

    pts_ns: int
    dts_ns: int
    doubt: bool  # its stamps were missing or wrong, and this is our best guess


_placed = tuple.__new__  # a tuple's type with names calls a function of Python for it


class FrameTimes:
    """The times of one video track: strictly rising decode times out of whatever the stamps are."""

    def __init__(self, stamps: Stamps, step_ns: int, live: bool) -> None:
        """step_ns: between two frames, nominally; it is learned. live: the stamps are bound to arrival times."""
        self._stamps = stamps
        self._live = live
        self._last_ns: int | None = None
        self._found_ns: int | None = None  # what the last stamp said
        self._shift_ns = 0  # what a new beginning of the stamps has been moved by
        self._late_ns = 0  # how long after it was taken a frame arrives, as far as its stamps say
        self._interval_ns = 0  # between the last two frames
        self.step_ns = step_ns

    def place(
        self, pts_ns: int | None, dts_ns: int | None, arrival_ns: int, unix_ns: int, *, reorder: bool = False
    ) -> Placed:
        """Place one frame. reorder: presentation times may lie after decode times (copied streams)."""
        found_ns = self._stamps.monotonic(dts_ns if dts_ns is not None else pts_ns, arrival_ns, unix_ns)
        last, step_ns = self._last_ns, self.step_ns
        if found_ns is not None and last is not None and pts_ns == dts_ns:
            # In its beat, as nearly every frame is: all that follows below comes to this, at a third of the cost.
            dts = found_ns + self._shift_ns
            interval_ns = dts - last
            if LEAST_STEP_NS <= interval_ns <= LONG * step_ns and interval_ns <= LONGEST_HOLE_NS:
                self._found_ns, self._last_ns, self._interval_ns = found_ns, dts, interval_ns
                self.step_ns = step_ns + (interval_ns - step_ns) // 8
                if self._live:
                    self._late_ns += (max(arrival_ns - dts, 0) - self._late_ns) // 8
                return _placed(Placed, (dts, dts, False))
        if self._live and found_ns is not None and found_ns == self._found_ns:
            found_ns = None  # a clock that stands still says nothing, and its frames must not be pressed together
        else:
            self._found_ns = found_ns
        dts, doubt = self._decode_time(found_ns, arrival_ns)
        self._last_ns = dts
        pts = dts
        if reorder and pts_ns is not None and dts_ns is not None:
            if 0 <= pts_ns - dts_ns <= LONGEST_REORDER_NS:
                pts = dts + pts_ns - dts_ns
            else:
                doubt = True
        return Placed(pts, dts, doubt)

    def _decode_time(self, found_ns: int | None, arrival_ns: int) -> tuple[int, bool]:
        last = self._last_ns
        if last is None:
            if found_ns is not None and self._live:
                self._late_ns = max(arrival_ns - found_ns, 0)
            return (arrival_ns, True) if found_ns is None else (found_ns, False)
        if found_ns is None:
            return self._guess(last, arrival_ns), True
        dts = found_ns + self._shift_ns
        # A jump that ends where the clock stands is no fault of the stamps: nothing ran for so long.
        if not self._live and not (-LONGEST_BACK_NS <= dts - last <= LONGEST_HOLE_NS or last < dts <= arrival_ns):
            self._shift_ns += last + self.step_ns - dts
            return last + self.step_ns, True
        if dts - last < LEAST_STEP_NS:
            return self._guess(last, arrival_ns) if self._live else last + LEAST_STEP_NS, True
        self._learn(dts - last)
        if self._live:
            self._late_ns += (max(arrival_ns - dts, 0) - self._late_ns) // 8
        return dts, False

    def _learn(self, interval_ns: int) -> None:
        """Follow the beat slowly. A single hole says nothing of it; two long intervals that are alike are another."""
        before_ns, self._interval_ns = self._interval_ns, interval_ns
        if interval_ns <= LONG * self.step_ns:
            self.step_ns += (interval_ns - self.step_ns) // 8
        elif abs(interval_ns - before_ns) <= interval_ns // 4:
            self.step_ns = interval_ns

    def _guess(self, last: int, arrival_ns: int) -> int:
        """A steady beat that follows the arrivals slowly, so that their jitter does not become the frames'."""
        beat = last + self.step_ns
        taken_ns = arrival_ns - self._late_ns
        off = taken_ns - beat
        guess = beat + off // 16 if abs(off) < 4 * self.step_ns else taken_ns
        return max(guess, last + LEAST_STEP_NS)
