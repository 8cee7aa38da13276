"""A camera in virtual time: real H.264 with numbered frames, and the faults that cameras have."""

from __future__ import annotations

import random
from collections.abc import Callable

import trio

from bwvd.capture.source import DeviceLost, SourceEnded, SourceRefused
from bwvd.clock import Clock
from bwvd.messages import NS, Batch, MediaEvent, MediaGap, Sample, SourceUp, Track
from bwvd.testing.clip import NumberedVideo, numbered_video

SILENCE_NS = 3 * NS  # as `LibavSource.SILENCE_S`


class VirtualCamera:
    """A `MediaSource` without a device or a thread.

    Every frame that is taken carries the next number (`bwvd.testing.picture.frame_number` reads it from the decoded
    picture). A frame that is dropped uses its number up, a stall or an unplugged camera takes none. Faults take effect
    at once, between two frames. Everything is determined by the arguments, the clock and the calls.

    **Synchronization:** trio's thread only.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        rate: int = 30,
        gop_frames: int = 30,
        jitter_ns: int = 0,
        seed: int = 0,
        width: int = 64,
        height: int = 48,
        source: str = "virtual:camera",
    ) -> None:
        """rate: frames per second. jitter_ns: how far a frame may be taken before or after its beat."""
        if 2 * jitter_ns >= NS // rate:
            raise ValueError("jitter of half a frame or more would reorder frames")
        self._clock = clock
        self._rate = rate
        self._gop_frames = gop_frames
        self._jitter_ns = jitter_ns
        self._seed = seed
        self._size = (width, height)
        self._source = source
        self._changed = trio.Event()
        self._flush = False
        self._plugged = True
        self._ended = False
        self._refusal: str | None = None
        self._stalled_until_ns = 0
        self._drop = 0
        self._corrupt = 0
        self._opening: _Opening | None = None
        self.number = 0  # of the next frame
        self.openings = 0

    # --- faults ---

    def stall(self, seconds: float) -> None:
        """Deliver nothing for so long; after `SILENCE_NS` of it the camera counts as lost."""
        self._catch_up()
        self._stalled_until_ns = self._clock.monotonic_ns() + round(seconds * NS)
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

    def corrupt(self, frames: int = 1) -> None:
        """The next frames arrive damaged, and nothing says so."""
        self._catch_up()
        self._corrupt += frames

    def change(self, width: int, height: int) -> None:
        """Another size from the next opening on: another track."""
        self._size = (width, height)

    def end(self) -> None:
        """The source comes to its end: SourceEnded."""
        self._catch_up()
        self._ended = True
        self._wake()

    def refuse(self, reason: str) -> None:
        """Every opening from now on is refused."""
        self._refusal = reason

    # --- MediaSource ---

    def flush_on_cancel(self, flush: bool) -> None:
        self._flush = flush

    async def run(
        self,
        send: Callable[[MediaEvent], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        await trio.lowlevel.checkpoint()
        if self._refusal is not None:
            raise SourceRefused(self._refusal)
        if not self._plugged:
            raise DeviceLost(f"{self._source}: No such file or directory")
        self.openings += 1
        opening = self._opening = _Opening(self, send, task_status)
        deliver = True
        try:
            while True:
                opening.advance(self._clock.monotonic_ns())
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
            opening.advance(self._clock.monotonic_ns())
            deliver = self._flush
            raise
        finally:
            self._opening = None
            if deliver:
                opening.deliver(None)

    def _catch_up(self) -> None:
        """Take the frames that were due before a fault begins."""
        if self._opening is not None:
            self._opening.advance(self._clock.monotonic_ns())

    def _wake(self) -> None:
        self._changed.set()


class _Opening:
    """The camera from one opening to the next."""

    def __init__(
        self, camera: VirtualCamera, send: Callable[[MediaEvent], None], task_status: trio.TaskStatus[None]
    ) -> None:
        self._camera = camera
        self._send = send
        self._task_status = task_status
        self._maker: NumberedVideo = numbered_video(*camera._size, camera._rate)
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
        if self._next_ns < camera._stalled_until_ns:
            return min(lost_ns, max(camera._stalled_until_ns, self._next_ns))
        if self._track is None or self._lost or self._stalled or camera._drop:
            return self._next_ns
        left = camera._gop_frames - len(self._pending)
        # Whole beats up to the one before the key frame; the last step is exact.
        return max(self._next_ns, self._origin_ns + (self._beat + left - 1) * NS // camera._rate)

    def deliver(self, next_ns: int | None) -> None:
        """Send the group of pictures in the making, if there is one."""
        if not self._pending or self._track is None:
            return
        coded = self._maker.gop(tuple(number for number, _, _ in self._pending))
        data = bytearray(coded.data)
        samples = []
        for index, ((_, at_ns, damaged), (offset, size)) in enumerate(zip(self._pending, coded.spans, strict=True)):
            if index + 1 < len(self._pending):
                end_ns = self._pending[index + 1][1]
            else:
                end_ns = at_ns + NS // self._camera._rate if next_ns is None else next_ns
            if damaged:
                middle = offset + 4 + (size - 4) // 2
                for place in range(middle, offset + size):
                    data[place] ^= 0x5A
            samples.append(Sample(offset, size, at_ns, at_ns, end_ns - at_ns, index == 0))
        self._pending.clear()
        self._send(Batch(self._track, tuple(samples), data))

    def _take(self, at_ns: int) -> None:
        camera = self._camera
        self.silent_from_ns = at_ns
        if camera._drop:
            camera._drop -= 1
            camera.number += 1
            self._lost += 1
            return
        if self._track is None:
            self._track = self._new_track()
            self._task_status.started()
            self._send(SourceUp("camera", self._track))
        if len(self._pending) >= camera._gop_frames:
            self.deliver(at_ns)
        if (self._lost or self._stalled) and self._last_ns is not None:
            cause = "dropped_by_device" if self._lost else "stalled"
            self._send(MediaGap("video", self._last_ns + NS // camera._rate, at_ns, cause, self._lost))
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
            rate=float(self._camera._rate),
        )

    def _time(self) -> int:
        jitter = self._camera._jitter_ns
        return (
            self._origin_ns
            + self._beat * NS // self._camera._rate
            + jitter
            + (self._random.randint(-jitter, jitter) if jitter else 0)
        )
