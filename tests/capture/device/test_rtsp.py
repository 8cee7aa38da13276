"""An RTSP camera on a real socket: copied, encoded anew, silent, hung up, absent."""

from __future__ import annotations

import ssl
import subprocess
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from bwvd.capture.address import parse_address
from bwvd.capture.device.libav_source import LibavSource
from bwvd.capture.device.supervisor import run_source
from bwvd.capture.source import AudioGate, DeviceLost, SourceRefused
from bwvd.clock import NS, SystemClock
from bwvd.config.schema import VIDEO_SCHEMES, Config, Loop, Video
from bwvd.messages import SourceDown
from tests.support.capture_listen import Listener, numbers
from tests.support.rtsp_camera import RtspCamera
from tests.support.stock import need

RATE = 50


def source(url: str, encoder: str = "copy", silence_s: float = 3, *, ca_file: str = "") -> LibavSource:
    video = Video(source=url, encoder=encoder, keyframe_s=0.2, stamp=False, ca_file=ca_file)
    config = Config(video=video, loop=Loop(seconds=5))
    address = parse_address(url, "video.source", VIDEO_SCHEMES)
    return LibavSource(address, config, SystemClock(), AudioGate(), kinds=("video",), silence_s=silence_s)


@pytest.mark.parametrize("encoder", ["copy", "libx264"])
async def test_every_frame_of_a_network_camera_arrives_once_and_in_its_time(encoder: str) -> None:
    """Invariant 4, over RTP: from the first key frame on no number is missing, and every time is CLOCK_MONOTONIC's."""
    camera, listener = RtspCamera(rate=RATE, gop_frames=10), Listener()
    async with trio.open_nursery() as nursery:
        url = await nursery.start(camera.run)
        began_ns = time.monotonic_ns()
        await listener.run(source(url, encoder), 8)
        ended_ns = time.monotonic_ns()
        nursery.cancel_scope.cancel()
    batches = listener.batches()
    found = numbers(batches)
    assert found == list(range(found[0], found[0] + len(found)))
    assert len(found) >= 70
    samples = [sample for batch in batches for sample in batch.samples]
    for before, after in pairwise(samples):
        assert after.dts_ns - before.dts_ns == pytest.approx(NS / RATE, rel=0.15)
    assert began_ns <= samples[0].pts_ns <= samples[-1].pts_ns <= ended_ns
    assert listener.gaps() == []
    assert (batches[0].track.width, batches[0].track.encoder) == (64, encoder)


async def test_what_a_server_hands_out_at_once_is_placed_where_it_was_taken() -> None:
    camera, listener = RtspCamera(rate=RATE, gop_frames=10, burst=40), Listener()
    async with trio.open_nursery() as nursery:
        url = await nursery.start(camera.run)
        asked_ns = time.monotonic_ns()
        await listener.run(source(url), 8)
        nursery.cancel_scope.cancel()
    found = numbers(listener.batches())
    assert found == list(range(found[0], found[0] + len(found)))
    times = [sample.dts_ns for batch in listener.batches() for sample in batch.samples]
    # A busy machine delays packets, which moves what follows by up to a tenth of each step.
    for before, after in pairwise(times):
        assert after - before == pytest.approx(NS / RATE, rel=0.15)
    assert times[-1] - times[0] == pytest.approx((len(times) - 1) * NS / RATE, abs=NS / 4)
    # What it kept from before we asked is left out: it may be what was delivered before a connection was lost.
    assert 30 <= found[0] <= 50
    assert asked_ns <= times[0] < asked_ns + NS


async def test_a_camera_that_hangs_up_is_lost_and_found_again() -> None:
    camera, listener = RtspCamera(rate=RATE, gop_frames=10), Listener()
    async with trio.open_nursery() as nursery:
        url = await nursery.start(camera.run)
        run = partial(run_source, partial(source, url), listener.send, clock=SystemClock(), device="camera")
        nursery.start_soon(run)
        with trio.fail_after(30):
            await listener.wait_batches(2)
            camera.hang_up()
            while len(listener.ups()) < 2:
                await listener.wait_batches(len(listener.batches()) + 1)
        nursery.cancel_scope.cancel()
    downs = [event for event in listener.events if isinstance(event, SourceDown)]
    assert len(downs) == 1
    assert downs[0].reason.startswith(url)
    assert camera.clients == 2


async def test_a_camera_that_goes_silent_is_lost() -> None:
    camera, listener = RtspCamera(rate=RATE, gop_frames=10), Listener()
    async with trio.open_nursery() as nursery:
        url = await nursery.start(camera.run)

        async def hang_later() -> None:
            await listener.wait_batches(2)
            camera.hang = True

        nursery.start_soon(hang_later)
        with trio.fail_after(20), pytest.raises(DeviceLost, match=r"delivered nothing for 0\.5 s$"):
            await source(url, silence_s=0.5).run(listener.send)
        nursery.cancel_scope.cancel()


async def test_the_read_of_a_silent_camera_comes_back() -> None:
    """libav asks us during a network read whether to go on: no thread is given up for a camera that says nothing."""
    camera, listener = RtspCamera(rate=RATE, gop_frames=10), Listener()
    async with trio.open_nursery() as nursery:
        url = await nursery.start(camera.run)

        async def hang_later() -> None:
            await listener.wait_batches(2)
            camera.hang = True

        nursery.start_soon(hang_later)
        silent = source(url)
        silent.flush_on_cancel(True)  # as while a recording runs
        with trio.fail_after(30), pytest.raises(DeviceLost, match=r"delivered nothing for 3 s$"):
            await silent.run(listener.send)
        assert not silent.hangs()
        nursery.cancel_scope.cancel()
    found = numbers(listener.batches())
    assert found == list(range(found[0], found[-1] + 1))
    assert camera.number - found[-1] <= 2, "what it gave before is there, to the one that was on its way"


async def test_an_absent_camera_is_lost_with_its_address_and_the_reason() -> None:
    with pytest.raises(DeviceLost) as lost:
        await source("rtsp://user:secret@127.0.0.1:1/live").run(lambda _: None)
    assert str(lost.value) == "rtsp://127.0.0.1:1/live: Connection refused"


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A camera's own certificate for 127.0.0.1, and the file that vouches for it."""
    key, certified = folder / f"{name}.key", folder / f"{name}.pem"
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", str(key), "-out", str(certified)]
    subprocess.run([need("openssl"), "req", "-x509", *made, *subject], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certified, key)
    return context, certified


async def test_a_camera_that_speaks_tls(tmp_path: Path) -> None:
    """Its certificate is asked for: by whom it has to be vouched for is configured."""
    context, vouching = certificate(tmp_path, "camera")
    _, other = certificate(tmp_path, "other")
    camera, listener = RtspCamera(rate=RATE, gop_frames=10, tls=context), Listener()
    async with trio.open_nursery() as nursery:
        url = await nursery.start(camera.run)
        assert url.startswith("rtsps://")
        await listener.run(source(url, ca_file=str(vouching)), 3)
        with pytest.raises(DeviceLost):
            await source(url, ca_file=str(other)).run(lambda _: None)
        with pytest.raises(SourceRefused, match=r"^video\.ca_file: .*/nobody\.pem: no such file$"):
            await source(url, ca_file=str(tmp_path / "nobody.pem")).run(lambda _: None)
        nursery.cancel_scope.cancel()
    found = numbers(listener.batches())
    assert found == list(range(found[0], found[0] + len(found)))
    assert listener.batches()[0].track.source == url


async def test_a_camera_of_few_frames_a_second_keeps_its_beat() -> None:
    """Invariant 4: no frame lies where it was not taken, none in the future, and none is called lost."""
    camera, listener = RtspCamera(rate=3, gop_frames=2), Listener()
    async with trio.open_nursery() as nursery:
        url = await nursery.start(camera.run)
        await listener.run(source(url), 6)
        ended_ns = time.monotonic_ns()
        nursery.cancel_scope.cancel()
    samples = [sample for batch in listener.batches() for sample in batch.samples]
    for before, after in pairwise(samples):
        assert after.pts_ns - before.pts_ns == pytest.approx(NS / 3, rel=0.03)
    assert samples[-1].pts_ns <= ended_ns
    assert listener.gaps() == []


async def test_frames_that_are_shown_in_another_order_lie_where_they_were_taken() -> None:
    """Invariant 4, with B-frames: libav tells neither the first frame's time nor the first decode times."""
    camera, listener = RtspCamera(rate=RATE, gop_frames=10, b_frames=2), Listener()
    async with trio.open_nursery() as nursery:
        url = await nursery.start(camera.run)
        await listener.run(source(url), 6)
        nursery.cancel_scope.cancel()
    batches = listener.batches()
    found = numbers(batches)
    assert found == list(range(found[0], found[0] + len(found)))
    times = sorted(sample.pts_ns for batch in batches for sample in batch.samples)
    for before, after in pairwise(times):
        assert after - before == pytest.approx(NS / RATE, rel=0.25)
    assert listener.gaps() == []
    for one, next_one in pairwise(batches):
        assert min(sample.pts_ns for sample in next_one.samples) > max(sample.pts_ns for sample in one.samples)
