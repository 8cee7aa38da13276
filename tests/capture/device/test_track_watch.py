"""A track lives while samples of it are gained, and not while packets arrive."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from bwvd.capture.address import parse_address
from bwvd.capture.device.libav_source import LibavSource
from bwvd.capture.device.supervisor import run_source
from bwvd.capture.device.track_watch import HOPELESS_NS, MISSING_NS, NAMED_NS, TrackWatch
from bwvd.capture.source import AudioGate
from bwvd.clock import NS, SystemClock
from bwvd.config.schema import VIDEO_SCHEMES, Audio, Config, Loop, Video
from bwvd.media.samples import Kind
from bwvd.messages import SourceDown
from tests.support.capture_listen import Listener, numbers
from tests.support.rtsp_camera import RtspCamera

SILENCE_S = 0.6


def test_packets_of_which_nothing_is_gained_are_no_sign_of_life() -> None:
    """Invariant 5: who presses knows that nothing is kept, and then why."""
    watch, told = TrackWatch("video", 3 * NS, 0), []
    for now_ns in range(0, 60 * NS, NS // 2):
        watch.packet(now_ns)
        reason = watch.look(0, now_ns, "no key frame")
        told += [(now_ns / NS, reason)] if reason else []
        assert watch.hopeless(now_ns, "no key frame") is None
    assert told == [(3, "no frame for 3 s"), (NAMED_NS / NS, "no key frame for 15 s")]
    assert watch.is_down
    assert watch.hopeless(HOPELESS_NS, "no key frame") == "no key frame for 60 s"
    assert watch.look(1, HOPELESS_NS, "") is None
    assert not watch.is_down


def test_a_track_whose_packets_end_is_opened_again_sooner() -> None:
    watch = TrackWatch("audio", 3 * NS, 0)
    watch.packet(NS)
    assert watch.look(1, NS, "") is None
    assert watch.look(1, 4 * NS - 1, "") is None
    assert watch.look(1, 4 * NS, "") == "no sound for 3 s"
    assert watch.look(1, 14 * NS, "") is None
    assert watch.hopeless(MISSING_NS, "") is None
    assert watch.hopeless(MISSING_NS + NS, "") == "no sound for 15 s"
    assert watch.look(1, 40 * NS, "") is None, "told already, and there are no packets that would lack anything"


def source(
    url: str, gate: AudioGate, kinds: tuple[Kind, ...] = ("video", "audio"), encoder: str = "copy"
) -> LibavSource:
    config = Config(
        video=Video(source=url, encoder=encoder, keyframe_s=0.2, stamp=False),
        audio=Audio(source="video" if "audio" in kinds else ""),
        loop=Loop(seconds=5),
    )
    address = parse_address(url, "video.source", VIDEO_SCHEMES)
    return LibavSource(address, config, SystemClock(), gate, kinds=kinds, silence_s=SILENCE_S)


def _gate() -> AudioGate:
    gate = AudioGate()
    gate.open(0)
    return gate


def downs(listener: Listener) -> list[SourceDown]:
    return [event for event in listener.events if isinstance(event, SourceDown)]


@pytest.mark.parametrize("encoder", ["copy", "libx264"])
async def test_video_that_stops_while_sound_goes_on(encoder: str) -> None:
    """Invariants 4 and 5: the camera is down, its last frames are there, the sound goes on, the video comes back."""
    camera, listener = RtspCamera(rate=50, gop_frames=10, sound=True), Listener()
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + 20
        url = await nursery.start(camera.run)
        opened = partial(source, url, _gate(), encoder=encoder)
        nursery.start_soon(partial(run_source, opened, listener.send, clock=SystemClock(), device="camera"))
        await listener.wait(lambda: len(listener.batches()) > 2 and len(listener.batches("audio")) > 1)
        while not 3 <= camera.number % 10 <= 7:  # noqa: ASYNC110 - so that the frame on its way then is no key frame
            await trio.sleep(0.005)
        camera.blind = True
        await listener.wait(lambda: downs(listener))
        (down,) = downs(listener)
        assert (down.device, down.reason, down.asked) == ("camera", f"{url}: no frame for {SILENCE_S:g} s", False)
        last = numbers(listener.batches())
        heard = len(listener.batches("audio"))
        await listener.wait(lambda: len(listener.batches("audio")) > heard + 2)
        assert len([up for up in listener.ups() if up.device == "camera"]) == 1
        resumed_at = camera.number
        camera.blind = False
        await listener.wait(lambda: len([up for up in listener.ups() if up.device == "camera"]) == 2)
        await listener.wait_batches(len(listener.batches()) + 2)
        nursery.cancel_scope.cancel()
    assert camera.clients == 1, "the sound went on over the same connection"
    assert last == list(range(last[0], last[0] + len(last)))
    found = numbers(listener.batches())
    assert found[: len(last)] == last
    assert resumed_at <= found[len(last)] <= resumed_at + 11


async def test_sound_that_stops_while_video_goes_on() -> None:
    camera, listener = RtspCamera(rate=50, gop_frames=10, sound=True), Listener()
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + 20
        url = await nursery.start(camera.run)
        nursery.start_soon(
            partial(run_source, partial(source, url, _gate()), listener.send, clock=SystemClock(), device="camera")
        )
        await listener.wait(lambda: len(listener.batches("audio")) > 1)
        camera.mute = True
        await listener.wait(lambda: downs(listener))
        (down,) = downs(listener)
        assert (down.device, down.reason) == ("microphone", f"{url}: no sound for {SILENCE_S:g} s")
        camera.mute = False
        await listener.wait(lambda: len([up for up in listener.ups() if up.device == "microphone"]) == 2)
        nursery.cancel_scope.cancel()
    found = numbers(listener.batches())
    assert found == list(range(found[0], found[0] + len(found))), "no frame was lost by it"
    assert not [gap for gap in listener.gaps() if gap.kind == "video"]


async def test_packets_that_nobody_wants_keep_no_camera_alive() -> None:
    """Its sound is not wanted, and comes all the same: the read comes back, and the thread is not given up."""
    camera, listener = RtspCamera(rate=50, gop_frames=10, sound=True), Listener()
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + 20
        url = await nursery.start(camera.run)
        mute = source(url, AudioGate(), ("video",))
        nursery.start_soon(partial(run_source, lambda: mute, listener.send, clock=SystemClock(), device="camera"))
        await listener.wait_batches(2)
        camera.blind = True
        await listener.wait(lambda: downs(listener))
        assert downs(listener)[0].reason == f"{url}: no frame for {SILENCE_S:g} s"
        camera.blind = False
        await listener.wait(lambda: len(listener.ups()) == 2)
        nursery.cancel_scope.cancel()
    assert camera.clients == 1
    assert not listener.batches("audio")
    assert not mute.hangs()


async def test_a_camera_that_never_sends_a_key_frame() -> None:
    camera, listener = RtspCamera(rate=50, gop_frames=10, sound=True, keyless=True), Listener()
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + 20
        url = await nursery.start(camera.run)
        nursery.start_soon(
            partial(run_source, partial(source, url, _gate()), listener.send, clock=SystemClock(), device="camera")
        )
        await listener.wait(lambda: downs(listener))
        nursery.cancel_scope.cancel()
    assert {up.device for up in listener.ups()} <= {"microphone"}
    (down,) = downs(listener)
    assert (down.device, down.reason) == ("camera", f"{url}: no frame for {SILENCE_S:g} s")
