"""Colours as a camera gave them: what is encoded says its range and matrix, and patches come out as they went in."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from bwvd.capture.device.libav_source import open_camera
from bwvd.capture.source import AudioGate, SourceEnded
from bwvd.capture.video import jpeg
from bwvd.capture.video.colours import BT709, JFIF, OF_CAMERAS, SMPTE170M, SRGB, Colours
from bwvd.capture.video.encoder_choice import EncoderCall, EncoderChoice
from bwvd.capture.video.encoder_failover import FailoverEncoder
from bwvd.capture.video.frame_loss import Losses
from bwvd.capture.video.presentation import Presentation
from bwvd.clock import NS, SystemClock
from bwvd.config.schema import Config, Video
from bwvd.testing.encoder import EncoderFaults, faulty
from tests.support.capture_listen import Listener, decode_video
from tests.support.jpegs import PATCHES, mjpeg_clip, needs_turbojpeg, patch_colours, patches

WIDTH, HEIGHT = 256, 96


async def recorded(source: str, encoder: str = "libx264") -> Listener:
    video = Video(source=source, encoder=encoder, keyframe_s=0.1, stamp=False, bitrate=8_000_000)
    listener = Listener()
    with pytest.raises(SourceEnded):
        await open_camera(Config(video=video), SystemClock(), AudioGate()).run(listener.send)
    return listener


@pytest.mark.parametrize("by", ["libjpeg-turbo", "libav"])
@pytest.mark.parametrize("sampling", ["yuvj420p", "yuvj422p", "yuvj444p"])
async def test_patches_of_a_jpeg_camera(
    tmp_path: Path, sampling: str, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JFIF's full range and BT.601: both are said in the parameter sets, and every patch is within 6 of 255."""
    if by == "libav":
        monkeypatch.setattr(jpeg, "is_there", lambda: False)
    else:
        needs_turbojpeg()
    path = tmp_path / "patches.avi"
    mjpeg_clip(path, [patches(WIDTH, HEIGHT)] * 12, sampling)
    frames = [frame for _, frame in decode_video((await recorded(f"file:{path}")).batches())]
    assert len(frames) == 12
    assert {(int(frame.color_range), int(frame.colorspace)) for frame in frames} == {(2, JFIF.matrix)}
    for found, expected in zip(patch_colours(frames[-1]), PATCHES, strict=True):
        assert found == pytest.approx(expected, abs=6)


def test_a_frame_of_rgb_becomes_bt601_of_srgb() -> None:
    assert Colours.of(patches()) == Colours(False, SMPTE170M, BT709, SRGB)


def test_what_a_camera_says_nothing_of_is_what_the_standard_of_cameras_says() -> None:
    """Raw frames of a webcam: BT.601's matrix. Of a file that says nothing nobody knows, and nothing is said."""
    frame = av.VideoFrame(64, 48, "yuyv422")
    assert Colours.of(frame, camera=OF_CAMERAS) == Colours(False, SMPTE170M, BT709, SRGB)
    assert Colours.of(frame) == Colours()


@pytest.mark.parametrize(("matrix", "rest"), [(1, (1, 1)), (5, (5, 6)), (6, (6, 6)), (9, (9, 14)), (2, (2, 2))])
def test_a_matrix_is_completed_by_its_standard(matrix: int, rest: tuple[int, int]) -> None:
    """Chromium goes by the size of the frames where primaries or transfer are not said."""
    frame = av.VideoFrame(64, 48, "yuv420p")
    frame.colorspace = matrix
    assert Colours.of(frame) == Colours(False, matrix, *rest)
    frame.color_primaries, frame.color_trc = 9, 16
    assert Colours.of(frame) == Colours(False, matrix, 9, 16), "what is said stays"


@pytest.mark.parametrize(("name", "full"), [("libx264", True), ("h264_v4l2m2m", False)])
def test_an_encoder_that_may_not_say_so_gets_limited_range(name: str, full: bool) -> None:
    """And so does the one that takes its place: a recording doesn't change its range within."""
    choice = EncoderChoice(faulty({"h264_v4l2m2m": EncoderFaults()}), lambda *_: name != "libx264")
    losses = Losses(NS // 30, live=True)
    encoder = FailoverEncoder(Video(), "camera", Fraction(30), losses, choice, EncoderCall())
    encoder.begin(64, 48, 0, Presentation(JFIF))
    assert encoder.full_range is full
    encoder.close()
