"""Cameras that are not even: slower in the dark, silent for seconds, with clocks that jump. Nothing is invented.

Each picture carries its number: none may be doubled to keep a beat, none left out, and each lies where it was taken.
"""

from __future__ import annotations

import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
import trio
import trio.testing
from av.video.stream import VideoStream

from bwvd.capture.device.libav_source import open_camera
from bwvd.capture.source import AudioGate
from bwvd.clock import NS, SystemClock
from bwvd.config.schema import Config, Loop, Video
from bwvd.evidence.format import records
from bwvd.media.samples import Sample
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.picture import draw_number
from tests.support.capture_listen import Listener, decode_video, numbers
from tests.support.rig import Rig, configuration
from tests.support.rtsp_camera import RtspCamera
from tests.support.stock import need

ENCODERS = ["copy", "libx264"]
ROUNDING_NS = 1_500_000  # of a container's stamps, in milliseconds


def uneven_clip(path: Path, times_ms: list[int], *, first: int = 0, later_ms: int = 0) -> None:
    """Frames `first`, `first` + 1, … at these times, of variable rate; key frames every tenth."""
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "qp": "20", "x264-params": "scenecut=0:open-gop=0:keyint=10:min-keyint=10"}
        stream = container.add_stream("libx264", rate=30, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1_000)
        stream.codec_context.max_b_frames = 0
        for number, at_ms in enumerate(times_ms):
            frame = av.VideoFrame(64, 48, "yuv420p")
            draw_number(frame, first + number)
            frame.pts, frame.time_base = later_ms + at_ms, Fraction(1, 1_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def in_one_count(stream: bytes) -> bytes:
    """MPEG-TS with its continuity counted through: two clips in a row are two counts, taken for a loss."""
    data, counts = bytearray(stream), dict[int, int]()
    for at in range(0, len(data), 188):
        pid = int.from_bytes(data[at + 1 : at + 3], "big") & 0x1FFF
        if data[at + 3] & 0x10:  # a packet with payload
            counts[pid] = (counts.get(pid, -1) + 1) & 15
        data[at + 3] = data[at + 3] & 0xF0 | counts.get(pid, 0)
    return bytes(data)


def paced(*stretches: tuple[int, int], pause_ms: int = 0) -> list[int]:
    """Times of frames: so many, so many ms apart, and so on; the last frame after a pause."""
    times = [0]
    for count, step_ms in stretches:
        times += [times[-1] + step_ms * (number + 1) for number in range(count)]
    return [*times, times[-1] + pause_ms] if pause_ms else times


async def play(path: Path, encoder: str) -> Listener:
    video = Video(source=f"file:{path}", encoder=encoder, keyframe_s=0.3, stamp=False)
    source = open_camera(Config(video=video, loop=Loop(seconds=10)), SystemClock(), AudioGate())
    listener = Listener()
    with trio.fail_after(30):
        try:
            await source.run(listener.send)
        except Exception as error:  # noqa: BLE001 - a file ends; whatever else came is shown by what is missing
            assert "has come to its end" in str(error)  # noqa: PT017 - the type is told by the text
    return listener


def all_samples(listener: Listener) -> list[Sample]:
    return [sample for batch in listener.batches() for sample in batch.samples]


@pytest.mark.parametrize("encoder", ENCODERS)
async def test_a_rate_that_halves_and_a_pause_of_three_seconds_are_kept_as_they_are(
    tmp_path: Path, encoder: str
) -> None:
    """No frame is doubled to fill them: they are where they were taken, and a file that pauses is not a lost device."""
    times_ms = [*paced((20, 33), (10, 67), (10, 33), pause_ms=3_200)]
    clip = tmp_path / "clip.mkv"
    uneven_clip(clip, times_ms)
    listener = await play(clip, encoder)
    assert numbers(listener.batches()) == list(range(len(times_ms)))
    samples = all_samples(listener)
    for sample, at_ms in zip(samples, times_ms, strict=True):
        assert abs(sample.pts_ns - samples[0].pts_ns - at_ms * 1_000_000) < ROUNDING_NS
    for before, after in pairwise(samples):
        assert abs(before.dts_ns + before.duration_ns - after.dts_ns) < ROUNDING_NS
    assert listener.gaps() == []


@pytest.mark.parametrize("encoder", ENCODERS)
async def test_a_clip_of_variable_rate_from_stock_ffmpeg_keeps_its_frames(tmp_path: Path, encoder: str) -> None:
    """Two of three frames of its second half are gone, as `mpdecimate` would leave them out."""
    clip = tmp_path / "clip.mkv"
    graph = "testsrc2=size=64x48:rate=60:duration=1.5,select='lt(n,45)+not(mod(n,3))'"
    command = [need("ffmpeg"), "-v", "error", "-f", "lavfi", "-i", graph, "-fps_mode", "vfr", "-g", "15", "-bf", "0"]
    subprocess.run([*command, "-c:v", "libx264", str(clip)], check=True)  # noqa: ASYNC221 - before anything runs
    with av.open(str(clip)) as container:
        expected = [
            float(packet.pts * packet.time_base) for packet in container.demux(video=0) if packet.pts is not None
        ]
    listener = await play(clip, encoder)
    samples = all_samples(listener)
    assert len(samples) == len(expected) == 60
    for sample, at_s in zip(samples, expected, strict=True):
        assert abs(sample.pts_ns - samples[0].pts_ns - round((at_s - expected[0]) * NS)) < ROUNDING_NS
    assert len(decode_video(listener.batches())) == 60
    assert listener.gaps() == []


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("later_ms", [3_600_000, -7_200_000])
async def test_a_file_whose_stamps_jump_goes_on_and_says_where(tmp_path: Path, encoder: str, later_ms: int) -> None:
    """An hour on, or two back: nobody waits for it, nothing is left out, and a gap record names the place."""
    first, second, clip = tmp_path / "first.ts", tmp_path / "second.ts", tmp_path / "clip.ts"
    begin_ms = 8_000_000
    uneven_clip(first, paced((19, 33)), later_ms=begin_ms)
    uneven_clip(second, paced((19, 33)), first=20, later_ms=begin_ms + later_ms)
    clip.write_bytes(in_one_count(first.read_bytes() + second.read_bytes()))
    listener = await play(clip, encoder)
    assert numbers(listener.batches()) == list(range(40))
    samples = all_samples(listener)
    for before, after in pairwise(samples):
        assert 0 < after.dts_ns - before.dts_ns < 2 * NS // 30
    (gap,) = listener.gaps()
    assert (gap.cause, gap.frames) == ("timestamps", 0)
    assert gap.from_ns == pytest.approx(samples[19].dts_ns, abs=1_000_000)
    assert gap.to_ns == pytest.approx(samples[20].dts_ns, abs=1_000_000)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("jump_s", [2.0, -2.0, 36_000.0])
async def test_a_network_camera_whose_clock_is_set_goes_on_in_time_and_says_where(encoder: str, jump_s: float) -> None:
    rate = 50
    camera, listener = RtspCamera(rate=rate, gop_frames=10, jump_at=60, jump_s=jump_s), Listener()
    async with trio.open_nursery() as nursery:
        url = await nursery.start(camera.run)
        video = Video(source=url, encoder=encoder, keyframe_s=0.2, stamp=False)
        source = open_camera(Config(video=video, loop=Loop(seconds=5)), SystemClock(), AudioGate())
        await listener.run(source, 10)
        nursery.cancel_scope.cancel()
    found = numbers(listener.batches())
    assert found == list(range(found[0], found[0] + len(found)))
    assert len(found) >= 95
    samples = all_samples(listener)
    assert (samples[-1].dts_ns - samples[0].dts_ns) / NS == pytest.approx((len(samples) - 1) / rate, abs=0.15)
    for before, after in pairwise(samples):
        assert 0 < after.dts_ns - before.dts_ns < 0.2 * NS
    told = [gap for gap in listener.gaps() if gap.cause == "timestamps"]
    assert told
    assert all(gap.frames == 0 for gap in listener.gaps())


@pytest.mark.parametrize("encoder", ENCODERS)
async def test_a_network_camera_that_goes_slower_in_the_dark_loses_nothing(encoder: str) -> None:
    rate = 50
    camera, listener = RtspCamera(rate=rate, gop_frames=10, dark_from=50, dark_to=80), Listener()
    async with trio.open_nursery() as nursery:
        url = await nursery.start(camera.run)
        video = Video(source=url, encoder=encoder, keyframe_s=0.2, stamp=False)
        source = open_camera(Config(video=video, loop=Loop(seconds=5)), SystemClock(), AudioGate())
        await listener.run(source, 11)
        nursery.cancel_scope.cancel()
    found = numbers(listener.batches())
    assert found == list(range(found[0], found[0] + len(found)))
    samples = all_samples(listener)
    slow = [b.dts_ns - a.dts_ns for (n, a), b in zip(enumerate(samples, found[0]), samples[1:], strict=False)]
    halved = sorted(slow[55 - found[0] : 75 - found[0]])
    assert halved[len(halved) // 2] == pytest.approx(2 * NS / rate, rel=0.2)
    assert listener.gaps() == []


async def test_three_silent_seconds_of_a_camera_are_a_hole_with_a_name(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 4, in a whole daemon: neither a frame too many nor one without its gap; the recording goes on."""
    rig = Rig(config=configuration(loop={"seconds": 5}, recording={"post_roll_s": 0}))
    rig.camera = camera = VirtualCamera(rig.clock, rate=30, gop_frames=15)
    async with rig.running() as daemon:
        await daemon.camera_up.wait()
        await trio.sleep(6)
        await rig.press()
        await trio.sleep(5.2)
        silent_ns = rig.clock.monotonic_ns()
        camera.stall(3)
        await trio.sleep(10)
        await rig.stop()
        with trio.fail_after(60):
            await rig.closed()
    (recording,) = rig.recordings()
    manifest = rig.manifest(recording)
    frames = rig.frames(recording)
    shown = [number for number, _ in frames]
    assert shown == list(range(shown[0], shown[0] + len(shown)))  # a stalled camera takes no picture, and none is made
    (hole,) = [(before, after) for (_, before), (_, after) in pairwise(frames) if after - before > 0.1]
    assert hole[1] - hole[0] == pytest.approx(3, abs=0.2)
    opening = next(record for record in manifest if isinstance(record, records.Open))
    gaps = [record for record in manifest if isinstance(record, records.Gap) and record.track in ("video", "both")]
    assert gaps
    begin = min(gap.from_ns for gap in gaps)
    end = max(gap.to_ns for gap in gaps)
    assert begin == pytest.approx(silent_ns - opening.origin_mono_ns, abs=NS // 15)
    assert end == pytest.approx(silent_ns + 3 * NS - opening.origin_mono_ns, abs=NS // 5)
