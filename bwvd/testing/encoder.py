"""An encoder with the faults that hardware has: it fails, swallows, drops, holds back and takes its time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import av
import msgspec

from bwvd.capture.source import SourceRefused
from bwvd.capture.video.encoder import Encoder, EncoderFailed, MakeEncoder
from bwvd.capture.video.libav_encoder import SOFTWARE, VideoEncoder
from bwvd.capture.video.presentation import PLAIN, Presentation
from bwvd.config.schema import Video
from bwvd.media.samples import Batch, Track

PRESET = "veryfast"  # other parameter sets than those of the encoder that takes its place


@dataclass(frozen=True, slots=True)
class EncoderFaults:
    """What an encoder does wrong; frames are counted from 0."""

    refuses: bool = False  # does not open
    fails_at: int | None = None  # raises when it is given this frame
    swallows_from: int | None = None  # takes this one and those that follow, and gives nothing any more
    drops: frozenset[int] = frozenset()  # takes them, and goes on with the next
    holds: int = 0  # so many are inside before the first comes out
    fails_to_finish: bool = False
    on_picture: Callable[[int], None] | None = None  # called with the number, before anything is done with a frame


class FaultyEncoder:
    """An `Encoder` under any name, whose output is real H.264.

    **Synchronization:** one thread.
    """

    def __init__(
        self,
        faults: EncoderFaults,
        name: str,
        config: Video,
        width: int,
        height: int,
        rate: Fraction,
        source: str,
        begin_ns: int,
        shown: Presentation = PLAIN,
        *,
        preset: str = "",
    ) -> None:
        """preset: what it works with and says that it works with; "" = it has none to speak of."""
        if faults.refuses:
            raise SourceRefused(f"video.encoder: {name} at {width}x{height}: Device or resource busy")
        self._faults = faults
        self._name = name
        self._preset = preset
        settings = msgspec.structs.replace(config, preset=preset or PRESET)
        self._real = VideoEncoder(SOFTWARE, settings, width, height, rate, source, begin_ns, shown)
        self._track: Track | None = None
        self._inside: deque[tuple[av.VideoFrame, int, bool]] = deque()  # with the time, and whether it is to be dropped
        self._number = 0
        self.closed = False

    @property
    def track(self) -> Track | None:
        if self._track is None and self._real.track is not None:
            self._track = replace(self._real.track, encoder=self._name, preset=self._preset)
        return self._track

    @property
    def copies(self) -> bool:
        return True

    def begins_group(self, at_ns: int) -> bool:
        return self._real.begins_group(at_ns)

    def encode(self, frame: av.VideoFrame, at_ns: int) -> list[Batch]:
        number, self._number = self._number, self._number + 1
        faults = self._faults
        if faults.on_picture is not None:
            faults.on_picture(number)
        if number == faults.fails_at:
            raise EncoderFailed("Input/output error")
        if faults.swallows_from is not None and number >= faults.swallows_from:
            return []
        self._inside.append((_copy(frame), at_ns, number in faults.drops))
        if len(self._inside) <= faults.holds:
            return []
        return self._let_out()

    def came_out(self) -> list[int]:
        return self._real.came_out()

    def finish(self, next_ns: int | None = None) -> list[Batch]:
        if self._faults.fails_to_finish:
            raise EncoderFailed("Input/output error")
        batches = []
        while self._inside:
            batches += self._let_out()
        return batches + self._ours(self._real.finish(next_ns))

    def salvage(self) -> list[Batch]:
        return self._ours(self._real.salvage())

    def close(self) -> None:
        self.closed = True
        self._real.close()

    def _let_out(self) -> list[Batch]:
        frame, at_ns, dropped = self._inside.popleft()
        return [] if dropped else self._ours(self._real.encode(frame, at_ns))

    def _ours(self, batches: list[Batch]) -> list[Batch]:
        track = self.track
        return [Batch(track, batch.samples, batch.data) for batch in batches] if track is not None else []


def faulty(faults: dict[str, EncoderFaults]) -> MakeEncoder:
    """For `EncoderChoice`: the encoders that are named have these faults, all others are what they are."""

    def make(
        name: str,
        config: Video,
        width: int,
        height: int,
        rate: Fraction,
        source: str,
        begin_ns: int,
        shown: Presentation,
    ) -> Encoder:
        if name in faults:
            return FaultyEncoder(faults[name], name, config, width, height, rate, source, begin_ns, shown)
        return VideoEncoder(name, config, width, height, rate, source, begin_ns, shown)

    return make


def _copy(frame: av.VideoFrame) -> av.VideoFrame:
    """What is inside an encoder is its own: the frame that was given is drawn on again."""
    made = av.VideoFrame(frame.width, frame.height, frame.format.name)
    for to, of in zip(made.planes, frame.planes, strict=True):
        target, source = memoryview(to), memoryview(of)
        for y in range(to.height):
            a, b = y * to.line_size, y * of.line_size
            target[a : a + to.width] = source[b : b + to.width]
    return made
