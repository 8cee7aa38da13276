"""Parameter sets of a camera that is copied: which frames are recorded under which, where some of it is damaged."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, Literal

import av
import pytest

from bwvd.capture.source import NO_CLOSED_GROUP, DeviceLost, SourceRefused
from bwvd.capture.video import parameter_sets
from bwvd.capture.video.form_damper import MOST
from bwvd.media.init_segment import InitUnusable
from bwvd.media.nal import NalCodec, annexb_units, unit_type
from bwvd.messages import FaultChanged, SourceUp
from bwvd.testing.clip import numbered_clip
from tests.capture.video.test_passthrough import RATE, Camera
from tests.support.capture_listen import numbers
from tests.support.meanings import clip, ffmpeg

GOP = 15
FEW = 5  # frames, behind which libav still reads ahead as it opens a stream
STEP = 90_000 // RATE
SETS = {"h264": {7, 8}, "hevc": {32, 33, 34}}
CODECS = pytest.mark.parametrize("codec", ["h264", "hevc"])
ENCODERS = {"h264": "libx264", "hevc": "libx265"}
# A key frame of HEVC that is read as one of a smaller size looks whole to libav: the rest of it is not missed.
OTHER, OLD, NEW = (64, 48), (96, 64), (128, 96)


def film(path: Path, codec: NalCodec, size: tuple[int, int], first: int = 0) -> list[bytes]:
    """A second in Annex B: two groups whose key frames have parameter sets. The frames carry numbers from `first`."""
    numbered_clip(path, RATE, rate=RATE, gop_s=0.5, codec=ENCODERS[codec], width=size[0], height=size[1], first=first)
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def parts(codec: NalCodec, frame: bytes) -> Iterator[tuple[bool, bytes]]:
    """A frame's units, and whether they are parameter sets."""
    for start, end in annexb_units(frame):
        yield unit_type(codec, frame[start]) in SETS[codec], b"\0\0\0\1" + frame[start:end]


def bare(codec: NalCodec, frame: bytes) -> bytes:
    return b"".join(unit for is_set, unit in parts(codec, frame) if not is_set)


def slices_damaged(codec: NalCodec, frame: bytes) -> bytes:
    """With whole parameter sets, and a slice that names others than those: half a slice of HEVC is whole to libav."""
    damaged = bytearray(frame)
    start, _ = annexb_units(frame)[-1]
    damaged[start + (1 if codec == "h264" else 2)] &= 0x80
    return bytes(damaged)


def sets_damaged(codec: NalCodec, frame: bytes) -> bytes:
    """With a whole picture, and another size in the parameter sets than the picture has."""
    at = 5 if codec == "h264" else 24
    damaged = bytearray(frame)
    kind = 7 if codec == "h264" else 33
    start = next(a for a, _ in annexb_units(frame) if unit_type(codec, frame[a]) == kind)
    damaged[start + at] ^= 0x3C
    return bytes(damaged)


def unusable(*_: object) -> tuple[bytes, int, int]:
    """In the place of `init_of_annexb`."""
    raise InitUnusable("MP4 can't hold it")


class Fed:
    """A camera that is opened on the old form, and given frames."""

    def __init__(self, folder: Path, codec: NalCodec) -> None:
        self.codec = codec
        self.old = film(folder / "old.ts", codec, OLD)
        self.new = film(folder / "new.ts", codec, NEW, first=RATE)
        self.camera = Camera(folder / "old.ts")
        self._number = count()

    def feed(self, *frames: bytes, corrupt: bool = False) -> None:
        for frame in frames:
            packet: av.Packet[Any] = av.Packet(frame)
            packet.pts = packet.dts = next(self._number) * STEP
            packet.is_corrupt = corrupt
            self.camera.feed(packet)

    def sizes(self) -> list[tuple[int, int]]:
        return [(up.track.width, up.track.height) for up in self.camera.listener.ups()]


@CODECS
@pytest.mark.parametrize("fault", ["slices", "a lost part", "in a frame before"])
def test_bare_key_frames_are_of_the_sets_whose_own_frame_was_damaged(
    tmp_path: Path, codec: NalCodec, fault: Literal["slices", "a lost part", "in a frame before"]
) -> None:
    """Invariant 4: they were recorded under the parameters of the form before, and nobody could decode them."""
    fed = Fed(tmp_path, codec)
    first, second = fed.new[:GOP], fed.new[GOP:]
    fed.feed(*fed.old)
    if fault == "in a frame before":
        fed.feed(b"".join(unit for is_set, unit in parts(codec, first[0]) if is_set) + bare(codec, fed.old[1]))
    elif fault == "slices":
        fed.feed(slices_damaged(codec, first[0]))
    else:
        fed.feed(first[0], corrupt=True)
    fed.feed(*first[1:], *(bare(codec, frame) for frame in second))
    listener = fed.camera.finish()
    assert fed.sizes() == [OLD, NEW]
    assert numbers(listener.batches()) == [*range(RATE), *range(RATE + GOP, 2 * RATE)]
    assert [(gap.cause, gap.frames) for gap in listener.gaps()] == [("corrupt", GOP)]


@CODECS
def test_bare_key_frames_are_of_the_sets_that_hold_where_the_new_ones_were_damage(
    tmp_path: Path, codec: NalCodec
) -> None:
    """Invariant 4: what is damaged costs its group, and no frame behind it."""
    fed = Fed(tmp_path, codec)
    first, second = fed.old[:GOP], fed.old[GOP:]
    fed.feed(*first, sets_damaged(codec, second[0]), *second[1:])
    for _ in range(3):
        fed.feed(bare(codec, first[0]), *first[1:])
    listener = fed.camera.finish()
    assert fed.sizes() == [OLD]
    assert numbers(listener.batches()) == [*range(GOP)] * 4
    assert [(gap.cause, gap.frames) for gap in listener.gaps()] == [("corrupt", GOP)]


@CODECS
def test_bare_key_frames_of_neither_form_end_in_opening_the_camera_again(tmp_path: Path, codec: NalCodec) -> None:
    fed = Fed(tmp_path, codec)
    third = film(tmp_path / "third.ts", codec, OTHER)
    fed.feed(*fed.old, slices_damaged(codec, fed.new[0]), *fed.new[1:GOP])
    fed.feed(bare(codec, third[0]), *third[1:GOP])
    with pytest.raises(DeviceLost, match="key frames that can't be decoded"):
        fed.feed(bare(codec, third[GOP]))
    assert fed.sizes() == [OLD]


@CODECS
def test_bare_key_frames_of_sets_that_mp4_can_not_hold_are_not_recorded_under_others(
    tmp_path: Path, codec: NalCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 4: the sets were taken for those of the track, and what followed them was recorded in it."""
    fed = Fed(tmp_path, codec)
    fed.feed(*fed.old)

    monkeypatch.setattr(parameter_sets, "init_of_annexb", unusable)
    fed.feed(*fed.new[:GOP], bare(codec, fed.new[GOP]), *fed.new[GOP + 1 :])
    with pytest.raises(DeviceLost, match="key frames that can't be decoded"):
        fed.feed(bare(codec, fed.new[0]))
    listener = fed.camera.finish()
    assert fed.sizes() == [OLD]
    assert numbers(listener.batches()) == [*range(RATE)]
    assert sum(gap.frames for gap in listener.gaps()) == RATE


@CODECS
def test_a_track_goes_on_behind_sets_that_mp4_can_not_hold(
    tmp_path: Path, codec: NalCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 4: what is left out ends with the first key frame of what was there before."""
    fed = Fed(tmp_path, codec)
    fed.feed(*fed.old)

    monkeypatch.setattr(parameter_sets, "init_of_annexb", unusable)
    fed.feed(*fed.new[:GOP], bare(codec, fed.old[0]), *fed.old[1:])
    listener = fed.camera.finish()
    assert fed.sizes() == [OLD]
    assert numbers(listener.batches()) == [*range(RATE)] * 2
    assert [(gap.cause, gap.frames) for gap in listener.gaps()] == [("corrupt", GOP)]


@CODECS
@pytest.mark.parametrize("suffix", ["raw", "ts", "mkv"])
def test_a_size_that_changes_while_the_stream_is_opened_is_that_of_the_sets(
    tmp_path: Path, codec: NalCodec, suffix: str
) -> None:
    """The track and its init segment had the size that libav came to last, and the sets that it came to first."""
    old, new = film(tmp_path / "old.ts", codec, OLD), film(tmp_path / "new.ts", codec, NEW, first=RATE)
    raw = tmp_path / f"raw.{codec}"
    raw.write_bytes(b"".join([*old[:FEW], *new]))
    source = raw
    if suffix != "raw":
        source = tmp_path / f"clip.{suffix}"
        ffmpeg("-r", str(RATE), "-i", str(raw), "-c", "copy", str(source))
    camera = Camera(source)
    camera.feed_all()
    listener = camera.finish()
    assert [(up.track.width, up.track.height) for up in listener.ups()] == [OLD, NEW]
    assert [size_in(up.track.init) for up in listener.ups()] == [OLD, NEW]
    assert numbers(listener.batches()) == [*range(FEW), *range(RATE, 2 * RATE)]
    assert [gap for gap in listener.gaps() if gap.cause != "timestamps"] == []


@CODECS
def test_bare_key_frames_ahead_of_the_first_sets_are_not_taken_for_those_of_another_size(
    tmp_path: Path, codec: NalCodec
) -> None:
    """Invariant 4: the opening had read ahead to the sets, and a group that they don't decode was recorded."""
    old, new = film(tmp_path / "old.ts", codec, OLD), film(tmp_path / "new.ts", codec, NEW, first=RATE)
    raw = tmp_path / f"raw.{codec}"
    raw.write_bytes(b"".join([bare(codec, old[0]), *old[1:FEW], *new]))
    camera = Camera(raw)
    camera.feed_all()
    listener = camera.finish()
    assert [(up.track.width, up.track.height) for up in listener.ups()] == [NEW]
    assert numbers(listener.batches()) == [*range(RATE, 2 * RATE)]
    assert [gap.frames for gap in listener.gaps() if gap.cause == "corrupt"] == [FEW]


def test_a_shape_that_changes_while_the_stream_is_opened_is_that_of_the_sets(tmp_path: Path) -> None:
    """The same of what an init segment says beside the size."""
    parted, shapes = [], ["1", "4/3"]
    for number, shape in enumerate(shapes):
        options = ("-c:v", "libx264", "-g", "5", "-bf", "0", "-vf", f"setsar={shape}")
        parted.append(clip(tmp_path / f"{number}.h264", *options, frames=FEW * (1 + 5 * number)).read_bytes())
    raw = tmp_path / "raw.h264"
    raw.write_bytes(b"".join(parted))
    camera = Camera(raw)
    camera.feed_all()
    said = []
    for up in camera.finish().ups():
        with av.open(io.BytesIO(up.track.init)) as container:
            said.append(str(container.streams.video[0].sample_aspect_ratio))
    assert said == shapes


def size_in(init: bytes) -> tuple[int, int]:
    """Width and height of a sample entry of video (ISO/IEC 14496-12, 12.1.3)."""
    at = next(at for name in (b"avc1", b"hvc1") if (at := init.find(name, init.index(b"stsd"))) > 0)
    width, height = struct.unpack_from(">HH", init, at + 28)
    return width, height


RECOVERY = b"\0\0\0\1\x06\x06\x01\x84\x80"  # a message that a decoder may begin here: H.264, recovery point


def recovering(packet: av.Packet[Any]) -> av.Packet[Any]:
    made: av.Packet[Any] = av.Packet(RECOVERY + bytes(packet))
    made.pts, made.dts = packet.pts, packet.dts
    return made


def test_video_that_had_stopped_is_up_again_with_its_next_key_frame(tmp_path: Path) -> None:
    """Invariant 4: the track is told anew, once, and before its first frame; until then it is said what lacks."""
    path = tmp_path / "clip.ts"
    numbered_clip(path, 4 * GOP, rate=RATE, gop_s=GOP / RATE)
    camera = Camera(path)
    packets = list(camera.packets())
    camera.feed_all(packets[: GOP + 5])
    camera.path.interrupt(camera.listener.send)
    before = len(camera.listener.events)
    for packet in packets[GOP + 5 : 2 * GOP]:
        camera.feed(recovering(packet))
        assert camera.path.lacks == NO_CLOSED_GROUP
    assert len(camera.listener.events) == before, "nothing can begin at a frame that refers back"
    camera.feed_all(packets[2 * GOP :])
    ups = camera.finish().ups()
    assert len(ups) == 2
    assert ups[0].track is ups[1].track
    assert camera.listener.events[before : before + 1] == [ups[1]]
    assert numbers(camera.listener.batches()) == [*range(GOP + 5), *range(2 * GOP, 4 * GOP)]


def test_an_open_group_before_the_first_key_frame_is_not_to_blame_for_what_follows(tmp_path: Path) -> None:
    """The refusal names what has to be set at the camera: here it is the distance of its key frames."""
    path = tmp_path / "clip.ts"
    numbered_clip(path, 4 * GOP, rate=RATE, gop_s=GOP / RATE)
    camera = Camera(path, loop_s=1)
    packets = list(camera.packets())
    camera.feed_all(recovering(packet) for packet in packets[GOP - 3 : GOP])
    with pytest.raises(SourceRefused, match="its key frames lie more than"):
        camera.feed_all(packets[GOP:])


@pytest.mark.parametrize("steady", [0, 1], ids=["the form that was kept", "the other one"])
def test_a_camera_that_holds_its_form_again_is_up_again(tmp_path: Path, steady: int) -> None:
    """Invariant 4: that it flips was a fault; told anew, in whichever form, its track says that this is over."""
    films = [film(tmp_path / f"{size[0]}.ts", "h264", size) for size in (OTHER, OLD)]
    keys = [frames[0] for frames in films]
    camera = Camera(tmp_path / f"{OTHER[0]}.ts")
    flips = [keys[turn % 2] for turn in range(2 * MOST)]
    for index, data in enumerate([*flips, *[keys[steady]] * (4 * RATE)]):
        packet: av.Packet[Any] = av.Packet(data)
        packet.pts = packet.dts = index * STEP
        camera.feed(packet)
    listener = camera.finish()
    (fault,) = [event for event in listener.events if isinstance(event, FaultChanged)]
    behind = listener.events[listener.events.index(fault) :]
    ups = [event for event in behind if isinstance(event, SourceUp)]
    assert [up.track.width for up in ups] == [(OTHER, OLD)[steady][0]]
    assert listener.batches()[-1].track is ups[0].track
