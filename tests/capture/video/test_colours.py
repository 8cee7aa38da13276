"""Colours as a camera gave them: what is encoded says its range and matrix, and patches come out as they went in."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from bwvd.capture.device.libav_source import open_camera
from bwvd.capture.source import AudioGate, SourceEnded
from bwvd.capture.video import jpeg
from bwvd.capture.video.colours import JFIF, SMPTE170M, Colours
from bwvd.capture.video.encoder_choice import EncoderCall, EncoderChoice
from bwvd.capture.video.encoder_failover import FailoverEncoder
from bwvd.capture.video.frame_loss import Losses
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


def test_a_frame_of_rgb_becomes_bt601() -> None:
    assert Colours.of(patches()).matrix == SMPTE170M


@pytest.mark.parametrize(("name", "full"), [("libx264", True), ("h264_v4l2m2m", False)])
def test_an_encoder_that_may_not_say_so_gets_limited_range(name: str, full: bool) -> None:
    """And so does the one that takes its place: a recording doesn't change its range within."""
    choice = EncoderChoice(faulty({"h264_v4l2m2m": EncoderFaults()}), lambda *_: name != "libx264")
    losses = Losses(NS // 30, live=True)
    encoder = FailoverEncoder(Video(), "camera", Fraction(30), losses, choice, EncoderCall())
    encoder.begin(64, 48, 0, JFIF)
    assert encoder.full_range is full
    encoder.close()
