"""JPEGs by libjpeg-turbo: the frames that libav makes of them, and libav's judgement of what is not flawless."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.capture.device.libav_source import open_camera
from bwvd.capture.source import AudioGate, SourceEnded
from bwvd.capture.video import jpeg
from bwvd.capture.video.jpeg import JpegDecoder
from bwvd.capture.video.pixel_format import PixelConverter
from bwvd.clock import SystemClock
from bwvd.config.schema import Config, Video
from bwvd.testing.clip import numbered_clip
from tests.support.capture_listen import Listener, decode_video, numbers
from tests.support.jpegs import another_reference, mjpeg_clip, needs_turbojpeg, patches, psnr

_BASE = Fraction(1, 30)
SAMPLINGS = ["yuvj420p", "yuvj422p", "yuvj444p"]


@pytest.fixture(autouse=True)
def _library() -> None:
    needs_turbojpeg()


def packets_of(path: Path) -> list[av.Packet[Any]]:
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def packet_of(data: bytes) -> av.Packet[Any]:
    return av.Packet(data)


def moving(tmp_path: Path, sampling: str, size: str = "322x242", count: int = 5) -> list[av.Packet[Any]]:
    with av.open(f"testsrc2=size={size}:rate=30", format="lavfi") as source:
        frames = [frame for frame, _ in zip(source.decode(video=0), range(count), strict=False)]
    path = tmp_path / f"{sampling}.avi"
    mjpeg_clip(path, frames, sampling)
    return packets_of(path)


def without_tables(data: bytes) -> bytes:
    """A JPEG without its Huffman tables, as many webcams send them: Annex K's are meant."""
    out, at = data[:2], 2
    while data[at + 1] != 0xDA:
        size = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] != 0xC4:
            out += data[at : at + size]
        at += size
    return out + data[at:]


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_its_frames_are_libavs(tmp_path: Path, sampling: str) -> None:
    """At least 45 dB of libav's decoder and the slow conversion, in each plane; range and matrix are JFIF's."""
    decoder = JpegDecoder(322, 242)
    for packet in moving(tmp_path, sampling):
        found = decoder.decode(packet)
        assert found is not None
        (libavs,) = packet.decode()
        expected = PixelConverter(322, 242).fit(libavs, full_range=True)
        assert (found.format.name, found.color_range, found.colorspace) == ("yuv420p", 2, 5)
        assert min(psnr(a, b) for a, b in zip(found.planes, expected.planes, strict=True)) >= 45
    decoder.close()
    assert decoder.decode(packet) is None


def test_a_frame_without_huffman_tables_is_decoded_or_left_to_libav(tmp_path: Path) -> None:
    for packet in moving(tmp_path, "yuvj422p", count=2):
        bare = packet_of(without_tables(bytes(packet)))
        (libavs,) = av.CodecContext.create("mjpeg", "r").decode(bare)
        found = JpegDecoder(322, 242).decode(bare)
        if found is not None:
            expected = PixelConverter(322, 242).fit(libavs, full_range=True)
            assert min(psnr(a, b) for a, b in zip(found.planes, expected.planes, strict=True)) >= 45


def test_what_is_cut_short_is_left_to_libav(tmp_path: Path) -> None:
    """Invariant 4: a frame whose end is missing is not one; libjpeg-turbo would fill the rest with grey."""
    (packet,) = moving(tmp_path, "yuvj422p", count=1)
    data, decoder = bytes(packet), JpegDecoder(322, 242)
    begin = data.index(b"\xff\xda")
    for end in (*range(0, begin, 37), *range(begin, len(data) - 2, max(1, len(data) // 50))):
        assert decoder.decode(packet_of(data[:end])) is None, end
        assert decoder.decode(packet) is not None, f"the one behind what was cut at {end}"


@given(st.data())
def test_damage_is_never_worse_than_another_frame(data: st.DataObject) -> None:
    """Any bytes are taken or left, and neither the frame's size nor the memory beside it changes."""
    decoder = JpegDecoder(64, 48)
    whole = bytearray(_small())
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    found = decoder.decode(packet_of(bytes(whole)))
    assert found is None or (found.width, found.height) == (64, 48)


def _small() -> bytes:
    context = av.CodecContext.create("mjpeg", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = 64, 48, "yuvj422p"
    context.time_base, context.color_range = _BASE, 2
    made = PixelConverter(64, 48).fit(patches(), full_range=True).reformat(format="yuvj422p", dst_color_range=2)
    made.pts = 0
    return b"".join(bytes(packet) for packet in [*context.encode(made), *context.encode(None)])


def test_another_size_than_the_streams_is_left_to_libav(tmp_path: Path) -> None:
    """A JPEG says how large it is; nobody reserves that much memory because of it."""
    (packet,) = moving(tmp_path, "yuvj422p", count=1)
    assert JpegDecoder(320, 240).decode(packet) is None


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_frame_that_is_held_is_not_written_on(tmp_path: Path, sampling: str) -> None:
    """A hardware encoder reads frames later than it is given them. Those behind it are in the buffers they have now."""
    first, *others = moving(tmp_path, sampling, count=3)
    decoder = JpegDecoder(322, 242)
    frame = decoder.decode(first)
    assert frame is not None
    held = another_reference(frame)
    before = [bytes(plane) for plane in held.planes]
    for packet in others:
        found, expected = decoder.decode(packet), JpegDecoder(322, 242).decode(packet)
        assert found is not None
        assert expected is not None
        assert all(psnr(a, b) == math.inf for a, b in zip(found.planes, expected.planes, strict=True))
    assert [bytes(plane) for plane in held.planes] == before


def test_each_jpeg_is_of_its_own_sampling(tmp_path: Path) -> None:
    """Invariant 4: a stream may change it at any frame, and what is written where goes by the header of each."""
    decoder = JpegDecoder(322, 242)
    for sampling in ("yuvj444p", "yuvj422p", "yuvj420p", "yuvj444p"):
        (packet,) = moving(tmp_path, sampling, count=1)
        found, expected = decoder.decode(packet), JpegDecoder(322, 242).decode(packet)
        assert found is not None
        assert expected is not None
        assert all(psnr(a, b) == math.inf for a, b in zip(found.planes, expected.planes, strict=True))


async def test_a_camera_of_jpegs_is_decoded_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbered frames with and without the library; with it, libav is asked once."""
    path = tmp_path / "clip.avi"
    numbered_clip(path, 30, rate=30, codec="mjpeg")
    found = []
    for there in (True, False):
        if not there:
            monkeypatch.setattr(jpeg, "is_there", lambda: False)
        taken: list[bool] = []
        decode = JpegDecoder.decode

        def counted(self: JpegDecoder, packet: Any) -> Any:
            frame = decode(self, packet)  # noqa: B023 - called in this turn
            taken.append(frame is not None)  # noqa: B023 - the same
            return frame

        with monkeypatch.context() as patched:
            patched.setattr(JpegDecoder, "decode", counted)
            config = Config(video=Video(source=f"file:{path}", encoder="libx264", keyframe_s=0.5, stamp=False))
            listener = Listener()
            with pytest.raises(SourceEnded):
                await open_camera(config, SystemClock(), AudioGate()).run(listener.send)
        assert taken == ([True] * 29 + [False] if there else [])  # and the end of the file
        found.append(numbers(listener.batches()))
        assert {int(frame.color_range) for _, frame in decode_video(listener.batches())} == {2}
    assert found == [list(range(30))] * 2
