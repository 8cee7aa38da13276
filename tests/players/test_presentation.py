"""Colours and shapes of what the encoded path makes of its sources, as a browser shows them."""

from __future__ import annotations

from pathlib import Path

import pytest
from av.video.reformatter import VideoReformatter

from bwvd.capture.device.libav_source import open_camera
from bwvd.capture.source import AudioGate, SourceEnded
from bwvd.clock import SystemClock
from bwvd.config.schema import Config, Video
from bwvd.media.fragment import Epoch
from bwvd.media.samples import Gop
from tests.players.browser import seen
from tests.support.capture_listen import Listener
from tests.support.jpegs import PATCHES, mjpeg_clip, patches
from tests.support.meanings import clip, ffmpeg

OFF = 12  # of 255, after two codecs and a browser's conversion: another matrix is off by 25 and more


async def film(source: Path) -> bytes:
    """What a camera of these frames leaves: an init segment and fragments."""
    video = Video(source=f"file:{source}", encoder="libx264", keyframe_s=0.2, stamp=False, bitrate=12_000_000)
    listener = Listener()
    with pytest.raises(SourceEnded):
        await open_camera(Config(video=video), SystemClock(), AudioGate()).run(listener.send)
    batches = listener.batches()
    epoch = Epoch(batches[0].track, None)
    try:
        parts = [epoch.fragment(Gop(one), n, batches[0].start_ns) for n, one in enumerate(batches, start=1)]
    finally:
        epoch.close()
    return epoch.init + b"".join(parts)


def assert_patches(line: list[tuple[int, int, int]], expected: tuple[tuple[int, int, int], ...] = PATCHES) -> None:
    wide = len(line) // len(expected)
    found = [line[index * wide + wide // 2] for index in range(len(expected))]
    for one, patch in zip(found, expected, strict=True):
        assert one == pytest.approx(patch, abs=OFF), found


@pytest.mark.players
@pytest.mark.parametrize("size", [(1280, 720), (320, 240)])
async def test_a_webcams_colours(tmp_path: Path, size: tuple[int, int]) -> None:
    """BT.601 in full range, of the size at which a browser would take BT.709 if nothing were said, and of a smaller."""
    path = tmp_path / "patches.avi"
    mjpeg_clip(path, [patches(*size)] * 12, "yuvj422p")
    assert_patches(seen(await film(path)).line)


@pytest.mark.players
@pytest.mark.parametrize("matrix", ["bt709", "smpte170m"])
async def test_colours_of_h264_by_its_own_matrix(tmp_path: Path, matrix: str) -> None:
    """Each against what a browser would guess from the size."""
    size = (320, 240) if matrix == "bt709" else (1280, 720)
    raw = tmp_path / "patches.rgb"
    convert = VideoReformatter()
    frame = convert.reformat(patches(*size), format="rgb24")
    plane = frame.planes[0]
    data = bytes(plane)
    raw.write_bytes(b"".join(data[y * plane.line_size :][: 3 * size[0]] for y in range(size[1])) * 12)
    path = tmp_path / "patches.mp4"
    ffmpeg(
        "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "{}x{}".format(*size), "-r", "30", "-i", str(raw),
        "-vf", f"scale=out_color_matrix={matrix},format=yuv420p", "-c:v", "libx264", "-qp", "4",
        "-colorspace", matrix, "-color_primaries", "bt709", "-color_trc", "bt709", str(path),
    )  # fmt: skip
    assert_patches(seen(await film(path)).line)


@pytest.mark.players
async def test_samples_that_are_not_square(tmp_path: Path) -> None:
    path = clip(tmp_path / "wide.mp4", "-c:v", "libx264", "-vf", "setsar=4/3")
    shown = seen(await film(path))
    assert (shown.width, shown.height) == (256, 96)
