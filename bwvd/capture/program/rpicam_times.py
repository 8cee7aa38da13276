"""The time of each frame of rpicam-vid, from the metadata that it writes beside the frames. Pure.

For each frame rpicam-vid writes the frame first and then a block of lines `Name=value`, ended by an empty one.
`SensorTimestamp` is when the sensor began the frame, in ns of CLOCK_BOOTTIME. Source: rpicam-apps 1.9 to 1.13,
output/output.cpp.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

MOST_LINE = 1 << 16  # bytes: longer is no metadata
_STAMP = b"SensorTimestamp="
_LATE_SHARE = 8  # the usual lateness follows each frame's by this part


class MetadataLines:
    """Bytes in pieces of any size to the stamps of whole blocks."""

    def __init__(self) -> None:
        self._torn = b""
        self._stamp_ns: int | None = None
        self._any = False  # the block has a line

    def feed(self, data: bytes) -> list[int | None]:
        """The stamps of the blocks that have ended, in ns of CLOCK_BOOTTIME; None for one that has none."""
        *lines, torn = (self._torn + data).split(b"\n")
        self._torn = torn[:MOST_LINE]
        found: list[int | None] = []
        for line in lines:
            if not line.strip():
                if self._any:
                    found.append(self._stamp_ns)
                self._stamp_ns, self._any = None, False
                continue
            self._any = True
            if line.startswith(_STAMP):
                digits = line[len(_STAMP) :].strip()
                self._stamp_ns = int(digits) if digits.isdigit() and len(digits) < 20 else None
        return found


class Timed(NamedTuple):
    """A frame with its time."""

    data: bytes
    at_ns: int  # when its first byte came
    key: bool
    stamp_ns: int | None  # None: there was no line for it


class FramesAndLines:
    """Puts each frame and its line together, whatever is missing.

    Both are told in order, and a frame's line always comes behind it. So as many frames as lines belong together one by
    one. Where one is missing, the times say which: a frame comes so long after its stamp as frames usually do.
    """

    def __init__(self, step_ns: int) -> None:
        """step_ns: between two frames, nominally."""
        self._step_ns = step_ns
        self._last_ns: int | None = None  # the stamp of the last frame, or what it would have been
        self._late_ns: int | None = None  # arrival behind the stamp, usually
        self.frames: deque[tuple[bytes, int, bool]] = deque()  # whole ones that have no line yet: data, arrival, key
        self.lines: deque[int | None] = deque()  # that have no frame yet
        self.lineless = 0  # frames without a line, so far
        self.frameless = 0  # lines without a frame

    def take(self, *, held_at_ns: int | None, all_frames: bool) -> list[Timed]:
        """The frames whose times are settled: all that wait, since another has begun behind each, or its line is there.

        held_at_ns: when the frame began that is not whole yet, or whose line is not there; None where there is none.
        all_frames: none is still to come for the lines that wait.
        """
        frames, lines = len(self.frames), len(self.lines)
        if lines > frames:
            if not all_frames:
                return self._pair([self.lines.popleft() for _ in range(frames)])
            self.frameless += lines - frames
            nearest = self._nearest()
            self.lines.clear()
            return self._pair(nearest)
        stamps: list[int | None] = [None] * frames
        taken = 0
        for place, stamp_ns in zip(self._places(held_at_ns), list(self.lines), strict=True):
            if place < frames:
                stamps[place] = stamp_ns
                self.lines.popleft()
                taken += 1
        self.lineless += frames - taken
        return self._pair(stamps)

    def _pair(self, stamps: Sequence[int | None]) -> list[Timed]:
        timed = []
        for stamp_ns in stamps:
            data, at_ns, key = self.frames.popleft()
            timed.append(Timed(data, at_ns, key, stamp_ns))
            if stamp_ns is not None:
                self._learn(stamp_ns, at_ns)
            elif self._last_ns is not None:
                self._last_ns += self._step_ns
        return timed

    def _learn(self, stamp_ns: int, at_ns: int) -> None:
        self._last_ns = stamp_ns
        late_ns = at_ns - stamp_ns
        self._late_ns = late_ns if self._late_ns is None else self._late_ns + (late_ns - self._late_ns) // _LATE_SHARE

    def _places(self, held_at_ns: int | None) -> list[int]:
        """Which of the frames that wait each line belongs to, by their arrivals; one past the last is the held one.

        As many lines as frames are one by one, unless the last is of the frame that is held. Of frames that were read
        at once the beat tells.
        """
        arrivals = [at_ns for _, at_ns, _ in self.frames]
        arrivals += [] if held_at_ns is None else [held_at_ns]
        places: list[int] = []
        for number, stamp_ns in enumerate(self.lines):
            least = places[-1] + 1 if places else 0
            most = len(arrivals) - (len(self.lines) - number)
            place = least
            if stamp_ns is not None and self._late_ns is not None and self._last_ns is not None:
                comes_ns = stamp_ns + self._late_ns
                steps = (stamp_ns - self._last_ns) // (self._step_ns // 2)  # in halves of one
                offs = [
                    (abs(arrivals[place] - comes_ns) // (self._step_ns // 2), abs(steps - 2 * (place + 1)))
                    for place in range(least, most + 1)
                ]
                place = least + offs.index(min(offs))
            places.append(place)
        return places

    def _nearest(self) -> list[int | None]:
        """Of more lines than frames, the one for each: that which lies nearest to its arrival, in order."""
        lines = list(self.lines)
        if self._late_ns is None:
            return lines[len(lines) - len(self.frames) :] if self.frames else []
        chosen: list[int | None] = []
        at = 0
        for number, (_, at_ns, _) in enumerate(self.frames):
            last = len(lines) - (len(self.frames) - number)
            taken_ns = at_ns - self._late_ns
            at = min(range(at, last + 1), key=lambda place: _distance(lines[place], taken_ns))
            chosen.append(lines[at])
            at += 1
        return chosen


def _distance(stamp_ns: int | None, taken_ns: int) -> int:
    return 1 << 62 if stamp_ns is None else abs(stamp_ns - taken_ns)
