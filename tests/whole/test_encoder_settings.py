"""Real encoders at work in a whole daemon: HEVC from camera to player, settings that have effect, one too slow."""

from __future__ import annotations

import json
import subprocess
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path

import av
import pytest
import trio

from bwvd.capture.device.libav_source import open_camera
from bwvd.capture.source import AudioGate, SourceRefused
from bwvd.capture.video.encoder_load import LATEST_NS
from bwvd.capture.video.libav_encoder import VideoEncoder
from bwvd.clock import NS, SystemClock
from bwvd.config.schema import Config, Loop, Video
from bwvd.evidence.export.catalogue import signed_records
from bwvd.evidence.flash.posix import PosixStorage
from bwvd.evidence.format import records
from bwvd.evidence.startup.admission import open_storage
from bwvd.media.presets import PRESETS
from bwvd.media.samples import Batch
from bwvd.messages import MediaEvent, MediaGap, SourceUp
from bwvd.testing.clip import numbered_clip
from bwvd.testing.picture import frame_number
from tests.support.capture_listen import Listener
from tests.support.desk import export_mp4, verify_recording
from tests.support.rig import Rig, configuration
from tests.support.stock import need

RATE = 30


def stock(tool: str, *arguments: str) -> str:
    """Everything that a stock tool says; it must be content."""
    done = subprocess.run([need(tool), *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
async def test_hevc_from_the_camera_to_a_stock_player(tmp_path: Path) -> None:
    """Recorded, verified with every frame decoded, exported, and played by stock ffmpeg without a complaint."""
    clip = tmp_path / "clip.avi"
    numbered_clip(clip, 600, rate=RATE, codec="mjpeg")
    (tmp_path / "evidence").mkdir()
    config = configuration(
        video={"source": f"file:{clip}", "encoder": "libx265", "keyframe_s": 0.4, "stamp": False},
        loop={"seconds": 2},
        recording={"post_roll_s": 0, "segment_s": 0.4},
        storage={"path": str(tmp_path / "evidence"), "reserve_bytes": 1 << 20},
    )
    clock, volume = SystemClock(), open_storage(config.storage.path, device=config.device.id)
    rig = Rig(config=config, clock=clock, volume=volume, storage=PosixStorage(volume))
    rig.open_camera = partial(open_camera, config, clock)
    with trio.fail_after(90):
        async with rig.running() as daemon:
            await rig.wait_for(lambda: daemon.recorder.loop.held_ns > 1.9 * NS)
            await rig.press()
            await trio.sleep(2)
            assert daemon.status()["video"]["encoder"] == "libx265"
            await rig.stop()
            await rig.closed()
    volume.close()
    (folder,) = (tmp_path / "evidence" / "recordings").iterdir()
    report = verify_recording(folder, decode=True)
    assert report.verdict == "authentic", report.findings
    opening = next(iter(signed_records(folder)))
    assert isinstance(opening, records.Open)
    assert (opening.tracks[0].codec, opening.tracks[0].encoder) == ("hevc", "libx265")
    named = sum(record.frames for record in signed_records(folder) if isinstance(record, records.Gap))
    for played in (folder / "index.m3u8", Path(export_mp4(folder, tmp_path / "out.mp4").files[0].path)):
        with av.open(str(played), "r") as container:
            numbers = [frame_number(frame) for frame in container.decode(video=0)]
        assert len(numbers) == report.frames
        assert numbers[-1] - numbers[0] + 1 == len(numbers) + named
        assert stock("ffmpeg", "-v", "warning", "-i", str(played), "-f", "null", "-") == ""
    said = stock("ffprobe", "-v", "error", "-show_streams", "-of", "json", str(tmp_path / "out.mp4"))
    stream = json.loads(said)["streams"][0]
    assert (stream["codec_name"], stream["codec_tag_string"], stream["width"]) == ("hevc", "hvc1", 64)


# --- settings --------------------------------------------------------------------------------------------------------


def encoded(config: Video, frames: int = 90) -> list[Batch]:
    """A moving picture of 320x240."""
    encoder = VideoEncoder(config.encoder, config, 320, 240, Fraction(RATE), "test", 0)
    batches: list[Batch] = []
    with av.open("testsrc2=size=320x240:rate=30", format="lavfi") as source:
        for number, picture in zip(range(frames), source.decode(video=0), strict=False):
            batches += encoder.encode(picture, number * NS // RATE)
    batches += encoder.finish()
    encoder.close()
    return batches


def size(batches: list[Batch]) -> int:
    return sum(len(batch.data) for batch in batches)


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_the_bit_rate_has_effect(encoder: str) -> None:
    low, high = (size(encoded(Video(encoder=encoder, bitrate=rate))) for rate in (150_000, 900_000))
    assert high > 2.5 * low


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
@pytest.mark.parametrize(("keyframe_s", "frames"), [(0.5, 15), (1.0, 30), (2.0, 60)])
def test_the_time_between_key_frames_has_effect(encoder: str, keyframe_s: float, frames: int) -> None:
    batches = encoded(Video(encoder=encoder, keyframe_s=keyframe_s), 130)
    assert {len(batch.samples) for batch in batches[:-1]} == {frames}


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_the_preset_has_effect(encoder: str) -> None:
    """Other parameter sets, and the track says which preset it was."""
    found = {preset: encoded(Video(encoder=encoder, preset=preset), 20)[0].track for preset in ("", "fast", "slow")}
    assert len({track.init for track in found.values()}) == 3
    assert [track.preset for track in found.values()] == ["ultrafast", "fast", "slow"]


def test_an_encoder_without_presets_refuses_one() -> None:
    with pytest.raises(SourceRefused) as refused:
        VideoEncoder("ffv1", Video(encoder="ffv1", preset="p4"), 64, 48, Fraction(RATE), "test", 0)
    assert str(refused.value) == "video.preset: ffv1 has no preset"


# --- an encoder that is too slow -------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_preset_that_this_machine_can_not_manage_gives_way() -> None:
    """1080p at 60/s with "veryslow": far beyond any two cores; what is recorded keeps up all the same."""
    source = "lavfi:testsrc2=size=1920x1080:rate=60"
    config = Config(
        video=Video(source=source, encoder="libx264", preset="veryslow", keyframe_s=0.5), loop=Loop(seconds=5)
    )
    listener = Listener()
    clock = SystemClock()
    lags: list[tuple[str, int]] = []

    def send(event: MediaEvent) -> None:
        listener.send(event)
        if isinstance(event, Batch):
            lags.append((event.track.preset, clock.monotonic_ns() - event.end_ns))

    with trio.move_on_after(14):
        await open_camera(config, clock, AudioGate()).run(send)
    presets = [event.track.preset for event in listener.events if isinstance(event, SourceUp)]
    assert presets[0] == "veryslow"
    assert len(presets) > 1
    assert presets == sorted(presets, key=PRESETS.index, reverse=True), "ever faster, never back"
    # The first ones were too slow before anybody could know; then nothing lags further and further behind.
    assert all(lag < 2 * LATEST_NS for _, lag in lags[1:])
    slow = [event for event in listener.events if isinstance(event, MediaGap)]
    assert {gap.cause for gap in slow} <= {"encoder_slow"}
    batches = listener.batches()
    samples = [sample for batch in batches for sample in batch.samples]
    step = NS // 60
    for before, after in pairwise(samples):
        if after.pts_ns - before.pts_ns > 1.6 * step:
            assert any(gap.from_ns < after.pts_ns and gap.to_ns > before.pts_ns for gap in slow), "each hole is named"
