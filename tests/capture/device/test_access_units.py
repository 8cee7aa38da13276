"""Frames whose slices come in packets of their own are whole again, and none is taken for two."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.video.frame import PictureType

from bwvd.capture.device.access_units import AccessUnits
from bwvd.capture.device.libav_source import open_camera
from bwvd.capture.source import AudioGate, SourceEnded
from bwvd.capture.timestamps import Moment
from bwvd.clock import SystemClock
from bwvd.config.schema import Config, Loop, Video
from bwvd.media.nal import START_CODE, NalCodec, NalForm, annexb_units, unit_type
from bwvd.testing.picture import draw_number
from tests.support.capture_listen import Listener, numbers

GOP, FRAMES, SLICES = 10, 30, 3
WIDTH, HEIGHT = 320, 192  # HEVC cuts at rows of 64 lines
OPTIONS: dict[NalCodec, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"x264-params": f"slices={SLICES}:scenecut=0:bframes=0:rc-lookahead=0"}),
    "hevc": ("libx265", {"x265-params": f"slices={SLICES}:scenecut=0:bframes=0:rc-lookahead=0:log-level=none"}),
}


def access_units(codec: NalCodec) -> list[bytes]:
    """Numbered frames of several slices each, as Annex B."""
    name, options = OPTIONS[codec]
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    context.time_base, context.framerate, context.gop_size = Fraction(1, 30), Fraction(30), GOP
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "forced-idr": "1", **options}
    made = []
    for number in range(FRAMES):
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        draw_number(frame, number)
        frame.pts, frame.time_base = number, Fraction(1, 30)
        frame.pict_type = PictureType.NONE if number % GOP else PictureType.I
        made += [bytes(packet) for packet in context.encode(frame)]
    return made + [bytes(packet) for packet in context.encode(None)]


def parts(codec: NalCodec, unit: bytes) -> list[bytes]:
    """A key frame's slices, the parameter sets before each of them."""
    units = [unit[a:b] for a, b in annexb_units(unit)]
    sets = [one for one in units if unit_type(codec, one[0]) in ((7, 8) if codec == "h264" else (32, 33, 34))]
    pictures = range(1, 6) if codec == "h264" else range(32)
    slices = [one for one in units if unit_type(codec, one[0]) in pictures]
    assert len(slices) > 1
    return [b"".join(b"\0" + START_CODE + one for one in (*sets, piece)) for piece in slices]


def packets(pieces: list[bytes], pts: int) -> list[av.Packet[Any]]:
    made: list[av.Packet[Any]] = []
    for piece in pieces:
        packet: av.Packet[Any] = av.Packet(piece)
        packet.pts = packet.dts = pts
        made.append(packet)
    return made


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("encoder", ["copy", "libx264"])
async def test_slices_behind_repeated_parameter_sets_are_one_frame(
    tmp_path: Path, codec: NalCodec, encoder: str
) -> None:
    """Invariants 3 and 4: a recording begins with a whole key frame, and no frame is there twice or in halves."""
    clip = tmp_path / f"clip.{codec}"
    clip.write_bytes(
        b"".join(
            b"".join(parts(codec, unit)) if number % GOP == 0 else unit
            for number, unit in enumerate(access_units(codec))
        )
    )
    video = Video(source=f"file:{clip}", encoder=encoder, keyframe_s=GOP / 30, stamp=False)
    listener = Listener()
    with pytest.raises(SourceEnded):
        await open_camera(Config(video=video, loop=Loop(seconds=5)), SystemClock(), AudioGate()).run(listener.send)
    assert numbers(listener.batches()) == list(range(FRAMES))
    assert [len(batch.samples) for batch in listener.batches()] == [GOP] * 3
    assert listener.gaps() == []


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_the_first_of_them_shows_that_frames_come_in_parts(codec: NalCodec) -> None:
    """What was handed on already can't be mended: its other parts are damage. From then on each frame is waited for."""
    form = NalForm(codec, 0)
    units = AccessUnits(form, ahead=False)
    first, second, *_ = access_units(codec)[:: GOP // 2]
    pieces = packets(parts(codec, first), 0)
    taken = [units.take(packet, Moment(n, 0)) for n, packet in enumerate(pieces)]
    assert [bool(unit) for unit in taken] == [True] + [False] * (len(pieces) - 1)
    assert pieces[1].is_corrupt
    assert units.ahead
    again = [units.take(packet, Moment(10 + n, 0)) for n, packet in enumerate(packets(parts(codec, first), 1))]
    assert len([unit for unit in again if unit]) == 1, "what was held"
    (whole,) = units.take(packets([second], 2)[0], Moment(20, 0))
    assert whole[1].mono_ns == 10, "the moment at which its first part came"
    assert len(form.without_sets(bytes(whole[0]))) == len(pieces)
    assert whole[0].pts == 1


def test_a_part_of_another_time_is_no_part_of_this_frame() -> None:
    units = AccessUnits(NalForm("h264", 0), ahead=True)
    first, rest, *_ = parts("h264", access_units("h264")[0])
    (begun,), (late,) = packets([first], 0), packets([rest], 1)
    assert units.take(begun, Moment(0, 0)) == []
    assert units.take(late, Moment(1, 0)) == [(begun, Moment(0, 0))]
    assert late.is_corrupt
    assert units.flush() == (late, Moment(1, 0))
    assert units.flush() is None
