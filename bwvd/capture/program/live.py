"""The judgement whether a program gives frames as they happen, or as fast as they are read, as from a file. Pure.

Of the second kind every time would be invented: hours of video would lie in a minute of the recording. A program that
was held up may catch up, and its clock may go a little faster than ours: neither gives more than has passed.
"""

from __future__ import annotations

from bwvd.capture.source import SourceRefused
from bwvd.clock import NS

AHEAD_NS = 10 * NS  # of what has passed, at most: what it had kept from before it was opened among it
STAMPED = 3, 2  # as a fraction: how much faster its own stamps may go than our clock
COUNTED = 4, 1  # the same where only the nominal rate says how long a frame lasts; it may be wrong
JUMP_NS = NS  # between two stamps: more is a jump of its clock, and no video


class LiveWatch:
    """One opening of a program. **Synchronization:** one thread."""

    def __init__(self, shown: str, key: str, faster: tuple[int, int]) -> None:
        """shown: the program, for the message. key: of the configuration that names it. faster: of those above."""
        self._shown, self._key = shown, key
        self._times, self._parts = faster
        self._began_ns: int | None = None
        self._given_ns = 0
        self._last_ns: int | None = None

    def stamped(self, stamp_ns: int, now_ns: int) -> None:
        """A frame with a stamp of the program's has come. Raises: as `given`."""
        last_ns, self._last_ns = self._last_ns, stamp_ns
        step_ns = 0 if last_ns is None else stamp_ns - last_ns
        self.given(step_ns if 0 < step_ns <= JUMP_NS else 0, now_ns)

    def given(self, step_ns: int, now_ns: int) -> None:
        """Video of so long has come. Raises: SourceRefused, where that is more than can have happened."""
        if self._began_ns is None:
            self._began_ns = now_ns
        self._given_ns += step_ns
        passed_ns = now_ns - self._began_ns
        if self._given_ns > passed_ns * self._times // self._parts + AHEAD_NS:
            raise SourceRefused(
                f"{self._key}: {self._shown} gave {self._given_ns / NS:.0f} s of video within {passed_ns / NS:.1f} s: "
                "a camera gives it as it happens; let the program wait for the time of each frame (ffmpeg: -re)"
            )
