"""A track says whether its pictures carry a stamp: an export adds what they don't show, and nothing that they do."""

from __future__ import annotations

from pathlib import Path

import pytest

from bwvd.capture.device.libav_source import open_camera
from bwvd.capture.source import AudioGate
from bwvd.clock import SystemClock
from bwvd.config.schema import Config, Video
from bwvd.testing.clip import numbered_clip
from tests.support.capture_listen import Listener


async def is_stamped(video: Video) -> bool:
    listener = Listener()
    await listener.run(open_camera(Config(video=video), SystemClock(), AudioGate()), 1)
    return listener.batches()[0].track.stamped


@pytest.mark.parametrize(
    ("size", "stamp", "expected"),
    [("640x480", True, True), ("640x480", False, False), ("64x48", True, False)],
    ids=["asked for", "switched off", "too small for one"],
)
async def test_encoded_pictures(size: str, stamp: bool, expected: bool) -> None:
    source = f"lavfi:testsrc2=size={size}:rate=30"
    video = Video(source=source, encoder="libx264", size=size, keyframe_s=0.1, stamp=stamp)
    assert await is_stamped(video) is expected


async def test_copied_pictures_never_are(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, 40, rate=100, gop_s=0.1)
    assert await is_stamped(Video(source=f"file:{clip}?loop=1", encoder="copy", keyframe_s=0.1, stamp=True)) is False
