"""Packets of a camera that encodes by itself: every form, every fault, driven packet by packet without a clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from av.video.stream import VideoStream

from bwvd.capture.address import parse_address
from bwvd.capture.source import DeviceLost, SourceRefused
from bwvd.capture.timestamps import FrameTimes, Moment, Playback, TimeBase
from bwvd.capture.video import passthrough
from bwvd.capture.video.frame_loss import Losses
from bwvd.capture.video.passthrough import CopiedVideo
from bwvd.clock import NS
from bwvd.config.schema import VIDEO_SCHEMES, Config, Loop, Video
from bwvd.media.nal import annexb_units, prefixed_units
from bwvd.media.samples import overwrite
from bwvd.testing.clip import numbered_clip
from bwvd.testing.picture import draw_number
from tests.support.capture_listen import Listener, numbers

RATE = 30
START = 1_000 * NS


class Camera:
    """A camera's packets out of a file, handed to the path one by one."""

    def __init__(self, clip: Path, loop_s: float = 30, max_bytes: int = 1 << 26, live: bool = False) -> None:
        self.container = av.open(str(clip))
        self.stream = self.container.streams.video[0]
        config = Config(video=Video(encoder="copy"), loop=Loop(seconds=loop_s, max_bytes=max_bytes))
        self.playback = Playback(START)
        address = parse_address(f"file:{clip}", "video.source", VIDEO_SCHEMES)
        step_ns = NS // RATE
        self.path = CopiedVideo(
            self.stream,
            config,
            address,
            Fraction(RATE),
            FrameTimes(self.playback.of(0), step_ns, live),
            Losses(step_ns, live),
        )
        self.listener = Listener()

    def packets(self) -> Iterator[av.Packet[av.VideoStream]]:
        for packet in self.container.demux(self.stream):
            if packet.size:
                yield packet

    def feed(self, packet: av.Packet[Any]) -> None:
        base = self.stream.time_base or Fraction(1)
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is not None:
            self.playback.due(int(stamp * base * NS))
        self.path.feed(packet, TimeBase.of(base), Moment(START, 0), self.listener.send)

    def feed_all(self, packets: Iterable[av.Packet[Any]] | None = None) -> None:
        for packet in self.packets() if packets is None else packets:
            self.feed(packet)

    def finish(self) -> Listener:
        self.path.finish(self.listener.send, True)
        self.path.close()
        self.container.close()
        return self.listener


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [("libx264", "mp4"), ("libx264", "ts"), ("libx264", "mkv"), ("libx265", "mp4"), ("libx265", "ts")],
)
def test_annexb_and_prefixed_streams_come_out_in_the_form_of_mp4(tmp_path: Path, codec: str, suffix: str) -> None:
    clip = tmp_path / f"clip.{suffix}"
    numbered_clip(clip, 60, rate=RATE, gop_s=0.5, b_frames=2, codec=codec)
    camera = Camera(clip)
    camera.feed_all()
    batches = camera.finish().batches()
    assert numbers(batches) == list(range(60))
    assert [len(batch.samples) for batch in batches] == [15] * 4
    for batch in batches:
        for sample in batch.samples:
            assert prefixed_units(batch.data[sample.offset : sample.offset + sample.size], 4)
    assert [tuple(b"moov" in up.track.init for up in camera.listener.ups())] == [(True,)]


def test_what_comes_before_the_first_key_frame_is_left_out(tmp_path: Path) -> None:
    """Invariant 3: a recording starts at a key frame, because nothing else ever leaves capture."""
    clip = tmp_path / "clip.ts"
    numbered_clip(clip, 90, rate=RATE, gop_s=1)
    camera = Camera(clip)
    for index, packet in enumerate(camera.packets()):
        if index >= 7:
            camera.feed(packet)
    batches = camera.finish().batches()
    assert numbers(batches) == list(range(30, 90))
    assert camera.listener.gaps() == []


def test_key_frames_too_far_apart_are_refused_with_both_numbers(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, 120, rate=RATE, gop_s=3)
    camera = Camera(clip, loop_s=10)
    with pytest.raises(SourceRefused) as refused:
        camera.feed_all()
    text = str(refused.value)
    assert text.startswith("video.source: ")
    assert "loop.seconds = 10" in text
    assert "the limit is 2 s" in text


def test_the_refusal_does_not_wait_for_a_second_key_frame(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, 300, rate=RATE, gop_s=100)
    camera = Camera(clip, loop_s=10)
    packets = camera.packets()
    for _ in range(62):
        camera.feed(next(packets))
    with pytest.raises(SourceRefused, match="more than 2"):
        camera.feed(next(packets))


def test_key_frames_at_the_limit_are_taken(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, 120, rate=RATE, gop_s=2)
    camera = Camera(clip, loop_s=10)
    camera.feed_all()
    assert numbers(camera.finish().batches()) == list(range(120))


def test_as_many_frames_as_the_limit_has_are_not_too_many_by_the_width_of_one(tmp_path: Path) -> None:
    """60 frames at 59.94 a second last for 1.001 s."""
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, 180, rate=Fraction(60_000, 1_001), gop_s=1.001)
    camera = Camera(clip, loop_s=5)
    camera.feed_all()
    assert [len(batch.samples) for batch in camera.finish().batches()] == [60] * 3


OPEN_GROUPS = pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"x264-params": "open-gop=1:bframes=2:keyint=15:min-keyint=15:scenecut=0:b-adapt=0"}),
        ("libx264", {"x264-params": "intra-refresh=1:bframes=0:keyint=15:scenecut=0"}),
        ("libx265", {"x265-params": "open-gop=1:bframes=2:keyint=15:min-keyint=15:scenecut=0:log-level=none"}),
    ],
    ids=["h264", "h264 refreshed", "hevc"],
)
OPEN_REFUSED = r"its groups of pictures are open, .* lie more than 2\.\d s apart.* \(IDR frames\)"


def open_clip(folder: Path, codec: str, options: dict[str, str]) -> Path:
    """Four seconds in which only the first frame is one at which a recording could begin."""
    clip = folder / "clip.mp4"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options={"preset": "ultrafast", **options})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.thread_count = 1
        for number in range(120):
            frame = av.VideoFrame(64, 48, "yuv420p")
            draw_number(frame, number)
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return clip


@OPEN_GROUPS
def test_open_groups_are_refused_as_what_they_are(tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    """Their key frames lie half a second apart, and it is not that which is wrong with them."""
    camera = Camera(open_clip(tmp_path, codec, options), loop_s=10)
    with pytest.raises(SourceRefused, match=OPEN_REFUSED):
        camera.feed_all()


@OPEN_GROUPS
def test_open_groups_are_refused_where_we_come_to_a_stream_behind_its_beginning(
    tmp_path: Path, codec: str, options: dict[str, str]
) -> None:
    """Nothing can ever begin, so no group's length could tell: it is the stream that goes on for so long."""
    camera = Camera(open_clip(tmp_path, codec, options), loop_s=10)
    packets = camera.packets()
    for _ in range(5):
        next(packets)
    with pytest.raises(SourceRefused, match=OPEN_REFUSED):
        camera.feed_all(packets)
    assert camera.finish().batches() == []


@OPEN_GROUPS
def test_a_hole_hides_no_open_groups(tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    """What came before it counts no more, because a key frame may have been lost in it; what follows it does."""
    camera = Camera(open_clip(tmp_path, codec, options), loop_s=10)
    packets = list(camera.packets())
    second = round(1 / (camera.stream.time_base or 1))
    for packet in packets[40:]:
        packet.pts, packet.dts = (packet.pts or 0) + second, (packet.dts or 0) + second
    camera.feed_all(packets[: 40 + 2 * RATE])
    with pytest.raises(SourceRefused, match=OPEN_REFUSED):
        camera.feed_all(packets[40 + 2 * RATE :])


def test_holes_that_hide_the_key_frames_do_not_let_a_group_outgrow_the_loop(tmp_path: Path) -> None:
    """Invariant 2: where no stretch is long enough to refuse the camera, a group ends as long as the loop."""
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, 300, rate=RATE, gop_s=100)
    camera = Camera(clip, loop_s=10)
    hole = round(1 / (camera.stream.time_base or 1))
    for index, packet in enumerate(camera.packets()):
        packet.pts = packet.dts = (packet.dts or 0) + index // 30 * hole
        camera.feed(packet)
    listener = camera.finish()
    (batch,) = listener.batches()
    assert 9 * NS < batch.end_ns - batch.start_ns <= 10 * NS + 2 * NS // RATE
    assert [(gap.cause, gap.frames) for gap in listener.gaps()] == [("no_key_frame", 300 - len(batch.samples))]


def test_a_stall_does_not_make_a_long_group(tmp_path: Path) -> None:
    """A group is long because the camera was silent, not because it is set so: that is a gap, and no refusal."""
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, 60, rate=RATE, gop_s=1)
    camera = Camera(clip, loop_s=10)
    for index, packet in enumerate(camera.packets()):
        if index >= 20:
            packet.pts = packet.dts = (packet.dts or 0) + round(2.5 / (camera.stream.time_base or 1))
        camera.feed(packet)
    assert numbers(camera.finish().batches()) == list(range(60))


def test_a_slow_camera_has_no_holes_between_its_frames(tmp_path: Path) -> None:
    """Invariant 3: at a frame a second none of them hides that the key frames are too far apart."""
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, 20, rate=1, gop_s=100)
    camera = Camera(clip, loop_s=10)
    with pytest.raises(SourceRefused, match="key frames lie more than"):
        camera.feed_all()


def test_a_group_that_never_ends_does_not_eat_the_memory(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, 100, rate=RATE, gop_s=100)
    camera = Camera(clip, loop_s=1_000, max_bytes=2_000)
    with pytest.raises(SourceRefused, match=r"loop\.max_bytes = 2000"):
        camera.feed_all()


def test_a_corrupt_packet_costs_the_rest_of_its_group_and_is_told(tmp_path: Path) -> None:
    """Invariant 4: what is missing is named, with the number of frames, and ends at a key frame."""
    clip = tmp_path / "clip.ts"
    numbered_clip(clip, 90, rate=RATE, gop_s=1)
    camera = Camera(clip)
    for index, packet in enumerate(camera.packets()):
        packet.is_corrupt = index == 40
        camera.feed(packet)
    listener = camera.finish()
    assert numbers(listener.batches()) == [*range(40), *range(60, 90)]
    (gap,) = listener.gaps()
    assert (gap.kind, gap.cause, gap.frames) == ("video", "corrupt", 20)
    first = listener.batches()[0].start_ns
    assert abs(gap.from_ns - first - 40 * NS // RATE) < 1_000
    assert abs(gap.to_ns - first - 60 * NS // RATE) < 1_000


@pytest.mark.parametrize("data", [b"", b"\0\0\0\xff", b"\xff" * 40])
def test_a_broken_access_unit_is_no_crash(tmp_path: Path, data: bytes) -> None:
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, 60, rate=RATE, gop_s=0.5)
    camera = Camera(clip)
    for index, packet in enumerate(camera.packets()):
        if index == 20:
            broken: av.Packet[Any] = av.Packet(data)
            broken.pts, broken.dts = packet.pts, packet.dts
            camera.feed(broken)
        else:
            camera.feed(packet)
    listener = camera.finish()
    assert numbers(listener.batches()) == [*range(20), *range(30, 60)]
    assert [(gap.cause, gap.frames) for gap in listener.gaps()] == [("corrupt", 10)]


@pytest.mark.parametrize("fault", ["missing", "backward", "huge", "same"])
def test_bad_stamps_cost_no_frame_and_break_no_order(tmp_path: Path, fault: str) -> None:
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, 90, rate=RATE, gop_s=0.5)
    camera = Camera(clip)
    for index, packet in enumerate(camera.packets()):
        if 30 <= index < 36:
            match fault:
                case "missing":
                    packet.pts = packet.dts = None
                case "backward":
                    packet.pts = packet.dts = 0
                case "huge":
                    packet.pts = packet.dts = 1 << 50
                case _:
                    packet.pts = packet.dts = 30 * 512
        camera.feed(packet)
    listener = camera.finish()
    assert sorted(numbers(listener.batches())) == list(range(90))
    times = [sample.dts_ns for batch in listener.batches() for sample in batch.samples]
    assert all(a < b for a, b in pairwise(times))
    # A run of zeros that ends leaves a hole of its own length: nobody can tell it from a pause of the camera.
    assert times[-1] - times[0] <= 90 * NS // RATE + (NS + 10 * NS // RATE) * (fault == "backward")
    assert {gap.cause for gap in listener.gaps()} == {"timestamps"}


def test_a_camera_that_changes_its_size_begins_another_track(tmp_path: Path) -> None:
    """The parameter sets in the stream say so; the track epoch changes without a lost frame."""
    small, large = tmp_path / "small.ts", tmp_path / "large.ts"
    numbered_clip(small, 30, rate=RATE, gop_s=0.5)
    numbered_clip(large, 30, rate=RATE, gop_s=0.5, width=96, height=64, first=30)
    camera = Camera(small)
    camera.feed_all()
    with av.open(str(large)) as container:
        for packet in container.demux(video=0):
            if packet.size:
                stamped: av.Packet[Any] = av.Packet(bytes(packet))
                stamped.pts = stamped.dts = (packet.dts or 0) + 90_000
                camera.feed(stamped)
    listener = camera.finish()
    assert numbers(listener.batches()) == list(range(60))
    assert [(up.track.width, up.track.height) for up in listener.ups()] == [(64, 48), (96, 64)]
    assert [batch.track for batch in listener.batches()] == [up.track for up in listener.ups() for _ in range(2)]


def stamped(data: bytes, like: av.Packet[Any]) -> av.Packet[Any]:
    packet: av.Packet[Any] = av.Packet(data)
    packet.pts, packet.dts = like.pts, like.dts
    return packet


def unit_kinds(data: bytes) -> list[int]:
    return [data[start] & 31 for start, _ in annexb_units(data)]


@pytest.mark.parametrize("at", [4, 5, 6])  # what follows these bytes of this SPS can't be decoded; size is in them
def test_damaged_parameter_sets_cost_their_group_and_change_no_track(tmp_path: Path, at: int) -> None:
    """What looks like another size is not believed before its key frame has been decoded."""
    clip = tmp_path / "clip.ts"
    numbered_clip(clip, 90, rate=RATE, gop_s=0.5)
    camera = Camera(clip)
    for index, packet in enumerate(camera.packets()):
        data = bytearray(packet)
        if index == 30:
            start = next(a for a, _ in annexb_units(data) if data[a] & 31 == 7)
            data[start + at] ^= 0x3C
        camera.feed(stamped(bytes(data), packet))
    listener = camera.finish()
    assert numbers(listener.batches()) == [*range(30), *range(45, 90)]
    assert [(gap.cause, gap.frames) for gap in listener.gaps()] == [("corrupt", 15)]
    assert len(listener.ups()) == 1


def test_key_frames_that_none_can_decode_end_in_opening_the_camera_again(tmp_path: Path) -> None:
    clip = tmp_path / "clip.ts"
    numbered_clip(clip, 90, rate=RATE, gop_s=0.5)
    camera = Camera(clip)
    packets = list(camera.packets())
    for packet in packets:
        data = bytearray(packet)
        for start, _ in annexb_units(data):
            if data[start] & 31 == 7:
                data[start + 5] ^= 0x3C
        if packet.is_keyframe and packet is packets[2 * 15]:
            break
        camera.feed(stamped(bytes(data), packet))
    with pytest.raises(DeviceLost, match="key frames that can't be decoded"):
        camera.feed(stamped(bytes(data), packets[2 * 15]))


@pytest.mark.parametrize("kept", [(7, 8, 5), (7, 5), (8, 5), (5,)])
def test_a_key_frame_without_its_parameter_sets_is_decoded_with_those_from_before(
    tmp_path: Path, kept: tuple[int, ...]
) -> None:
    """What is known from the opening holds, until something else is said."""
    clip = tmp_path / "clip.ts"
    numbered_clip(clip, 60, rate=RATE, gop_s=0.5)
    camera = Camera(clip)
    for packet in camera.packets():
        data = bytes(packet)
        parts = [data[a:b] for a, b in annexb_units(data) if data[a] & 31 in (*kept, 1)]
        camera.feed(stamped(b"".join(b"\0\0\0\1" + part for part in parts), packet))
    listener = camera.finish()
    assert numbers(listener.batches()) == list(range(60))
    assert len(listener.ups()) == 1


def test_parameter_sets_in_a_packet_of_their_own_belong_to_the_next_picture_and_are_no_frame(tmp_path: Path) -> None:
    """Some drivers hand them over so. A change of size that comes so is a change of size."""
    small, large = tmp_path / "small.ts", tmp_path / "large.ts"
    numbered_clip(small, 30, rate=RATE, gop_s=0.5)
    numbered_clip(large, 30, rate=RATE, gop_s=0.5, width=96, height=64, first=30)
    camera = Camera(small)
    for clip, later in ((small, 0), (large, 90_000)):
        with av.open(str(clip)) as container:
            for packet in container.demux(video=0):
                if not packet.size:
                    continue
                packet.pts = packet.dts = (packet.dts or 0) + later
                data = bytes(packet)
                parts = {data[a] & 31: b"\0\0\0\1" + data[a:b] for a, b in annexb_units(data)}
                if 7 in parts:
                    camera.feed(stamped(parts[7] + parts[8], packet))
                camera.feed(stamped(b"".join(part for kind, part in parts.items() if kind in (1, 5)), packet))
    listener = camera.finish()
    assert numbers(listener.batches()) == list(range(60))
    assert [len(batch.samples) for batch in listener.batches()] == [15] * 4
    assert [(up.track.width, up.track.height) for up in listener.ups()] == [(64, 48), (96, 64)]


@pytest.mark.parametrize("fault", ["forbidden bit", "two kinds of picture", "other parameter sets"])
def test_what_no_encoder_makes_is_damage(tmp_path: Path, fault: str) -> None:
    clip = tmp_path / "clip.ts"
    numbered_clip(clip, 60, rate=RATE, gop_s=0.5)
    camera = Camera(clip)
    for index, packet in enumerate(camera.packets()):
        data = bytes(packet)
        if index == 20:
            start = next(a for a, _ in annexb_units(data) if data[a] & 31 == 1)
            match fault:
                case "forbidden bit":
                    data = data[:start] + bytes([data[start] | 0x80]) + data[start + 1 :]
                case "two kinds of picture":
                    data += b"\0\0\1\x65" + data[start + 1 :]
                case _:
                    data = b"\0\0\1\x67\x42\x00\x0a\xf8\x41\xa2" + data
        camera.feed(stamped(data, packet))
    listener = camera.finish()
    assert numbers(listener.batches()) == [*range(20), *range(30, 60)]
    assert [(gap.cause, gap.frames) for gap in listener.gaps()] == [("corrupt", 10)]


def test_damage_at_the_very_end_is_counted_too(tmp_path: Path) -> None:
    clip = tmp_path / "clip.ts"
    numbered_clip(clip, 30, rate=RATE, gop_s=0.5)
    camera = Camera(clip)
    for index, packet in enumerate(camera.packets()):
        packet.is_corrupt = index == 25
        camera.feed(packet)
    listener = camera.finish()
    assert numbers(listener.batches()) == list(range(25))
    assert [(gap.cause, gap.frames) for gap in listener.gaps()] == [("corrupt", 5)]


def test_a_camera_that_goes_slower_in_the_dark_may_have_longer_groups(tmp_path: Path) -> None:
    """It counts its groups in frames: at a quarter of the rate they are four times as long. That is no refusal."""
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, 120, rate=RATE, gop_s=1)
    camera = Camera(clip, loop_s=10)  # the limit is 2 s
    at = 0.0
    for index, packet in enumerate(camera.packets()):
        packet.pts = packet.dts = round(at / (camera.stream.time_base or 1))
        at += (1 if index < 60 else 4) / RATE
        camera.feed(packet)
    listener = camera.finish()
    assert numbers(listener.batches()) == list(range(120))
    assert [round((batch.end_ns - batch.start_ns) / NS) for batch in listener.batches()] == [1, 1, 4, 4]
    assert listener.gaps() == []


@pytest.mark.parametrize("sets", ["with key frames", "with each frame"])
def test_a_camera_whose_key_frames_stop_coming_loses_what_no_loop_could_hold(tmp_path: Path, sets: str) -> None:
    """It was set well, so it is not refused: what is too long is left out, counted, and over at the next key frame."""
    clip = tmp_path / "clip.ts"
    numbered_clip(clip, 150, rate=RATE, gop_s=0.5)
    camera = Camera(clip, loop_s=3)
    packets = list(camera.packets())
    first = bytes(packets[0])
    repeated = b"".join(b"\0\0\1" + first[a:b] for a, b in annexb_units(first) if first[a] & 31 in (7, 8))
    for index, packet in enumerate(packets):
        data = bytes(packet)
        if 30 <= index < 135 and 5 in unit_kinds(data):
            packet = stamped(b"\0\0\1\x41" + data[-30:], packet)
        if sets == "with each frame":
            packet = stamped(repeated + bytes(packet), packet)
        camera.feed(packet)
    listener = camera.finish()
    assert [len(batch.samples) for batch in listener.batches()] == [15, 91, 15]
    assert [(gap.cause, gap.frames) for gap in listener.gaps()] == [("no_key_frame", 29)]


def test_mjpeg_can_not_be_copied_and_the_message_says_what_to_do(tmp_path: Path) -> None:
    clip = tmp_path / "clip.avi"
    numbered_clip(clip, 5, rate=RATE, codec="mjpeg")
    with pytest.raises(SourceRefused, match=r'^video\.encoder: "copy" takes h264 or hevc, .* gives mjpeg'):
        Camera(clip)


def test_the_groups_buffers_are_wiped_at_the_end(tmp_path: Path) -> None:
    """Invariant 2: what was not delivered is overwritten."""
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, 20, rate=RATE, gop_s=1)
    camera = Camera(clip)
    camera.feed_all()
    assembler = camera.path._assembler
    assert any(assembler._buffer)
    camera.path.close()
    assert not any(assembler._buffer)
    assert camera.listener.batches() == []


@pytest.mark.parametrize("suffix", ["ts", "mp4"])
def test_what_was_copied_to_be_looked_at_is_overwritten(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 2: Annex B is searched in a copy of ours. Units with their lengths are looked at where they lie."""
    clip = tmp_path / f"clip.{suffix}"
    numbered_clip(clip, 2 * RATE, codec="libx264")
    own: list[memoryview] = []

    def overwritten(view: memoryview) -> None:
        overwrite(view)
        own.append(view)

    monkeypatch.setattr(passthrough, "overwrite", overwritten)
    camera = Camera(clip)
    packets = list(camera.packets())
    camera.feed_all(packets)
    camera.finish()
    assert [len(view) for view in own] == ([packet.size for packet in packets] if suffix == "ts" else [])
    assert not any(any(view) for view in own)
