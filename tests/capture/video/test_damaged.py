"""Pictures of a camera that can't be decoded: counted, named, and none put in their place."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from av.video.stream import VideoStream

from bwvd.capture.device.libav_source import open_camera
from bwvd.capture.source import AudioGate, SourceEnded
from bwvd.clock import NS, SystemClock
from bwvd.config.schema import Config, Video
from bwvd.testing.clip import numbered_clip
from tests.support.capture_listen import Listener, numbers

RATE = 30
DAMAGED = (20, 21, 35)


def damage(whole: Path, path: Path) -> None:
    """Copy a film; some of its packets lose all that they hold."""
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copied = target.add_stream_from_template(stream)
        assert isinstance(copied, VideoStream)
        for index, packet in enumerate(packet for packet in source.demux(stream) if packet.size):
            kept = av.Packet(bytes(packet.size) if index in DAMAGED else bytes(packet))
            kept.pts, kept.dts, kept.time_base = packet.pts, packet.dts, packet.time_base
            kept.stream = copied
            target.mux(kept)


async def test_pictures_that_can_not_be_decoded_are_named(tmp_path: Path) -> None:
    """Invariant 4: what the camera sent and nobody can see is in a gap, with its number of frames."""
    whole, path = tmp_path / "whole.avi", tmp_path / "damaged.avi"
    numbered_clip(whole, 60, rate=RATE, codec="mjpeg")
    damage(whole, path)
    config = Config(video=Video(source=f"file:{path}", encoder="libx264", keyframe_s=0.5, stamp=False))
    listener = Listener()
    with pytest.raises(SourceEnded):
        await open_camera(config, SystemClock(), AudioGate()).run(listener.send)
    assert numbers(listener.batches()) == [number for number in range(60) if number not in DAMAGED]
    gaps = [gap for gap in listener.gaps() if gap.cause == "corrupt"]
    assert [gap.frames for gap in gaps] == [2, 1]
    begin_ns = listener.batches()[0].start_ns
    for gap, first in zip(gaps, (20, 35), strict=True):
        assert gap.from_ns - begin_ns == pytest.approx(first * NS / RATE, abs=NS / RATE / 2)
