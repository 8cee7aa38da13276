"""What capture made of a stream, held against what the server sent: every frame has its number in it."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from bwvd.clock import NS
from bwvd.testing.picture import frame_number
from tests.streams.cells import Cell
from tests.support.capture_listen import Listener, decode_sound, decode_video

TIME_NS = 1_000_000  # of a frame, against the sender's
TOGETHER_NS = 40_000_000  # audio and video
LOUD = 0.05  # a tick, of full scale
APART_NS = NS // 2  # ticks are a second apart


@dataclass(frozen=True)
class Received:
    """The frames by their numbers, and what was told to be missing."""

    cell: Cell
    frames: list[tuple[int, int]]  # time in ns, number; in the order in which they are shown
    listener: Listener

    @staticmethod
    def of(cell: Cell, listener: Listener) -> Received:
        shown = [(at_ns, frame_number(frame)) for at_ns, frame in decode_video(listener.batches())]
        assert len(shown) == sum(len(batch.samples) for batch in listener.batches()), "each is a whole frame"
        return Received(cell, shown, listener)

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
        off = max(abs(at_ns - self.time_of(number)) for at_ns, number in self.frames)
        assert off <= TIME_NS, f"{off / 1e6:.2f} ms"

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
