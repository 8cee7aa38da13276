"""Frames of raw H.264 of which a part is missing, as nothing but a decoder can tell."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import av
import pytest
from av.video.frame import PictureType

from bwvd.capture.program.whole_frames import WholeFrames
from bwvd.media.nal import START_CODE, unit_type
from bwvd.testing.picture import draw_number

GOP, FRAMES = 10, 30
HALF = 14


@cache
def units(preset: str, slices: int, sets: int) -> tuple[bytes, ...]:
    """Access units, the parameter sets with each key frame (1) or with the first alone (0)."""
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = 160, 128, "yuv420p"
    context.time_base, context.framerate = Fraction(1, 30), Fraction(30)
    context.gop_size, context.max_b_frames, context.thread_count = 1 << 20, 0, 1
    params = f"scenecut=0:repeat-headers=1:slices={slices}:sliced-threads=0:rc-lookahead=0"
    context.options = {"preset": preset, "tune": "zerolatency", "forced-idr": "1", "x264-params": params}
    found = []
    for number in range(FRAMES):
        frame = av.VideoFrame(160, 128, "yuv420p")
        draw_number(frame, number)
        frame.pts, frame.time_base = number, Fraction(1, 30)
        frame.pict_type = PictureType.NONE if number % GOP else PictureType.I
        found += [bytes(packet) for packet in context.encode(frame)]
    if not sets:
        found[1:] = [without_sets(unit) for unit in found[1:]]
    return tuple(found)


def without_sets(unit: bytes) -> bytes:
    kept = [nal for nal in unit.split(START_CODE)[1:] if unit_type("h264", nal[0]) not in (7, 8)]
    return b"".join(START_CODE + nal for nal in kept)


def judged(frames: list[bytes]) -> list[int]:
    """The numbers of those that are not whole."""
    judge = WholeFrames()
    return [number for number, frame in enumerate(frames) if not judge.is_whole(frame)]


@pytest.mark.parametrize("preset", ["ultrafast", "medium"])  # CAVLC and CABAC
@pytest.mark.parametrize("slices", [1, 4])
@pytest.mark.parametrize("sets", [0, 1])
def test_what_is_whole_is_never_doubted(preset: str, slices: int, sets: int) -> None:
    assert judged(list(units(preset, slices, sets))) == []


@pytest.mark.parametrize("preset", ["ultrafast", "medium"])
@pytest.mark.parametrize("slices", [1, 4])
@pytest.mark.parametrize("sets", [0, 1])
@pytest.mark.parametrize("number", [HALF, 20])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_a_frame_that_is_cut_short_is_none(preset: str, slices: int, sets: int, number: int, share: float) -> None:
    """Invariant 4: also a key frame; and the one after the next key frame is good again."""
    frames = list(units(preset, slices, sets))
    frames[number] = frames[number][: int(len(frames[number]) * share)]
    assert judged(frames)[:1] == [number]
    assert judged([*frames, *units(preset, slices, sets)]) == [number]


def test_a_slice_that_is_missing_is_noticed() -> None:
    frames = list(units("ultrafast", 4, 1))
    frames[HALF] = frames[HALF][: frames[HALF].rindex(START_CODE)].rstrip(b"\0")
    assert judged(frames) == [HALF]
