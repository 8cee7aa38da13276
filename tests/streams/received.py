"""What capture made of a stream, held against what the server sent: every frame has its number in it."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import pytest

from bwvd.capture.timestamps import OwnClock
from bwvd.clock import NS
from bwvd.testing.picture import frame_number
from tests.streams.cells import Cell
from tests.support.capture_listen import Listener, decode_sound, decode_video

TIME_NS = 1_000_000  # of a frame, against the sender's
TOGETHER_NS = 40_000_000  # audio and video
LOUD = 0.05  # a tick, of full scale
APART_NS = NS // 2  # ticks are a second apart


def watch_clocks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Have the camera's clock tell how far it is moved, as packets that come late or early move it: the list gets each
    time that it gives, and its offset then."""
    told: list[tuple[int, int]] = []
    monotonic = OwnClock.monotonic

    def watched(clock: OwnClock, stamp_ns: int | None, arrival_ns: int, unix_ns: int) -> int | None:
        at_ns = monotonic(clock, stamp_ns, arrival_ns, unix_ns)
        if at_ns is not None and stamp_ns is not None:
            told.append((at_ns, at_ns - stamp_ns))
        return at_ns

    monkeypatch.setattr(OwnClock, "monotonic", watched)
    return told


@dataclass(frozen=True)
class Received:
    """The frames by their numbers, and what was told to be missing."""

    cell: Cell
    frames: list[tuple[int, int]]  # time in ns, number; in the order in which they are shown
    listener: Listener
    moved: list[tuple[int, int]]  # of the camera's clock: times, and its offset then

    @staticmethod
    def of(cell: Cell, listener: Listener, moved: list[tuple[int, int]]) -> Received:
        shown = [(at_ns, frame_number(frame)) for at_ns, frame in decode_video(listener.batches())]
        assert len(shown) == sum(len(batch.samples) for batch in listener.batches()), "each is a whole frame"
        return Received(cell, shown, listener, sorted(moved))

    @property
    def numbers(self) -> list[int]:
        return [number for _, number in self.frames]

    @property
    def missing(self) -> list[int]:
        return sorted(set(range(self.numbers[0], self.numbers[-1] + 1)) - set(self.numbers))

    @property
    def offset_ns(self) -> float:
        """From the sender's time to ours."""
        return median(at_ns - number * self.cell.step_ns for at_ns, number in self.frames)

    def time_of(self, number: int) -> float:
        """When a frame was taken, on our clock."""
        return number * self.cell.step_ns + self.offset_ns

    def check_order(self) -> None:
        """Each frame once, in its order and its time."""
        assert all(after > before for before, after in pairwise(self.numbers)), self.numbers
        steady = [at_ns - self.moved_ns(at_ns) - number * self.cell.step_ns for at_ns, number in self.frames]
        off = max(abs(one - median(steady)) for one in steady)
        assert off <= TIME_NS, f"{off / 1e6:.2f} ms"

    def moved_ns(self, at_ns: int) -> int:
        """How far the clock was moved at a time, against its first."""
        place = max(bisect_right(self.moved, at_ns, key=lambda one: one[0]) - 1, 0)
        return self.moved[place][1] - self.moved[0][1]

    def check_missing(self, expected: range) -> None:
        """What is missing is what was taken away, up to the next key frame, and a gap names each frame of it."""
        gaps = [gap for gap in self.listener.gaps() if gap.kind == "video"]
        assert set(expected) <= set(self.missing), "what was taken away is not there"
        # Over UDP it may be the next key frame of which nobody knows whether it is whole.
        most = self.cell.group * (2 if self.cell.transport == "udp" else 1)
        assert len(self.missing) <= len(expected) + most, self.missing
        slack_ns = self.cell.step_ns / 4
        for number in self.missing:
            at_ns = self.time_of(number)
            assert any(gap.from_ns - slack_ns <= at_ns < gap.to_ns - slack_ns for gap in gaps), (number, gaps)
        assert sum(gap.frames for gap in gaps) == len(self.missing), gaps

    def check_sound(self) -> None:
        """Each tick is heard when the frame of its second is seen."""
        begins = self.ticks()
        assert len(begins) >= 2
        for at_ns in begins:
            sent_ns = at_ns - self.offset_ns
            off_ns = sent_ns - round(sent_ns / NS) * NS
            assert abs(off_ns) <= TOGETHER_NS, f"{off_ns / 1e6:.1f} ms"

    def ticks(self) -> list[float]:
        """When each tick begins to be heard, on our clock."""
        found: list[float] = []
        for at_ns, frame in decode_sound(self.listener.batches("audio")):
            samples = array("f", bytes(frame.planes[0]))[: frame.samples]
            loud = next((place for place, level in enumerate(samples) if abs(level) > LOUD), None)
            if loud is None:
                continue
            begin_ns = at_ns + loud * NS / frame.sample_rate
            if not found or begin_ns - found[-1] > APART_NS:
                found.append(begin_ns)
        return found
