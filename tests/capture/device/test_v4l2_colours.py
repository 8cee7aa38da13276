"""Colours as a V4L2 driver says them: asked by an ioctl, and kept by what we encode."""

from __future__ import annotations

import errno
import struct
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream

from bwvd.capture.address import parse_address
from bwvd.capture.device.libav_source import open_camera
from bwvd.capture.device.v4l2_colours import colours_of, driver_colours, told_by_driver
from bwvd.capture.source import AudioGate, SourceEnded
from bwvd.capture.video.colours import BT709, OF_CAMERAS, SMPTE170M, SRGB, UNSPECIFIED, Colours
from bwvd.clock import SystemClock
from bwvd.config.schema import VIDEO_SCHEMES, Config, Video
from tests.support.capture_listen import Listener, decode_video
from tests.support.jpegs import PATCHES, patch_colours, patches

WIDTH, HEIGHT = 256, 96
POINTER = struct.calcsize("P")
MAGIC = 0xFEEDCAFE


def answering(monkeypatch: pytest.MonkeyPatch, *colours: int, priv: int = MAGIC, error: int = 0) -> None:
    """Play a driver's answer, byte for byte as VIDIOC_G_FMT gives it: YUYV of 1280x720, and its colours."""
    space, matrix, quantization, transfer = colours

    def asked(handle: int, request: int, room: bytes) -> bytes:
        assert Path(f"/proc/self/fd/{handle}").readlink() == Path("/dev/null")
        assert len(room) == (208 if POINTER == 8 else 204)
        assert request == (0xC0D05604 if POINTER == 8 else 0xC0CC5604)
        assert room[:4] == struct.pack("=I", 1)
        if error:
            raise OSError(error, "played")
        fields = 1280, 720, 0x56595559, 1, 2560, 1843200, space, priv, 0, matrix, quantization, transfer
        return (struct.pack("=I", 1).ljust(POINTER, b"\0") + struct.pack("=12I", *fields)).ljust(len(room), b"\0")

    monkeypatch.setattr("bwvd.capture.device.v4l2_colours.fcntl.ioctl", asked)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ((8, 0, 0, 0), OF_CAMERAS),  # sRGB: most UVC cameras
        ((0, 0, 0, 0), OF_CAMERAS),
        ((99, 0, 0, 0), OF_CAMERAS),
        ((3, 0, 0, 0), Colours(False, BT709, BT709, BT709)),
        ((1, 0, 0, 0), Colours(False, SMPTE170M, SMPTE170M, BT709)),
        ((7, 0, 0, 0), Colours(True, SMPTE170M, BT709, SRGB)),  # JPEG
        ((7, 0, 2, 0), Colours(False, SMPTE170M, BT709, SRGB)),
        ((8, 2, 1, 1), Colours(True, BT709, BT709, BT709)),
        ((10, 0, 0, 7), Colours(False, 9, 9, 16)),
        ((9, 0, 0, 0), Colours(False, SMPTE170M, UNSPECIFIED, UNSPECIFIED)),
    ],
)
def test_what_the_driver_says(told: tuple[int, ...], expected: Colours, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, *told)
    assert driver_colours("/dev/null") == expected


def test_only_a_camera_has_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, 3, 0, 0, 0)
    asked = [
        told_by_driver(parse_address(text, "video.source", VIDEO_SCHEMES)) for text in ("v4l2:/dev/null", "file:/a")
    ]
    assert asked == [Colours(False, BT709, BT709, BT709), None]


def test_fields_that_an_old_driver_has_not_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, 3, 1, 1, 2, priv=0)
    assert driver_colours("/dev/null") == Colours(False, BT709, BT709, BT709)


def test_a_camera_that_can_not_be_asked_is_one_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert driver_colours("/dev/null") == OF_CAMERAS  # ENOTTY, as the kernel says it
    assert driver_colours("/nowhere/at/all") == OF_CAMERAS
    answering(monkeypatch, 3, 0, 0, 0, error=errno.EBUSY)
    assert driver_colours("/dev/null") == OF_CAMERAS


def raw_clip(path: Path, matrix: Colorspace, colour_range: ColorRange) -> None:
    """Patches as a camera gives them, in YUYV: nothing in the file says what they mean."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=10)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuyv422"
        made = VideoReformatter().reformat(
            patches(WIDTH, HEIGHT), format="yuyv422", dst_colorspace=matrix, dst_color_range=colour_range
        )
        for number in range(6):
            frame = av.VideoFrame(WIDTH, HEIGHT, "yuyv422")
            frame.planes[0].update(bytes(made.planes[0]))
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("colours", "matrix", "colour_range"),
    [
        (OF_CAMERAS, Colorspace.ITU601, ColorRange.MPEG),
        (Colours(False, BT709, BT709, BT709), Colorspace.ITU709, ColorRange.MPEG),
        (Colours(True, BT709, BT709, SRGB), Colorspace.ITU709, ColorRange.JPEG),
    ],
)
async def test_raw_frames_come_out_as_they_went_in(
    colours: Colours, matrix: Colorspace, colour_range: ColorRange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every patch within 6 of 255, by what the parameter sets say of it."""
    path = tmp_path / "raw.avi"
    raw_clip(path, matrix, colour_range)
    monkeypatch.setattr("bwvd.capture.device.demux.told_by_driver", lambda _: colours)
    video = Video(source=f"file:{path}", encoder="libx264", keyframe_s=0.1, stamp=False, bitrate=8_000_000)
    listener = Listener()
    with pytest.raises(SourceEnded):
        await open_camera(Config(video=video), SystemClock(), AudioGate()).run(listener.send)
    frames = [frame for _, frame in decode_video(listener.batches())]
    assert len(frames) == 6
    for frame in frames:
        assert (int(frame.colorspace), frame.color_range) == (colours.matrix, colour_range)
        assert (int(frame.color_primaries), int(frame.color_trc)) == (colours.primaries, colours.transfer)
        for found, expected in zip(patch_colours(frame), PATCHES, strict=True):
            assert found == pytest.approx(expected, abs=6)


@pytest.mark.parametrize(
    ("quantization", "levels"),
    [(0, (30, 218)), (1, (16, 235)), (2, (16, 235))],
    ids=["unsaid", "full", "limited"],
)
async def test_grey_frames_are_limited_where_the_driver_says_so(
    quantization: int, levels: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A grey sensor that says nothing uses the whole range, which becomes limited; limited stays as it is."""
    path = tmp_path / "grey.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=10)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "gray"
        for number in range(6):
            frame = av.VideoFrame(WIDTH, HEIGHT, "gray")
            half = frame.planes[0].buffer_size // 2
            frame.planes[0].update(bytes([16]) * half + bytes([235]) * half)
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    monkeypatch.setattr("bwvd.capture.device.demux.told_by_driver", lambda _: colours_of(8, 0, quantization, 0))
    video = Video(source=f"file:{path}", encoder="libx264", keyframe_s=0.1, stamp=False, bitrate=8_000_000)
    listener = Listener()
    with pytest.raises(SourceEnded):
        await open_camera(Config(video=video), SystemClock(), AudioGate()).run(listener.send)
    (_, frame), *_ = decode_video(listener.batches())
    luma, line = memoryview(frame.planes[0]), frame.planes[0].line_size
    assert (luma[20 * line + 100], luma[(HEIGHT - 20) * line + 100]) == pytest.approx(levels, abs=2)
    assert frame.color_range == (ColorRange.JPEG if quantization == 1 else ColorRange.MPEG)
