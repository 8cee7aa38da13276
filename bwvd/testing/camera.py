"""A camera in virtual time: real H.264 with numbered frames, and the faults that cameras have."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import trio

from bwvd.capture.source import DeviceLost, SourceEnded, SourceRefused
from bwvd.clock import NS, Clock
from bwvd.media.samples import Batch, Sample, Track
from bwvd.messages import MediaEvent, MediaGap, SourceUp
from bwvd.testing.clip import NumberedVideo, numbered_video

SILENCE_NS = 3 * NS  # as `LibavSource.SILENCE_S`


@dataclass(frozen=True, slots=True)
class Shape:
    """What a camera delivers; a camera that was changed has another one at its next opening."""

    rate: int | Fraction  # frames per second
    gop_frames: int
    b_frames: int  # between two others: decoded after the frame that they are shown before
    width: int
    height: int


class VirtualCamera:
    """A `MediaSource` without a device or a thread.

    Every frame that is taken carries the next number (`bwvd.testing.picture.frame_number` reads it from the decoded
    one). A frame that is dropped uses its number up, a stall or an unplugged camera takes none. Faults take effect
    at once, between two frames. Everything is determined by the arguments, the clock and the calls.

    **Synchronization:** trio's thread only.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        rate: int | Fraction = 30,
        gop_frames: int = 30,
        b_frames: int = 0,
        jitter_ns: int = 0,
        loss: float = 0.0,
        seed: int = 0,
        width: int = 64,
        height: int = 48,
        source: str = "virtual:camera",
    ) -> None:
        """rate: frames per second. jitter_ns: how far a frame may be taken before or after its beat.
        loss: the share of frames that are dropped, each by chance. seed: of jitter and loss.
        """
        self._shape = Shape(rate, gop_frames, b_frames, width, height)
        self._clock = clock
        self._jitter_ns = jitter_ns
        self._check_jitter()
        self._loss = loss
        self._seed = seed
        self._source = source
        self._changed = trio.Event()
        self._flush = False
        self._plugged = True
        self._ended = False
        self._refusal: str | None = None
        self._stalled_until_ns = 0
        self._held_until_ns = 0
        self._drop = 0
        self._corrupt = 0
        self._jumps = 0
        self._opening: _Opening | None = None
        self.number = 0  # of the next frame
        self.openings = 0

    # --- faults ---

    def stall(self, seconds: float) -> None:
        """Deliver nothing for so long; after `SILENCE_NS` of it the camera counts as lost."""
        self._catch_up()
        self._stalled_until_ns = self._clock.monotonic_ns() + round(seconds * NS)
        self._wake()

    def hold(self, seconds: float) -> None:
        """Deliver nothing for so long and then all of it at once, as a network does; after `SILENCE_NS` it is lost."""
        self._catch_up()
        self._held_until_ns = self._clock.monotonic_ns() + round(seconds * NS)
        self._wake()

    def unplug(self) -> None:
        """Take the camera away: DeviceLost now, and at every opening until `plug`."""
        self._catch_up()
        self._plugged = False
        self._wake()

    def plug(self) -> None:
        self._plugged = True

    def drop(self, frames: int = 1) -> None:
        """The next frames are lost on their way; a MediaGap says so when the next one is there."""
        self._catch_up()
        self._drop += frames
        self._wake()

    def corrupt(self, frames: int = 1) -> None:
        """The next frames arrive damaged, and nothing says so."""
        self._catch_up()
        self._corrupt += frames

    def jump(self, frames: int = 1) -> None:
        """The camera's clock jumps: the stamps of the next frames can't be believed, and a MediaGap names each.

        The frames themselves are there, at the time at which they were taken: what a source knows without a stamp.
        """
        self._catch_up()
        self._jumps += frames
        self._wake()

    def change(
        self,
        width: int | None = None,
        height: int | None = None,
        *,
        rate: int | Fraction | None = None,
        gop_frames: int | None = None,
        b_frames: int | None = None,
    ) -> None:
        """Other parameters from the next opening on: another track, unless only the GOP is another."""
        shape = self._shape
        self._shape = Shape(
            shape.rate if rate is None else rate,
            shape.gop_frames if gop_frames is None else gop_frames,
            shape.b_frames if b_frames is None else b_frames,
            shape.width if width is None else width,
            shape.height if height is None else height,
        )
        self._check_jitter()

    def end(self) -> None:
        """The source comes to its end: SourceEnded."""
        self._catch_up()
        self._ended = True
        self._wake()

    def refuse(self, reason: str | None) -> None:
        """Every opening from now on is refused; None: none any more."""
        self._refusal = reason

    def _check_jitter(self) -> None:
        if 2 * self._jitter_ns >= NS // self._shape.rate:
            raise ValueError("jitter of half a frame or more would reorder frames")

    # --- MediaSource ---

    def flush_on_cancel(self, flush: bool) -> None:
        self._flush = flush

    async def run(self, send: Callable[[MediaEvent], None]) -> None:
        await trio.lowlevel.checkpoint()
        if self._refusal is not None:
            raise SourceRefused(self._refusal)
        if not self._plugged:
            raise DeviceLost(f"{self._source}: No such file or directory")
        self.openings += 1
        opening = self._opening = _Opening(self, send)
        deliver = True
        try:
            while True:
                self._catch_up()
                if self._ended:
                    raise SourceEnded(f"{self._source} has come to its end")
                if not self._plugged:
                    raise DeviceLost(f"{self._source}: No such device")
                if self._clock.monotonic_ns() >= opening.silent_from_ns + SILENCE_NS:
                    raise DeviceLost(f"{self._source} delivered nothing for {SILENCE_NS // NS} s")
                self._changed = trio.Event()
                left_ns = opening.next_event_ns() - self._clock.monotonic_ns()
                with trio.move_on_after(max(left_ns, 0) / NS):
                    await self._changed.wait()
        except trio.Cancelled:
            self._catch_up()
            deliver = self._flush
            raise
        finally:
            self._opening = None
            if deliver:
                opening.deliver(None)

    def _catch_up(self) -> None:
        """Take the frames that were due before a fault begins."""
        now_ns = self._clock.monotonic_ns()
        if self._opening is not None and now_ns >= self._held_until_ns:
            self._opening.advance(now_ns)

    def _wake(self) -> None:
        self._changed.set()


class _Opening:
    """The camera from one opening to the next."""

    def __init__(self, camera: VirtualCamera, send: Callable[[MediaEvent], None]) -> None:
        self._camera = camera
        self._shape = shape = camera._shape
        self._send = send
        self._maker: NumberedVideo = numbered_video(shape.width, shape.height, shape.rate, shape.b_frames)
        # How far decoding runs ahead of showing: a frame's decode time is the time of the one taken so many before.
        self._ahead = 1 if shape.b_frames else 0
        self._origin_ns = camera._clock.monotonic_ns()
        self._random = random.Random(f"{camera._seed}:{camera.openings}")  # noqa: S311 - repeatable, not secret
        self._beat = 0
        self._next_ns = self._time()
        self._pending: list[tuple[int, int, bool]] = []  # number, time, damaged
        self._lost = 0
        self._stalled = False
        self._last_ns: int | None = None  # of the last frame that was taken
        self.silent_from_ns = self._origin_ns
        self._track: Track | None = None

    def advance(self, now_ns: int) -> None:
        """Take every frame that is due by now."""
        while self._next_ns <= now_ns:
            at_ns = self._next_ns
            self._beat += 1
            self._next_ns = self._time()
            if at_ns < self._camera._stalled_until_ns:
                self._stalled = True
            else:
                self._take(at_ns)

    def next_event_ns(self) -> int:
        """When something will happen at the earliest that somebody else can see."""
        camera = self._camera
        lost_ns = self.silent_from_ns + SILENCE_NS
        if self._next_ns < camera._held_until_ns:
            return min(lost_ns, camera._held_until_ns)
        if self._next_ns < camera._stalled_until_ns:
            return min(lost_ns, max(camera._stalled_until_ns, self._next_ns))
        if self._track is None or self._lost or self._stalled or camera._drop or camera._loss or camera._jumps:
            return self._next_ns
        left = self._shape.gop_frames - len(self._pending)
        # Whole beats up to the one before the key frame; the last step is exact.
        return max(self._next_ns, self._origin_ns + int((self._beat + left - 1) * NS // self._shape.rate))

    def deliver(self, next_ns: int | None) -> None:
        """Send the GOP in the making, if there is one. next_ns: when the next one begins, if known."""
        if not self._pending or self._track is None:
            return
        coded = self._maker.gop(tuple(number for number, _, _ in self._pending))
        taken = [at_ns for _, at_ns, _ in self._pending]
        if next_ns is None:
            next_ns = taken[-1] + self._beat_ns
        decoded = self._decode_times(taken, next_ns)
        data = bytearray(coded.data)
        samples = []
        for index, (shown, (offset, size)) in enumerate(zip(coded.shown, coded.spans, strict=True)):
            _, at_ns, damaged = self._pending[shown]
            if damaged:
                middle = offset + 4 + (size - 4) // 2
                for place in range(middle, offset + size):
                    data[place] ^= 0x5A
            dts_ns = decoded[index]
            samples.append(Sample(offset, size, at_ns, dts_ns, decoded[index + 1] - dts_ns, index == 0))
        self._pending.clear()
        self._send(Batch(self._track, tuple(samples), data))

    def _decode_times(self, taken: list[int], next_ns: int) -> list[int]:
        """When each frame is decoded, and after them the first of the next group. Rising, and never after it is shown.

        Each group is counted from its own key frame, so that a hole between two of them is one for decoding as well.
        """
        ahead = self._ahead
        first = [taken[0] - (ahead - index) * self._beat_ns for index in range(ahead)]
        return [*first, *taken[: len(taken) - ahead], next_ns - ahead * self._beat_ns]

    def _take(self, at_ns: int) -> None:
        camera = self._camera
        self.silent_from_ns = at_ns
        dropped = camera._drop > 0
        camera._drop -= dropped
        if dropped or (camera._loss and self._random.random() < camera._loss):
            camera.number += 1
            self._lost += 1
            return
        if self._track is None:
            self._track = self._new_track()
            self._send(SourceUp("camera", self._track))
        if len(self._pending) >= self._shape.gop_frames:
            self.deliver(at_ns)
        if self._last_ns is not None:
            if self._lost or self._stalled:
                cause = "dropped_by_device" if self._lost else "stalled"
                self._send(MediaGap("video", self._last_ns + self._beat_ns, at_ns, cause, self._lost))
            if camera._jumps:
                self._send(MediaGap("video", self._last_ns, at_ns, "timestamps", 0))
        camera._jumps -= camera._jumps > 0
        self._lost, self._stalled = 0, False
        damaged = camera._corrupt > 0
        camera._corrupt -= damaged
        self._pending.append((camera.number, at_ns, damaged))
        self._last_ns = at_ns
        camera.number += 1

    def _new_track(self) -> Track:
        return Track(
            kind="video",
            codec="h264",
            timescale=90_000,
            init=self._maker.init,
            source=self._camera._source,
            encoder="copy",
            width=self._maker.width,
            height=self._maker.height,
            rate=float(self._shape.rate),
        )

    @property
    def _beat_ns(self) -> int:
        return int(NS // self._shape.rate)

    def _time(self) -> int:
        jitter = self._camera._jitter_ns
        return (
            self._origin_ns
            + int(self._beat * NS // self._shape.rate)
            + jitter
            + (self._random.randint(-jitter, jitter) if jitter else 0)
        )
