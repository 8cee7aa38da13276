"""Pictures of a camera that can't be decoded: counted, named, and none put in their place."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from pathlib import Path

import av
import pytest
from av.video.stream import VideoStream

from bwvd.capture.device.libav_source import open_camera
from bwvd.capture.source import AudioGate, SourceEnded
from bwvd.capture.video.transcode import EncodedVideo
from bwvd.clock import NS, SystemClock
from bwvd.config.schema import Config, Video
from bwvd.testing.clip import numbered_clip
from tests.support.capture_listen import Listener, numbers

RATE = 30
DAMAGED = (20, 21, 35)

Damage = Callable[[bytes], bytes]


def emptied(data: bytes) -> bytes:
    return bytes(len(data))


def cut_short(data: bytes) -> bytes:
    return data[: len(data) * 6 // 10]


def cut_short_and_ended(data: bytes) -> bytes:
    """As a camera's own RTP packets leave it behind: the end of the image is put behind what has come of it."""
    return data[: len(data) * 9 // 10] + b"\xff\xd9"


def zeroed_behind(data: bytes) -> bytes:
    return data[: len(data) * 7 // 10] + bytes(len(data) - len(data) * 7 // 10)


def damage(whole: Path, path: Path, which: Collection[int], how: Damage) -> None:
    """Copy a film; some of its packets are damaged."""
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copied = target.add_stream_from_template(stream)
        assert isinstance(copied, VideoStream)
        for index, packet in enumerate(packet for packet in source.demux(stream) if packet.size):
            kept = av.Packet(how(bytes(packet)) if index in which else bytes(packet))
            kept.pts, kept.dts, kept.time_base, kept.is_keyframe = (
                packet.pts, packet.dts, packet.time_base, packet.is_keyframe,
            )  # fmt: skip
            kept.stream = copied
            target.mux(kept)


async def encoded(path: Path) -> Listener:
    """What comes of a film that is decoded and encoded anew."""
    config = Config(video=Video(source=f"file:{path}", encoder="libx264", keyframe_s=0.5, stamp=False))
    listener = Listener()
    with pytest.raises(SourceEnded):
        await open_camera(config, SystemClock(), AudioGate()).run(listener.send)
    return listener


@pytest.mark.parametrize("how", [emptied, cut_short, cut_short_and_ended, zeroed_behind])
async def test_jpegs_that_can_not_be_read_whole_are_named(tmp_path: Path, how: Damage) -> None:
    """Invariant 4: what the camera sent and nobody can see is in a gap, with its number of frames. A decoder would fill
    the rest of such an image with an older one, and call it a frame."""
    whole, path = tmp_path / "whole.avi", tmp_path / "damaged.avi"
    numbered_clip(whole, 60, rate=RATE, codec="mjpeg", width=128, height=96)
    damage(whole, path, DAMAGED, how)
    listener = await encoded(path)
    assert numbers(listener.batches()) == [number for number in range(60) if number not in DAMAGED]
    gaps = [gap for gap in listener.gaps() if gap.cause == "corrupt"]
    assert [gap.frames for gap in gaps] == [2, 1]
    begin_ns = listener.batches()[0].start_ns
    for gap, first in zip(gaps, (20, 35), strict=True):
        assert gap.from_ns - begin_ns == pytest.approx(first * NS / RATE, abs=NS / RATE / 2)


@pytest.mark.parametrize(("codec", "b_frames"), [("libx264", 0), ("libx264", 2), ("libx265", 2)])
async def test_frames_that_refer_to_a_damaged_one_are_named_with_it(tmp_path: Path, codec: str, b_frames: int) -> None:
    """Invariant 4: from the damaged frame to the next key frame nothing is taken for what the camera saw."""
    whole, path = tmp_path / "whole.mp4", tmp_path / "damaged.mp4"
    numbered_clip(whole, 60, rate=RATE, gop_s=0.5, b_frames=b_frames, codec=codec)
    damage(whole, path, (21,), lambda data: data[:5] + data[5 : len(data) * 6 // 10])
    listener = await encoded(path)
    found = numbers(listener.batches())
    missing = sorted(set(range(60)) - set(found))
    assert found == sorted(found)
    assert missing == list(range(missing[0], 30)), "up to the next key frame"
    assert 15 < missing[0] <= 21 + b_frames
    (gap,) = [gap for gap in listener.gaps() if gap.cause == "corrupt"]
    assert gap.frames == len(missing)
    begin_ns = listener.batches()[0].start_ns
    assert gap.from_ns - begin_ns == pytest.approx(missing[0] * NS / RATE, abs=NS / RATE / 2)
    assert gap.to_ns - begin_ns == pytest.approx(30 * NS / RATE, abs=NS / RATE / 2)


async def test_a_film_that_ends_damaged(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.avi", tmp_path / "damaged.avi"
    numbered_clip(whole, 20, rate=RATE, codec="mjpeg")
    damage(whole, path, (17, 18, 19), emptied)
    listener = await encoded(path)
    assert numbers(listener.batches()) == list(range(17))
    assert [(gap.cause, gap.frames) for gap in listener.gaps()] == [("corrupt", 3)]


async def test_a_frame_that_its_decoder_calls_corrupt_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 4: also where the decoder gives it without an error."""
    path, decode, given = tmp_path / "whole.avi", EncodedVideo._decode, itertools.count()
    numbered_clip(path, 60, rate=RATE, codec="mjpeg")

    def doubted(self: EncodedVideo, packet: av.Packet[VideoStream]) -> list[av.VideoFrame]:
        frames = decode(self, packet)
        return [Doubtful()] if next(given) in DAMAGED else frames  # type: ignore[list-item]  # all that is asked of it

    monkeypatch.setattr(EncodedVideo, "_decode", doubted)
    listener = await encoded(path)
    assert numbers(listener.batches()) == [number for number in range(60) if number not in DAMAGED]
    assert [gap.frames for gap in listener.gaps() if gap.cause == "corrupt"] == [2, 1]


class Doubtful:
    is_corrupt = True
    pts = None
