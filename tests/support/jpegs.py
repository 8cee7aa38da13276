"""JPEGs of known patches, and of any sampling, for the tests of decoders and colours."""

from __future__ import annotations

import math
import os
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.video.plane import VideoPlane
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from bwvd.capture.video import jpeg

# Red, green, blue and four others, each over a part of the frame, as 8-bit RGB.
PATCHES = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
    (0, 0, 0),
    (128, 128, 128),
    (200, 100, 40),
    (40, 90, 160),
)


def needs_turbojpeg() -> None:
    """Skip where libjpeg-turbo is not installed, or fail where CI must have it."""
    if not jpeg.is_there():
        if os.environ.get("CI"):
            pytest.fail(f"{jpeg.LIBRARY} is not installed")
        pytest.skip(f"{jpeg.LIBRARY} is not installed")


def patches(width: int = 64, height: int = 48) -> av.VideoFrame:
    """A frame of RGB in which the patches stand side by side."""
    made = av.VideoFrame(width, height, "rgb24")
    plane = made.planes[0]
    row = b"".join(bytes(PATCHES[x * len(PATCHES) // width]) for x in range(width))
    plane.update(b"".join(row.ljust(plane.line_size, b"\0") for _ in range(height)))
    return made


def patch_colours(frame: av.VideoFrame) -> list[tuple[int, int, int]]:
    """The middle of each patch as RGB, by the range and the matrix that the frame says it has."""
    shown = VideoReformatter().reformat(
        frame,
        frame.width,
        frame.height,
        "rgb24",
        src_colorspace=int(frame.colorspace),
        src_color_range=frame.color_range,
    )
    plane = shown.planes[0]
    data, wide = memoryview(plane), frame.width // len(PATCHES)
    found = []
    for index in range(len(PATCHES)):
        at = frame.height // 2 * plane.line_size + 3 * (index * wide + wide // 2)
        found.append((data[at], data[at + 1], data[at + 2]))
    return found


def mjpeg_clip(path: Path, frames: list[av.VideoFrame], pixel_format: str, *, rate: int = 30) -> None:
    """Write frames as MJPEG of a sampling ("yuvj422p", …), of the best quality."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=rate, options={"qmin": "1", "qmax": "1"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, pixel_format
        stream.codec_context.color_range = 2
        convert = VideoReformatter()
        for number, frame in enumerate(frames):
            full = convert.reformat(frame, format=pixel_format, dst_color_range=2)
            full.pts, full.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(full))
        container.mux(stream.encode(None))


def another_reference(frame: av.VideoFrame) -> av.VideoFrame:
    """Another frame with the same buffers, as an encoder keeps one."""
    graph = av.filter.Graph()
    begin = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 30))
    end = graph.add("buffersink")
    begin.link_to(end)
    graph.configure()
    frame.pts, frame.time_base = 0, Fraction(1, 30)
    begin.push(frame)
    held = end.pull()
    assert isinstance(held, av.VideoFrame)
    assert held.planes[0].buffer_ptr == frame.planes[0].buffer_ptr
    return held


def psnr(found: VideoPlane, expected: VideoPlane) -> float:
    """Peak signal to noise of two planes, dB; infinite where they are equal."""
    squares = 0
    a, b = memoryview(found), memoryview(expected)
    for y in range(found.height):
        one = bytes(a[y * found.line_size : y * found.line_size + found.width])
        other = bytes(b[y * expected.line_size : y * expected.line_size + expected.width])
        if one != other:
            squares += sum((x - z) ** 2 for x, z in zip(one, other, strict=True))
    return math.inf if not squares else 10 * math.log10(255**2 * found.height * found.width / squares)
