"""Real libav on a real thread: files and graphs in real time, every frame accounted for by the number it carries."""

from __future__ import annotations

import gc
import threading
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
import trio
from av.container import OutputContainer

from bwvd.capture.audio.transcode import AudioEncoder
from bwvd.capture.device.device_thread import THREAD_NAME
from bwvd.capture.device.libav_source import LibavSource, open_camera, open_microphone
from bwvd.capture.source import AudioGate, SourceEnded, SourceRefused
from bwvd.capture.video.encoder_choice import EncoderChoice
from bwvd.capture.video.libav_encoder import VideoEncoder
from bwvd.clock import NS, SystemClock
from bwvd.config.schema import Audio, Config, Device, Loop, Video
from bwvd.media.samples import Batch
from bwvd.messages import MediaEvent, SourceDown
from bwvd.testing.clip import numbered_clip
from tests.support.capture_listen import Listener, decode_sound, decode_video, numbers

RATE = 200  # frames per second of the clips: half a second shows three loops
STEP = NS // RATE


def camera(
    source: str,
    *,
    encoder: str = "copy",
    audio: str = "",
    gate: AudioGate | None = None,
    keyframe_s: float = 0.1,
    roster: EncoderChoice | None = None,
) -> LibavSource:
    config = Config(
        video=Video(source=source, encoder=encoder, keyframe_s=keyframe_s, stamp=False),
        audio=Audio(source=audio),
        loop=Loop(seconds=5),
    )
    return open_camera(config, SystemClock(), gate or AudioGate(), roster)


def check_times(batches: list[Batch], step_ns: int) -> None:
    """Samples follow each other at `step_ns`, within a batch and from one to the next."""
    samples = [sample for batch in batches for sample in batch.samples]
    for before, after in pairwise(samples):
        assert abs(after.dts_ns - before.dts_ns - step_ns) <= step_ns // 10
        assert before.duration_ns == after.dts_ns - before.dts_ns
    for before_batch, after_batch in pairwise(batches):
        assert abs(before_batch.end_ns - after_batch.start_ns) <= step_ns // 10
    for batch in batches:
        assert [sample.key for sample in batch.samples] == [True] + [False] * (len(batch.samples) - 1)
        assert len(batch.data) == sum(sample.size for sample in batch.samples)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize(("codec", "b_frames"), [("libx264", 0), ("libx264", 2), ("libx265", 2)])
async def test_a_copied_file_runs_on_over_its_end_without_a_missing_frame(
    tmp_path: Path, codec: str, b_frames: int, suffix: str
) -> None:
    """Invariant 4, from the first frame over two loops: numbers, times and groups of pictures are all there."""
    clip = tmp_path / f"clip.{suffix}"
    numbered_clip(clip, 40, rate=RATE, gop_s=0.1, b_frames=b_frames, codec=codec)
    listener = Listener()
    began_ns = time.monotonic_ns()
    await listener.run(camera(f"file:{clip}?loop=1"), 5)
    took_ns = time.monotonic_ns() - began_ns
    batches = listener.batches()[:5]
    assert [len(batch.samples) for batch in batches] == [20] * 5
    assert numbers(batches) == [n % 40 for n in range(100)]
    check_times(batches, STEP)
    assert listener.gaps() == []
    assert NS // 2 <= took_ns < 3 * NS  # played in real time
    assert began_ns <= batches[0].start_ns <= began_ns + took_ns - NS // 2
    assert len(listener.ups()) == 1
    assert listener.ups()[0].track is batches[0].track


@pytest.mark.parametrize(("codec", "suffix"), [("mjpeg", "avi"), ("rawvideo", "avi"), ("ffv1", "mkv")])
async def test_an_encoded_file_runs_on_over_its_end_without_a_missing_frame(
    tmp_path: Path, codec: str, suffix: str
) -> None:
    """Invariant 4, through decoding, conversion (MJPEG is full range) and a lossy encode."""
    clip = tmp_path / f"clip.{suffix}"
    numbered_clip(clip, 40, rate=RATE, codec=codec)
    listener = Listener()
    await listener.run(camera(f"file:{clip}?loop=1", encoder="libx264"), 5)
    batches = listener.batches()[:5]
    assert numbers(batches) == [n % 40 for n in range(100)]
    check_times(batches, STEP)
    assert [len(batch.samples) for batch in batches] == [20] * 5
    assert batches[0].track.encoder == "libx264"


@pytest.mark.parametrize(
    ("suffix", "codec", "b_frames", "encoder"),
    [("h264", "libx264", 0, "copy"), ("h264", "libx264", 2, "libx264"), ("hevc", "libx265", 2, "libx264")],
)
async def test_a_file_without_times_is_played_at_its_nominal_rate(
    tmp_path: Path, suffix: str, codec: str, b_frames: int, encoder: str
) -> None:
    """Invariant 4: a raw stream of a second and a half takes as long, and its frames lie as far apart as it says."""
    clip = tmp_path / f"clip.{suffix}"
    numbered_clip(clip, 45, rate=30, gop_s=0.5, codec=codec, b_frames=b_frames)
    listener = Listener()
    began_ns = time.monotonic_ns()
    with pytest.raises(SourceEnded):
        await camera(f"file:{clip}", encoder=encoder, keyframe_s=0.5).run(listener.send)
    assert time.monotonic_ns() - began_ns > 1.2 * NS
    assert numbers(listener.batches()) == list(range(45))
    check_times(listener.batches(), NS // 30)
    assert listener.gaps() == []


async def test_reordered_frames_without_times_are_not_copied(tmp_path: Path) -> None:
    clip = tmp_path / "clip.h264"
    numbered_clip(clip, 30, rate=30, b_frames=2)
    with pytest.raises(SourceRefused, match=r'^video\.encoder: "copy" needs times where frames are shown in another'):
        await camera(f"file:{clip}").run(lambda _: None)


async def test_a_graph_is_encoded_with_key_frames_by_time() -> None:
    listener = Listener()
    await listener.run(camera("lavfi:testsrc2=size=64x48:rate=50", encoder="auto", keyframe_s=0.3), 3)
    batches = listener.batches()
    assert [len(batch.samples) for batch in batches[:3]] == [15] * 3
    check_times(batches, NS // 50)
    assert batches[0].track.encoder == "libx264"
    assert batches[0].track.timescale == 90_000
    assert (batches[0].track.width, batches[0].track.height, batches[0].track.rate) == (64, 48, 50.0)


async def test_what_is_in_the_making_is_delivered_or_wiped_as_asked(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, 200, rate=RATE, gop_s=0.5)  # a group of a hundred frames
    for flush in (True, False):
        listener = Listener()
        source = camera(f"file:{clip}", audio="")
        source.flush_on_cancel(flush)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(source.run, listener.send)
            await listener.wait_batches(1)
            await trio.sleep(0.25)  # the device is read meanwhile
            nursery.cancel_scope.cancel()
        found = numbers(listener.batches())
        assert found == list(range(len(found)))
        assert len(found) > 110 if flush else len(found) == 100


async def test_an_encoded_group_is_delivered_with_its_last_frame(tmp_path: Path) -> None:
    """The encoder holds no frame back."""
    clip = tmp_path / "clip.avi"
    numbered_clip(clip, 45, rate=RATE, codec="mjpeg")
    listener = Listener()
    with pytest.raises(SourceEnded):
        await camera(f"file:{clip}", encoder="libx264", keyframe_s=0.1).run(listener.send)
    assert [len(batch.samples) for batch in listener.batches()] == [20, 20, 5]
    assert numbers(listener.batches()) == list(range(45))


async def test_a_file_with_b_frames_ends_with_its_last_frame(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, 50, rate=RATE, gop_s=0.1, b_frames=2)
    listener = Listener()
    with pytest.raises(SourceEnded) as ended:
        await camera(f"file:{clip}").run(listener.send)
    assert str(clip) in str(ended.value)
    assert numbers(listener.batches()) == list(range(50))


async def test_a_file_is_both_camera_and_microphone(tmp_path: Path) -> None:
    """Both tracks lie on one time line: each runs through the same seconds, without a hole, over the loop."""
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, 100, rate=RATE, gop_s=0.1, audio=True)
    gate = AudioGate()
    gate.open(0)
    listener = Listener()
    await listener.run(camera(f"file:{clip}?loop=1", audio="video", gate=gate), 8, flush=True)
    assert {up.device for up in listener.ups()} == {"camera", "microphone"}
    sound = [sample for batch in listener.batches("audio") for sample in batch.samples]
    for before, after in pairwise(sound):
        assert abs(after.dts_ns - before.dts_ns - 1024 * NS // 48_000) <= 1
    video = listener.batches()
    assert abs(sound[0].pts_ns - video[0].start_ns) < 30_000_000
    assert abs(sound[-1].pts_ns - video[-1].end_ns) < 300_000_000
    assert listener.batches("audio")[0].track.encoder == "copy"
    assert all(frame.samples for _, frame in decode_sound(listener.batches("audio")))
    assert listener.gaps() == []


@pytest.mark.parametrize("encoder", ["copy", "libx264"])
@pytest.mark.parametrize("off_s", [-100, 100])
async def test_a_file_whose_sound_lies_far_off_is_played_at_its_pace(tmp_path: Path, off_s: int, encoder: str) -> None:
    plain, clip = tmp_path / "plain.mkv", tmp_path / "clip.mkv"
    numbered_clip(plain, 100, rate=RATE, gop_s=0.1, audio=True)
    with av.open(str(plain)) as source, av.open(str(clip), "w", options={"max_interleave_delta": "1000"}) as target:
        tracks = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.size and packet.dts is not None and packet.pts is not None:
                base = packet.time_base
                shift = round((200 + (off_s if packet.stream.type == "audio" else 0)) / base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = tracks[packet.stream.index]
                target.mux_one(packet)
    gate = AudioGate()
    gate.open(0)
    listener = Listener()
    began_ns = time.monotonic_ns()
    await listener.run(camera(f"file:{clip}?loop=1", encoder=encoder, audio="video", gate=gate), 12, flush=True)
    assert time.monotonic_ns() - began_ns > 1.1 * NS
    batches = listener.batches()[:12]
    assert numbers(batches) == [n % 100 for n in range(240)]
    assert batches[-1].end_ns - batches[0].start_ns == pytest.approx(240 * STEP, abs=STEP)
    assert listener.gaps() == []


async def test_a_microphone_is_encoded_and_comes_in_batches() -> None:
    gate = AudioGate()
    gate.open(0)
    config = Config(audio=Audio(source="lavfi:sine=frequency=1000:sample_rate=44100", channels=1))
    source = open_microphone(config, SystemClock(), gate)
    assert source is not None
    listener = Listener()
    await listener.run(source, 4, "audio")
    batches = listener.batches("audio")
    assert all(batch.end_ns - batch.start_ns >= NS // 4 for batch in batches)
    assert (batches[0].track.rate, batches[0].track.timescale, batches[0].track.channels) == (48_000, 48_000, 1)
    frames = [frame for _, frame in decode_sound(batches)][4:]
    assert sum(frame.samples for frame in frames) > 30_000


async def test_a_closed_gate_lets_no_sound_leave_the_thread() -> None:
    """Pre-event sound is off by default: nothing crosses until the gate opens, and then from the press on."""
    gate = AudioGate()
    config = Config(audio=Audio(source="lavfi:sine=frequency=1000:sample_rate=48000"))
    source = open_microphone(config, SystemClock(), gate)
    assert source is not None
    listener = Listener()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(source.run, listener.send)
        await trio.sleep(0.5)
        assert listener.batches("audio") == []
        press_ns = time.monotonic_ns() - 50_000_000  # the hand moved a moment before it was noticed
        gate.open(press_ns)
        with trio.fail_after(5):
            await listener.wait_batches(2, "audio")
        gate.close()
        count = len(listener.batches("audio"))
        await trio.sleep(0.3)
        late = listener.batches("audio")[count:]
        nursery.cancel_scope.cancel()
    first = listener.batches("audio")[0].start_ns
    assert press_ns <= first < press_ns + 25_000_000
    assert len(late) <= 1  # what had been let through before it closed
    assert all(batch.end_ns - batch.start_ns <= NS // 3 for batch in late)


@pytest.mark.parametrize(
    ("source", "encoder", "said"),
    [
        ("file:/nowhere/clip.mp4", "copy", "video.source: /nowhere/clip.mp4: no such file"),
        ("lavfi:nosuchfilter", "auto", "video.source: lavfi:nosuchfilter: libav takes no such graph"),
        ("lavfi:testsrc2=size=64x48", "nosuchencoder", "video.encoder: nosuchencoder"),
        ("lavfi:testsrc2=size=64x48", "copy", "video.encoder: "),
        ("lavfi:sine=frequency=440", "auto", "video.source: lavfi:sine=frequency=440 has no video"),
        ("file:{text}", "copy", "video.source: "),
    ],
)
async def test_what_can_not_work_is_refused_in_one_line(tmp_path: Path, source: str, encoder: str, said: str) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("not a film\n")
    with pytest.raises(SourceRefused) as refused:
        await camera(source.format(text=text), encoder=encoder).run(lambda _: None)
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)


async def test_a_file_without_sound_is_refused_where_its_sound_is_wanted(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, 10, rate=RATE)
    with pytest.raises(SourceRefused, match=r"^audio\.source: .* has no audio$"):
        await camera(f"file:{clip}", audio="video").run(lambda _: None)


async def test_another_camera_that_has_no_sound(tmp_path: Path) -> None:
    """Plugged in instead of one that had: its pictures are taken, and the sound's absence is told, once an opening."""
    with_sound, mute = tmp_path / "sound.mp4", tmp_path / "mute.mp4"
    numbered_clip(with_sound, 100, rate=RATE, gop_s=0.1, audio=True)
    numbered_clip(mute, 100, rate=RATE, gop_s=0.1)
    roster = EncoderChoice()
    first, second = Listener(), Listener()
    await first.run(camera(f"file:{with_sound}?loop=1", audio="video", roster=roster), 3)
    await second.run(camera(f"file:{mute}?loop=1", audio="video", roster=roster), 8)  # the file begins again meanwhile
    assert not [event for event in first.events if isinstance(event, SourceDown)]
    assert [up.device for up in second.ups()] == ["camera"]
    (down,) = [event for event in second.events if isinstance(event, SourceDown)]
    assert (down.device, down.reason, down.asked) == ("microphone", f"file:{mute}?loop=1 has no audio", False)


async def test_nothing_is_printed(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Invariant 1: libav, the encoders and libasound keep quiet, whatever happens."""
    clip = tmp_path / "clip.avi"
    numbered_clip(clip, 20, rate=RATE, codec="mjpeg")
    damaged = bytearray(clip.read_bytes())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 300] = bytes(300)
    clip.write_bytes(damaged)
    with pytest.raises(SourceEnded):
        await camera(f"file:{clip}", encoder="libx264").run(lambda _: None)
    microphone = open_microphone(Config(audio=Audio(source="alsa:nosuchcard")), SystemClock(), AudioGate())
    assert microphone is not None
    with pytest.raises(Exception, match="nosuchcard"):
        await microphone.run(lambda _: None)
    assert capfd.readouterr() == ("", "")


async def test_the_stamp_is_burnt_into_encoded_pictures(tmp_path: Path) -> None:
    clip = tmp_path / "clip.avi"
    numbered_clip(clip, 30, rate=RATE, codec="mjpeg", width=320, height=240)
    config = Config(
        device=Device(id="BWV-7"), video=Video(source=f"file:{clip}", encoder="libx264", keyframe_s=0.1, stamp=True)
    )
    listener = Listener()
    with pytest.raises(SourceEnded):
        await open_camera(config, SystemClock(), AudioGate()).run(listener.send)
    frames = decode_video(listener.batches())
    assert numbers(listener.batches()) == list(range(30))
    for _, frame in frames:
        plane = frame.planes[0]
        row = bytes(plane)[plane.line_size * 6 : plane.line_size * 6 + 150]
        assert min(row) < 60 < 180 < max(row)


async def test_no_thread_is_left_behind(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, 100, rate=RATE, gop_s=0.1)
    listener = Listener()
    working = []

    def look(event: MediaEvent) -> None:
        working.append([thread.name for thread in threading.enumerate() if thread.name.startswith(THREAD_NAME)])
        listener.send(event)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(camera(f"file:{clip}?loop=1").run, look)
        await listener.wait_batches(2)
        nursery.cancel_scope.cancel()
    assert all(len(names) == 1 for names in working)
    # trio keeps idle workers for a while, under another name
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith(THREAD_NAME)] == []


def _threads_of_libav() -> list[str]:
    """What libav has started inside a capture thread is called as that was."""
    comms = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [comm for comm in comms if comm.startswith(THREAD_NAME)]


async def test_what_was_open_is_gone_before_the_collector_looks() -> None:
    """Encoders and graphs have threads and buffers of their own; the source lives on in whatever has asked for it."""
    config = Config(audio=Audio(source="lavfi:anoisesrc=amplitude=0.1:sample_rate=48000", pre_event=True))
    gate = AudioGate()
    gate.open(0)
    sources, seen = [], []
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            source = open_microphone(config, SystemClock(), gate)
            assert source is not None
            sources.append(source)
            listener = Listener()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(source.run, listener.send)
                await listener.wait_batches(2, "audio")
                seen.append(len(_threads_of_libav()))
                nursery.cancel_scope.cancel()
        assert max(seen) == seen[0] > 1
        assert _threads_of_libav() == []
    finally:
        gc.enable()


async def test_events_come_in_the_order_of_the_stream(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, 60, rate=RATE, gop_s=0.1)
    events: list[MediaEvent] = []
    with pytest.raises(SourceEnded):
        await camera(f"file:{clip}").run(events.append)
    assert [type(event).__name__ for event in events] == ["SourceUp", "Batch", "Batch", "Batch"]


async def test_a_picture_of_odd_size_is_encoded(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mkv"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("ffv1", rate=50)
        stream.width, stream.height, stream.pix_fmt = 65, 49, "yuv444p"
        for _ in range(20):
            container.mux(stream.encode(av.VideoFrame(65, 49, "yuv444p")))
        container.mux(stream.encode(None))
    listener = Listener()
    with pytest.raises(SourceEnded):
        await camera(f"file:{clip}", encoder="libx264").run(listener.send)
    assert {(frame.width, frame.height) for _, frame in decode_video(listener.batches())} == {(64, 48)}


@pytest.mark.parametrize("kind", ["sound", "video"])
def test_a_closed_encoder_leaves_nothing_to_the_collector(kind: str) -> None:
    """It is made anew at each press with sound, each loss and each opening: 40 KB would wait each time."""

    def containers() -> int:
        return sum(isinstance(one, OutputContainer) for one in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = containers()
        for _ in range(3):
            if kind == "sound":
                AudioEncoder(Audio(), "x").close()
            else:
                VideoEncoder("libx264", Video(), 64, 48, Fraction(25), "x", 0).close()
        assert containers() == before
    finally:
        gc.enable()
