"""Frames brought to 4:2:0: brightness and colour kept whatever the camera gives, nobody else's frame written on."""

from __future__ import annotations

import array
import math

import av
import pytest
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from bwvd.capture.video.pixel_format import PixelConverter, RowMean
from tests.support.jpegs import another_reference, psnr

FORMATS = ["yuyv422", "uyvy422", "yuvj422p", "yuvj420p", "yuvj444p", "nv12", "yuv420p", "rgb24", "gray", "yuv422p"]
FORMATS += ["yuv444p", "yuv411p", "yuvj440p", "bgr0"]


def of_graph(graph: str) -> av.VideoFrame:
    with av.open(graph, format="lavfi") as source:
        return next(source.decode(video=0))


@pytest.mark.parametrize("full_range", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("source", FORMATS)
def test_every_camera_format_keeps_its_brightness(source: str, full_range: bool) -> None:
    """White is 235 in limited range and 255 in full, black 16 and 0, red the same red, whatever it came as."""
    expected = {"white": (255, 128, 128), "black": (0, 128, 128), "red": (76, 85, 255)}
    if not full_range:
        expected = {"white": (235, 128, 128), "black": (16, 128, 128), "red": (81, 90, 240)}
    for colour, samples in expected.items():
        if source == "gray" and colour == "red":
            continue
        made = of_graph(f"color={colour}:size=64x48,format={source}")
        fitted = PixelConverter(64, 48).fit(made, full_range=full_range)
        assert (fitted.format.name, fitted.color_range) == ("yuv420p", 2 if full_range else 1)
        found = [memoryview(plane)[10 * plane.line_size + 20] for plane in fitted.planes]
        assert found == pytest.approx(samples, abs=3)


@pytest.mark.parametrize("graph", ["testsrc2=size=642x482", "mandelbrot=size=640x480"])
@pytest.mark.parametrize("source", ["yuv422p", "yuv444p", "yuvj422p", "yuvj444p"])
def test_chroma_is_the_mean_of_what_it_stands_for(source: str, graph: str) -> None:
    """At least 45 dB of what libswscale makes of the whole frame by area, luma to the bit."""
    made = of_graph(f"{graph},format={source}")
    full = source.startswith("yuvj")
    converter = PixelConverter(made.width, made.height)
    for _ in range(2):  # also on the frame of the one before
        fitted = converter.fit(made, full_range=full)
    limits = 2 if full else None
    expected = VideoReformatter().reformat(
        made,
        format="yuv420p",
        interpolation=Interpolation.AREA,
        src_color_range=limits,
        dst_color_range=limits,
    )
    assert psnr(fitted.planes[0], expected.planes[0]) == math.inf
    assert min(psnr(a, b) for a, b in zip(fitted.planes, expected.planes, strict=True)) >= 45


@pytest.mark.parametrize("source", ["yuv422p", "yuvj422p", "gray"])
def test_the_mean_of_two_lines_is_that_of_the_frame_given(source: str) -> None:
    """To the bit, rounded down, frame by frame: filters hold frames back where two inputs are joined."""
    mean: RowMean | None = None
    with av.open(f"testsrc2=size=322x242:rate=30,format={source}", format="lavfi") as noise:
        for made, _ in zip(noise.decode(video=0), range(4), strict=False):
            mean = mean or RowMean(made)
            found = mean.apply(made)
            assert (found.width, found.height, found.format.name) == (322, 121, source)
            for whole, half in zip(made.planes, found.planes, strict=True):
                lines, line = memoryview(whole), whole.line_size
                for y in range(half.height):
                    pair = zip(
                        lines[2 * y * line : 2 * y * line + half.width],
                        lines[(2 * y + 1) * line : (2 * y + 1) * line + half.width],
                        strict=True,
                    )
                    row = memoryview(half)[y * half.line_size : y * half.line_size + half.width]
                    assert bytes(row) == bytes((a + b) // 2 for a, b in pair)


@pytest.mark.parametrize("size", ["320x240", "800x600", "1280x720"])
def test_a_plane_of_means_is_copied_at_once(size: str) -> None:
    """Lines that lie otherwise are copied one by one: thousands of steps of Python for each frame."""
    made = of_graph(f"testsrc2=size={size},format=yuv422p")
    fitted = PixelConverter(made.width, made.height).fit(made)
    halved = RowMean(made).apply(made)
    assert [plane.line_size for plane in fitted.planes[1:]] == [plane.line_size for plane in halved.planes[1:]]


def test_a_frame_that_somebody_holds_is_not_written_on() -> None:
    """An encoder may keep a reference to what it was given."""
    converter = PixelConverter(64, 48)
    held = converter.fit(of_graph("color=white:size=64x48,format=yuv422p"))
    keeper = another_reference(held)
    before = bytes(keeper.planes[0])
    converter.fit(of_graph("color=black:size=64x48,format=yuv422p"))
    assert bytes(keeper.planes[0]) == before


@pytest.mark.parametrize("kind", ["yuv422p", "nv12", "yuv420p", "yuyv422"])
def test_a_frame_that_says_it_is_full_range_is_believed(kind: str) -> None:
    made = av.VideoFrame(64, 48, kind)
    for index, plane in enumerate(made.planes):
        luma = b"\xff\x80" if kind == "yuyv422" else b"\xff\xff"
        plane.update((luma if index == 0 else b"\x80\x80") * (plane.buffer_size // 2))
    made.color_range = 2
    kept = PixelConverter(64, 48).fit(made, full_range=True)
    assert (kept.color_range, bytes(kept.planes[0])[10 * kept.planes[0].line_size + 20]) == (2, 255)
    fitted = PixelConverter(64, 48).fit(made)
    assert fitted.color_range == 1
    assert abs(bytes(fitted.planes[0])[10 * fitted.planes[0].line_size + 20] - 235) <= 2


@pytest.mark.parametrize("full_range", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize(
    ("said", "black", "white"),
    [(ColorRange.UNSPECIFIED, 0, 255), (ColorRange.JPEG, 0, 255), (ColorRange.MPEG, 16, 235)],
    ids=["unsaid", "full", "limited"],
)
@pytest.mark.parametrize(("kind", "bits"), [("gray", 8), ("gray10le", 10), ("gray12le", 12), ("gray16le", 16)])
def test_a_grey_camera_keeps_its_levels(
    kind: str, bits: int, said: ColorRange, black: int, white: int, full_range: bool
) -> None:
    """To libswscale grey is full range: of a camera that says it is limited, white was 218 and black was 30."""
    for level, expected in ((black, 0 if full_range else 16), (white, 255 if full_range else 235)):
        made = av.VideoFrame(64, 48, kind)
        samples = made.planes[0].buffer_size
        plain = bytes([level]) * samples
        made.planes[0].update(plain if bits == 8 else array.array("H", [level << bits - 8] * (samples // 2)).tobytes())
        made.color_range = said
        fitted = PixelConverter(64, 48).fit(made, full_range=full_range)
        assert (fitted.format.name, fitted.color_range) == ("yuv420p", 2 if full_range else 1)
        found = [memoryview(plane)[10 * plane.line_size + 20] for plane in fitted.planes]
        assert found == pytest.approx([expected, 128, 128], abs=1)


def test_a_shared_frame_is_copied_before_it_is_drawn_on() -> None:
    picture = PixelConverter(64, 48)
    with av.open("color=white:size=64x48,format=yuv420p", format="lavfi") as source:
        frames = source.decode(video=0)
        first = next(frames)
        fitted = picture.fit(first)
        assert fitted is first
        ours = picture.own(fitted, first)
        assert bytes(ours.planes[0])[:64] == bytes(first.planes[0])[:64]
        ours.planes[0].update(bytes(ours.planes[0].buffer_size))
        assert bytes(next(frames).planes[0])[0] == 235
        assert bytes(first.planes[0])[0] == 235
        fresh = picture.fit(av.VideoFrame(64, 48, "yuyv422"))
        assert picture.own(fresh, first) is fresh
