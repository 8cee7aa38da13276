"""What every `MediaSource` keeps to: one suite for the virtual devices and for the real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
import trio
import trio.testing

from bwvd.capture.libav import open_camera, open_microphone
from bwvd.capture.source import AUDIO_BATCH_NS, AudioGate, MediaSource, SourceEnded
from bwvd.clock import Clock, SystemClock
from bwvd.config import Audio, Config, Video
from bwvd.messages import NS, Batch, SourceUp
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clip import numbered_clip
from bwvd.testing.clock import VirtualClock
from bwvd.testing.microphone import VirtualMicrophone
from tests.capture_listen import Listener, decode_sound, numbers

RATE = 120
GOP = 15


@dataclass
class Stand:
    """A source to be tried, the time it lives in, and a gate that is open unless a test closes it."""

    make: Callable[[Clock, AudioGate, Path], MediaSource]
    virtual: bool
    kind: str
    numbered: bool = True
    gate: AudioGate = field(default_factory=AudioGate)

    def clock(self) -> Clock:
        return VirtualClock() if self.virtual else SystemClock()

    def run(self, main: Callable[[], object]) -> None:
        """Run an async function on the clock that suits the source."""
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0) if self.virtual else None)  # type: ignore[arg-type]  # each is a coroutine function


def _file(encoder: str, suffix: str, codec: str, loop: bool) -> Callable[[Clock, AudioGate, Path], MediaSource]:
    def make(clock: Clock, gate: AudioGate, folder: Path) -> MediaSource:
        clip = folder / f"clip.{suffix}"
        numbered_clip(clip, 45, rate=RATE, gop_s=GOP / RATE, codec=codec)
        source = f"file:{clip}{'?loop=1' if loop else ''}"
        return open_camera(Config(video=Video(source=source, encoder=encoder, keyframe_s=GOP / RATE)), clock, gate)

    return make


def _graph(clock: Clock, gate: AudioGate, folder: Path) -> MediaSource:
    source = f"lavfi:testsrc2=size=64x48:rate={RATE}"
    return open_camera(Config(video=Video(source=source, keyframe_s=GOP / RATE)), clock, gate)


def _sound(clock: Clock, gate: AudioGate, folder: Path) -> MediaSource:
    source = open_microphone(Config(audio=Audio(source="lavfi:sine=frequency=300:sample_rate=48000")), clock, gate)
    assert source is not None
    return source


CAMERAS = {
    "virtual": lambda: Stand(lambda clock, *_: VirtualCamera(clock, rate=RATE, gop_frames=GOP), True, "video"),
    "virtual with jitter": lambda: Stand(
        lambda clock, *_: VirtualCamera(clock, rate=RATE, gop_frames=GOP, jitter_ns=2_000_000), True, "video"
    ),
    "copied file": lambda: Stand(_file("copy", "mp4", "libx264", True), False, "video"),
    "encoded file": lambda: Stand(_file("libx264", "avi", "mjpeg", True), False, "video"),
    "graph": lambda: Stand(_graph, False, "video", numbered=False),
}
MICROPHONES = {
    "virtual": lambda: Stand(lambda clock, gate, _: VirtualMicrophone(clock, gate), True, "audio"),
    "graph": lambda: Stand(_sound, False, "audio"),
}


@pytest.fixture(params=sorted(CAMERAS))
def camera(request: pytest.FixtureRequest) -> Stand:
    return CAMERAS[request.param]()


@pytest.fixture(params=sorted(MICROPHONES))
def microphone(request: pytest.FixtureRequest) -> Stand:
    stand = MICROPHONES[request.param]()
    stand.gate.open(0)
    return stand


def listen(stand: Stand, folder: Path, batches: int, *, flush: bool = False, longer_s: float = 0) -> Listener:
    """Run a source until so many batches are there, and a little longer; then cancel it."""
    listener = Listener()

    async def main() -> None:
        source = stand.make(stand.clock(), stand.gate, folder)
        source.flush_on_cancel(flush)
        async with trio.open_nursery() as nursery:
            await nursery.start(source.run, listener.send)
            assert listener.ups()
            assert isinstance(listener.events[0], SourceUp)
            with trio.fail_after(30):
                await listener.wait_batches(batches, stand.kind)
            await trio.sleep(longer_s)
            nursery.cancel_scope.cancel()

    stand.run(main)
    return listener


def test_it_is_up_before_its_first_batch_and_its_track_is_the_batches(camera: Stand, tmp_path: Path) -> None:
    listener = listen(camera, tmp_path, 2)
    (up,) = listener.ups()
    assert up.device == "camera"
    assert all(batch.track is up.track for batch in listener.batches())
    assert (up.track.width, up.track.height, up.track.timescale) == (64, 48, 90_000)


def test_batches_are_closed_groups_that_follow_each_other(camera: Stand, tmp_path: Path) -> None:
    """Invariant 4: what the recorder relies on for an exact seam."""
    batches = listen(camera, tmp_path, 4).batches()
    for batch in batches:
        assert [sample.key for sample in batch.samples] == [True] + [False] * (GOP - 1)
        at = 0
        for sample in batch.samples:
            assert sample.offset == at
            at += sample.size
        assert at == len(batch.data)
    samples = [sample for batch in batches for sample in batch.samples]
    for before, after in pairwise(samples):
        assert before.dts_ns + before.duration_ns == after.dts_ns > before.dts_ns
    for before_batch, after_batch in pairwise(batches):
        assert abs(before_batch.end_ns - after_batch.start_ns) <= 2
    if camera.numbered:
        found = numbers(batches)
        assert [n % 45 for n in found] == [n % 45 for n in range(len(found))]


@pytest.mark.parametrize("flush", [False, True])
def test_the_group_in_the_making_is_delivered_only_if_asked(camera: Stand, tmp_path: Path, flush: bool) -> None:
    listener = listen(camera, tmp_path, 2, flush=flush, longer_s=0.06)
    sizes = [len(batch.samples) for batch in listener.batches()]
    whole = [size for size in sizes if size == GOP]
    assert len(sizes) - len(whole) == (1 if flush else 0)
    if flush:
        assert sizes[-1] < GOP
        assert listener.batches()[-1].samples[-1].duration_ns == pytest.approx(NS / RATE, rel=0.7)


def test_times_are_those_of_the_clock(camera: Stand, tmp_path: Path) -> None:
    listener = Listener()
    bounds: list[int] = []

    async def main() -> None:
        clock = camera.clock()
        source = camera.make(clock, camera.gate, tmp_path)
        bounds.append(clock.monotonic_ns())
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(source.run, listener.send)
                await listener.wait_batches(2)
                bounds.append(clock.monotonic_ns())
                nursery.cancel_scope.cancel()

    camera.run(main)
    assert bounds[0] <= listener.batches()[0].start_ns
    assert listener.batches()[1].end_ns <= bounds[1] + 10_000_000


def test_a_source_that_ends_says_so_after_its_last_batch(tmp_path: Path) -> None:
    for stand in (
        Stand(lambda clock, *_: VirtualCamera(clock, rate=RATE, gop_frames=GOP), True, "video"),
        Stand(_file("copy", "mp4", "libx264", False), False, "video"),
        Stand(_file("libx264", "avi", "mjpeg", False), False, "video"),
    ):
        listener = Listener()

        async def main(stand: Stand = stand, listener: Listener = listener) -> None:
            source = stand.make(stand.clock(), stand.gate, tmp_path)
            async with trio.open_nursery() as nursery:
                if isinstance(source, VirtualCamera):

                    async def end_later(camera: VirtualCamera = source) -> None:
                        await trio.sleep(44.5 / RATE)
                        camera.end()

                    nursery.start_soon(end_later)
                with pytest.raises(SourceEnded):
                    await source.run(listener.send)

        stand.run(main)
        assert numbers(listener.batches()) == list(range(45))
        assert isinstance(listener.events[-1], Batch)


def test_sound_is_contiguous_and_comes_in_batches(microphone: Stand, tmp_path: Path) -> None:
    listener = listen(microphone, tmp_path, 4)
    batches = listener.batches("audio")
    (up,) = listener.ups()
    assert (up.device, up.track.kind, up.track.codec, up.track.timescale) == ("microphone", "audio", "aac", 48_000)
    samples = [sample for batch in batches for sample in batch.samples]
    for before, after in pairwise(samples):
        assert after.dts_ns == before.dts_ns + before.duration_ns
        assert after.pts_ns == after.dts_ns
    assert all(batch.end_ns - batch.start_ns >= AUDIO_BATCH_NS for batch in batches)
    assert len(decode_sound(batches)) >= len(samples) - 1


def test_sound_stays_behind_a_closed_gate(microphone: Stand, tmp_path: Path) -> None:
    """Pre-event sound is off by default: a source never delivers what the gate does not let through."""
    listener = Listener()
    microphone.gate.close()
    opened: list[int] = []

    async def main() -> None:
        clock = microphone.clock()
        source = microphone.make(clock, microphone.gate, tmp_path)
        async with trio.open_nursery() as nursery:
            await nursery.start(source.run, listener.send)
            await trio.sleep(0.6)
            assert listener.batches("audio") == []
            opened.append(clock.monotonic_ns())
            microphone.gate.open(opened[0])
            with trio.fail_after(30):
                await listener.wait_batches(2, "audio")
            nursery.cancel_scope.cancel()

    microphone.run(main)
    assert opened[0] <= listener.batches("audio")[0].start_ns <= opened[0] + 25_000_000
