"""Camera and microphone unplugged in a recording, and others plugged in: it goes on, and the loop turns again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
import trio
import trio.testing

from bwvd.capture.device.libav_source import open_camera
from bwvd.capture.source import AudioGate, DeviceLost, MediaSource
from bwvd.clock import NS, SystemClock
from bwvd.config.schema import Config
from bwvd.evidence.export.catalogue import signed_records
from bwvd.evidence.flash.posix import PosixStorage
from bwvd.evidence.format import records
from bwvd.evidence.startup.admission import open_storage
from bwvd.messages import MediaEvent
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clip import numbered_clip
from bwvd.testing.clock import VirtualClock
from bwvd.testing.microphone import VirtualMicrophone
from tests.support.desk import export_mp4, verify_recording
from tests.support.rig import Rig, configuration

RATE = 10
T = TypeVar("T", bound=records.Record)


def of(manifest: list[records.Record], kind: type[T]) -> list[T]:
    return [record for record in manifest if isinstance(record, kind)]


def virtual(*, has_microphone: bool = False) -> Rig:
    clock = VirtualClock()
    config = configuration(loop={"seconds": 5}, recording={"post_roll_s": 1})
    camera = VirtualCamera(clock, rate=RATE, gop_frames=RATE)
    return Rig(config=config, clock=clock, camera=camera, has_microphone=has_microphone)


@pytest.mark.parametrize(
    ("change", "shape"),
    [
        ({"width": 96, "height": 64}, (96, 64, 10.0)),
        ({"rate": 25, "gop_frames": 25}, (64, 48, 25.0)),
        ({"width": 32, "height": 32, "rate": 5, "gop_frames": 5}, (32, 32, 5.0)),
        ({"b_frames": 2}, (64, 48, 10.0)),
    ],
)
async def test_another_camera_goes_on_in_the_same_recording(
    autojump_clock: trio.testing.MockClock, change: dict[str, int], shape: tuple[int, int, float]
) -> None:
    """Invariant 4: a gap record, an init segment of its own, every frame of either; and then a loop of the new one."""
    rig = virtual()
    camera = rig.camera
    assert camera is not None
    async with rig.running() as daemon:
        await trio.sleep(7)
        await rig.press()
        await trio.sleep(3.35)
        camera.unplug()
        camera.change(**change)
        await trio.sleep(4)
        assert "camera" in daemon.hub.faults
        camera.plug()
        await trio.sleep(10)
        assert daemon.hub.faults == {}
        await rig.stop()
        await rig.closed()
        await trio.sleep(7)
        await rig.press()
        await trio.sleep(2)
    first, second = rig.recordings()
    manifest = rig.manifest(first)
    (gap,) = of(manifest, records.Gap)
    assert (gap.track, gap.cause) == ("video", "virtual:camera: No such device")
    (init,) = of(manifest, records.Init)
    assert (init.epoch, init.reason) == (2, "parameters")
    (track,) = init.tracks
    assert (track.width, track.height, track.rate) == shape
    before, after = (rig.frames(first, epoch) for epoch in (1, 2))
    numbers = [number for number, _ in before + after]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "what was taken is there"
    assert before[-1][1] <= gap.from_ns / NS <= gap.to_ns / NS <= after[0][1] + 1e-6
    opening = of(rig.manifest(second), records.Open)[0]
    assert opening.pre_event.got_s >= 5, "the loop turns again"
    assert (opening.tracks[0].width, opening.tracks[0].rate) == (shape[0], shape[2])
    assert of(rig.manifest(second), records.Init) == []


@pytest.mark.parametrize(("rate", "channels"), [(44_100, 1), (48_000, 2), (16_000, 2)])
async def test_another_microphone_goes_on_in_the_same_recording(
    autojump_clock: trio.testing.MockClock, rate: int, channels: int
) -> None:
    """Invariant 4: no frame of the camera's is lost by it, and the sound of the new one has an epoch of its own."""
    rig = virtual(has_microphone=True)
    async with rig.running() as daemon:
        await trio.sleep(8)
        await rig.press()
        await trio.sleep(3)
        old = rig.microphone
        assert old is not None
        old.unplug()
        await trio.sleep(2)
        assert "audio" in daemon.hub.faults
        rig.microphone = VirtualMicrophone(rig.clock, old.gate, rate=rate, channels=channels)
        await trio.sleep(8)
        assert daemon.hub.faults == {}
    (recording,) = rig.recordings()
    manifest = rig.manifest(recording)
    assert [record.on for record in of(manifest, records.Audio)] == [False, True, False, True]
    inits = of(manifest, records.Init)
    assert [init.reason for init in inits] == ["microphone"]
    sound = next(track for track in inits[-1].tracks if track.kind == "audio")
    assert (sound.rate, sound.channels, sound.timescale) == (rate, channels, rate)
    numbers = [number for epoch in (1, 2) for number, _ in rig.frames(recording, epoch)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    with_sound = [segment for segment in of(manifest, records.Segment) if segment.epoch == 2 and segment.audio_frames]
    heard = sum(segment.audio_frames - segment.silent_frames for segment in with_sound)
    assert heard / (rate / 1024) > 5, "seconds of the new one's sound"


# --- real adapters ---------------------------------------------------------------------------------------------------


class Plug:
    """A real camera (libav, on its thread) whose cable is pulled after some seconds."""

    def __init__(self, source: MediaSource, seconds: float) -> None:
        self._source = source
        self._seconds = seconds

    def flush_on_cancel(self, flush: bool) -> None:
        self._source.flush_on_cancel(flush)

    async def run(self, send: Callable[[MediaEvent], None]) -> None:
        self._source.flush_on_cancel(True)
        with trio.move_on_after(self._seconds):
            await self._source.run(send)
        raise DeviceLost("camera: No such device")


@pytest.mark.slow
@pytest.mark.parametrize("copied", [True, False])
async def test_a_camera_of_another_codec_size_and_rate_in_real_time(tmp_path: Path, copied: bool) -> None:
    """Copied H.264 at 30/s, then copied HEVC at 15/s; and the same pictures encoded by us. It verifies and exports."""
    clips = [tmp_path / "first.mp4", tmp_path / "second.mp4"]
    numbered_clip(clips[0], 300, rate=30, gop_s=0.4)
    numbered_clip(clips[1], 300, rate=15, gop_s=0.4, codec="libx265", width=96, height=64)
    (tmp_path / "evidence").mkdir()
    video: dict[str, object] = {"keyframe_s": 0.4, "encoder": "copy" if copied else "libx264"}
    configs = [
        configuration(
            video={**video, "source": f"file:{clip}"},
            loop={"seconds": 2},
            recording={"post_roll_s": 0, "segment_s": 0.4},
            storage={"path": str(tmp_path / "evidence"), "reserve_bytes": 1 << 20},
        )
        for clip in clips
    ]
    clock, volume = SystemClock(), open_storage(configs[0].storage.path, device=configs[0].device.id)
    rig = Rig(config=configs[0], clock=clock, volume=volume, storage=PosixStorage(volume))
    openings: list[Config] = []

    def opened(gate: AudioGate) -> MediaSource:
        config = configs[min(len(openings), 1)]
        openings.append(config)
        source = open_camera(config, clock, gate)
        return Plug(source, 4) if config is configs[0] else source

    rig.open_camera = opened
    with trio.fail_after(60):
        async with rig.running() as daemon:
            await rig.wait_for(lambda: daemon.recorder.loop.held_ns > 1.9 * NS)
            await rig.press()
            await rig.wait_for(lambda: len(openings) > 1 and daemon.recorder.video is not None)
            await trio.sleep(2)
            assert daemon.hub.faults == {}
            await rig.stop()
            await rig.closed()
    volume.close()
    (folder,) = (tmp_path / "evidence" / "recordings").iterdir()
    report = verify_recording(folder, decode=True)
    assert report.verdict == "authentic", report.findings
    manifest = list(signed_records(folder))
    (init,) = [record for record in manifest if isinstance(record, records.Init)]
    track = init.tracks[0]
    codec = "hevc" if copied else "h264"
    assert (track.codec, track.width, track.height, track.rate) == (codec, 96, 64, 15.0)
    (gap,) = [record for record in manifest if isinstance(record, records.Gap)]
    assert gap.cause == "camera: No such device"
    exported = export_mp4(folder, tmp_path / "out.mp4")
    assert sum(file.frames for file in exported.files) == report.frames


@pytest.mark.parametrize("has_microphone", [False, True])
async def test_an_absence_that_lasts_is_named_before_it_is_over(
    autojump_clock: trio.testing.MockClock, has_microphone: bool
) -> None:
    """Invariant 4: the power may go while the camera is away; what is on the flash then says what is missing."""
    rig = virtual(has_microphone=has_microphone)
    camera = rig.camera
    assert camera is not None
    async with rig.running():
        await trio.sleep(6)
        answer = await rig.press()
        await trio.sleep(5)
        camera.unplug()
        await trio.sleep(200)
        (recording,) = rig.recordings()
        assert answer.recording == recording
        now_ns = rig.clock.monotonic_ns()
        on_flash = rig.signed(recording)
        origin_ns = of(on_flash, records.Open)[0].origin_mono_ns
        last_ns = max(one.pts_ns + one.duration_ns for one in of(on_flash, records.Segment) if one.frames)
        named = [(one.from_ns, one.to_ns) for one in of(on_flash, records.Gap) if one.track == "video"]
        _follow(named, last_ns)
        assert now_ns - origin_ns - named[-1][1] < 32 * NS
        camera.plug()
        await trio.sleep(10)
        await rig.stop()
        await rig.closed()
    gaps = [one for one in of(rig.manifest(recording), records.Gap) if one.track == "video"]
    _follow([(one.from_ns, one.to_ns) for one in gaps], last_ns)
    span_ns = gaps[-1].to_ns - gaps[0].from_ns
    assert span_ns > 200 * NS
    assert abs(sum(one.frames for one in gaps) - span_ns / NS * RATE) <= len(gaps)


def _follow(spans: list[tuple[int, int]], begin_ns: int) -> None:
    """Each begins where the one before it ends."""
    assert len(spans) >= 5
    for from_ns, to_ns in spans:
        assert abs(from_ns - begin_ns) < NS // RATE
        begin_ns = to_ns
