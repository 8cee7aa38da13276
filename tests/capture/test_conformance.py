"""Every media source does what `MediaSource` promises: the virtual devices, and libav on files and graphs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
import trio
import trio.testing

from bwvd.capture.device.libav_source import open_camera, open_microphone
from bwvd.capture.source import AudioGate, MediaSource
from bwvd.clock import SystemClock
from bwvd.config.schema import Audio, Config, Rpicam, Video
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clip import numbered_clip
from bwvd.testing.clock import VirtualClock
from bwvd.testing.conformance.source import SOUND_CHECKS, VIDEO_CHECKS, Check, Subject, it_says_that_it_has_ended
from bwvd.testing.microphone import VirtualMicrophone
from bwvd.testing.rpicam_vid import Board, script
from tests.support.capture_listen import Listener, numbers
from tests.support.program_camera import command

RATE = 120
GOP = 15

Make = Callable[[Path], Subject]


def _virtual_camera(_: Path, *, jitter_ns: int = 0, b_frames: int = 0) -> Subject:
    clock = VirtualClock()
    camera = VirtualCamera(clock, rate=RATE, gop_frames=GOP, jitter_ns=jitter_ns, b_frames=b_frames)
    return Subject(lambda: camera, clock, end=camera.end, unplug=camera.unplug, plug=camera.plug)


def _virtual_microphone(_: Path, *, drift_ppm: float = 0) -> Subject:
    clock, gate = VirtualClock(), AudioGate()
    microphone = VirtualMicrophone(clock, gate, drift_ppm=drift_ppm)
    plugs = {"end": microphone.end, "unplug": microphone.unplug, "plug": microphone.plug}
    return Subject(lambda: microphone, clock, "audio", gate, **plugs)


def _file(folder: Path, *, encoder: str, suffix: str, codec: str, loop: bool = True, b_frames: int = 0) -> Subject:
    clip = folder / f"clip.{suffix}"
    numbered_clip(clip, 45, rate=RATE, gop_s=GOP / RATE, codec=codec, b_frames=b_frames)
    video = Video(source=f"file:{clip}{'?loop=1' if loop else ''}", encoder=encoder, keyframe_s=GOP / RATE)
    return _libav(video)


def _libav(video: Video) -> Subject:
    clock, gate = SystemClock(), AudioGate()
    return Subject(lambda: open_camera(Config(video=video), clock, gate), clock, gate=gate)


def _graph(_: Path) -> Subject:
    return _libav(Video(source=f"lavfi:testsrc2=size=64x48:rate={RATE}", keyframe_s=GOP / RATE))


def _sound(_: Path) -> Subject:
    clock, gate = SystemClock(), AudioGate()
    config = Config(audio=Audio(source="lavfi:sine=frequency=300:sample_rate=48000"))

    def make() -> MediaSource:
        source = open_microphone(config, clock, gate)
        assert source is not None
        return source

    return Subject(make, clock, "audio", gate)


def _program(folder: Path, *, form: Literal["h264", "yuv4mpegpipe"], encoder: str) -> Subject:
    plug = folder / "plug"
    plug.touch()
    source = command(form, rate=RATE, gop=GOP, plug=plug)
    video = Video(source=source, format=form, encoder=encoder, rate=RATE, keyframe_s=GOP / RATE)
    return replace(_libav(video), unplug=plug.unlink, plug=plug.touch)


def _ribbon(folder: Path, *, platform: str, encoder: str) -> Subject:
    plug = folder / "plug"
    plug.touch()
    rpicam = Rpicam(program=script(folder, Board(platform, plug=str(plug))))
    video = Video(source="rpicam:0", encoder=encoder, size="64x48", rate=RATE, keyframe_s=GOP / RATE)
    clock, gate = SystemClock(), AudioGate()
    config = Config(video=video, rpicam=rpicam)
    return Subject(lambda: open_camera(config, clock, gate), clock, gate=gate, unplug=plug.unlink, plug=plug.touch)


COPIED = partial(_file, encoder="copy", suffix="mp4", codec="libx264")
ENCODED = partial(_file, encoder="libx264", suffix="avi", codec="mjpeg")
CAMERAS: dict[str, Make] = {
    "virtual": _virtual_camera,
    "virtual with jitter": partial(_virtual_camera, jitter_ns=2_000_000),
    "virtual that reorders": partial(_virtual_camera, jitter_ns=2_000_000, b_frames=2),
    "copied file": COPIED,
    "copied file that reorders": partial(COPIED, b_frames=2),
    "encoded file": ENCODED,
    "graph": _graph,
    "program, copied": partial(_program, form="h264", encoder="copy"),
    "ribbon camera, encoded by the board": partial(_ribbon, platform="vc4", encoder="copy"),
    "ribbon camera, encoded by its program": partial(_ribbon, platform="pisp", encoder="copy"),
    "ribbon camera, encoded here": partial(_ribbon, platform="pisp", encoder="libx264"),
    "program, encoded": partial(_program, form="yuv4mpegpipe", encoder="libx264"),
}
MICROPHONES: dict[str, Make] = {
    "virtual": _virtual_microphone,
    "virtual that drifts": partial(_virtual_microphone, drift_ppm=200),
    "graph": _sound,
}


def _run(check: Check, make: Make, folder: Path) -> None:
    """On the clock that suits the source."""

    async def main() -> None:
        await check(make(folder))

    virtual = getattr(make, "func", make) in (_virtual_camera, _virtual_microphone)
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0) if virtual else None)


@pytest.mark.parametrize("name", CAMERAS)
@pytest.mark.parametrize("check", VIDEO_CHECKS, ids=lambda check: check.__name__)
def test_camera(check: Check, name: str, tmp_path: Path) -> None:
    _run(check, CAMERAS[name], tmp_path)


@pytest.mark.parametrize("name", MICROPHONES)
@pytest.mark.parametrize("check", SOUND_CHECKS, ids=lambda check: check.__name__)
def test_microphone(check: Check, name: str, tmp_path: Path) -> None:
    _run(check, MICROPHONES[name], tmp_path)


@pytest.mark.parametrize("make", [COPIED, ENCODED], ids=["copied", "encoded"])
def test_a_file_ends(make: Callable[..., Subject], tmp_path: Path) -> None:
    _run(it_says_that_it_has_ended, lambda folder: replace(make(folder, loop=False), end=lambda: None), tmp_path)


@pytest.mark.parametrize("name", [name for name in CAMERAS if name != "graph"])
def test_the_frames_of_a_camera_come_in_order(name: str, tmp_path: Path) -> None:
    """Invariant 4: by the numbers in the decoded pictures."""

    async def check(subject: Subject) -> None:
        listener = Listener()
        await listener.run(subject.make(), 5)
        found = numbers(listener.batches())
        # Raw frames that a program wrote before it was listened to are left out: nobody saw when they came.
        first = found[0] if name == "program, encoded" else 0
        assert [number % 45 for number in found] == [number % 45 for number in range(first, first + len(found))]

    _run(check, CAMERAS[name], tmp_path)
