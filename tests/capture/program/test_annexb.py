"""Access units in raw H.264, however its bytes are cut."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import av
import pytest
from av.video.frame import PictureType
from hypothesis import given
from hypothesis import strategies as st

from bwvd.capture.program.annexb import MOST_BYTES, AccessUnit, AccessUnitSplitter, NotAnnexB
from bwvd.testing.picture import draw_number

FRAMES = 20


@cache
def units(slices: int, b_frames: int = 0) -> tuple[bytes, ...]:
    """The access units of a short stream, as the encoder gives them."""
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = 128, 96, "yuv420p"
    context.time_base, context.framerate, context.thread_count = Fraction(1, 30), Fraction(30), 1
    context.max_b_frames = b_frames
    params = f"slices={slices}:repeat-headers=1:aud={slices - 1}:scenecut=0:bframes={b_frames}:b-adapt=0"
    context.options = {"preset": "ultrafast", "forced-idr": "1", "x264-params": params}
    packets = []
    for number in range(FRAMES):
        frame = av.VideoFrame(128, 96, "yuv420p")
        draw_number(frame, number)
        frame.pts = number
        frame.pict_type = PictureType.NONE if number % 10 else PictureType.I
        packets += context.encode(frame)
    packets += context.encode(None)
    return tuple(bytes(packet) for packet in packets)


@given(st.sampled_from([1, 2]), st.lists(st.integers(1, 400), min_size=1, max_size=60))
def test_units_are_found_however_they_are_cut(slices: int, cuts: list[int]) -> None:
    """Invariant 4: no byte is lost, doubled or put to another frame; each has the moment of its first byte."""
    wanted = units(slices)
    data = b"".join(wanted)
    splitter = AccessUnitSplitter()
    found: list[AccessUnit] = []
    at, turn, came = 0, 0, []
    while at < len(data):
        size = cuts[turn % len(cuts)]
        found += splitter.feed(data[at : at + size], turn)
        came += [turn] * len(data[at : at + size])
        at, turn = at + size, turn + 1
    last = splitter.flush()
    assert last is not None
    found.append(last)
    assert [unit.data for unit in found] == list(wanted)
    assert [unit.key for unit in found] == [number % 10 == 0 for number in range(FRAMES)]
    assert not any(unit.bidirectional for unit in found)
    begins = 0
    for unit in found:
        # What tells that it is another unit may come after its first byte.
        assert came[begins] <= unit.at_ns <= came[min(begins + 5, len(came) - 1)]
        begins += len(unit.data)


def test_b_frames_are_told() -> None:
    splitter = AccessUnitSplitter()
    found = splitter.feed(b"".join(units(1, 2)), 0)
    assert 8 <= sum(unit.bidirectional for unit in found) <= 14


def test_a_frame_is_known_before_the_next_one_begins() -> None:
    splitter = AccessUnitSplitter()
    before, _, after = splitter.has_picture, splitter.feed(units(1)[0], 7), splitter.has_picture
    assert (before, after) == (False, True)
    unit = splitter.flush()
    assert unit == AccessUnit(units(1)[0], 7, True, False)
    assert splitter.flush() is None


def test_what_is_no_h264_takes_no_memory_without_an_end() -> None:
    splitter = AccessUnitSplitter()
    for _ in range(MOST_BYTES // 65_536):
        assert splitter.feed(b"\xa5" * 65_536, 0) == []
    with pytest.raises(NotAnnexB):
        splitter.feed(b"\xa5" * 65_536, 0)
