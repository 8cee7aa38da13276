"""Packets that were lost on the way: libav tells of them in its log alone, and whose they were it does not say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import av
import pytest

from bwvd.capture.address import parse_address
from bwvd.capture.device.device_thread import ThreadChannel
from bwvd.capture.device.libav_log import Line, libav_log
from bwvd.capture.device.open_input import transport_of
from bwvd.capture.device.packet_reader import PacketReader
from bwvd.clock import SystemClock
from bwvd.config.schema import VIDEO_SCHEMES, Config, Video
from bwvd.media.nal import START_CODE, prefixed_units
from bwvd.testing.clip import numbered_video
from tests.support.rtsp_camera import parameter_sets

LOST: Line = (24, "rtsp", "RTP: missed 3 packets\n")
VIDEO, AUDIO = 0, 1
PIECE = 160  # ticks of a packet of audio


def key_frame() -> tuple[bytes, bytes]:
    """A camera's parameter sets and a key frame, in Annex B."""
    group = numbered_video().gop((0,))
    offset, size = group.spans[0]
    one = group.data[offset : offset + size]
    sets = b"".join(b"\0" + START_CODE + unit for unit in parameter_sets())
    return sets, b"".join(b"\0" + START_CODE + one[a:b] for a, b in prefixed_units(one, 4))


@dataclass
class Packet:
    """What of a packet a reader looks at; libav's own belong to a stream that only libav can make."""

    stream_index: int
    data: bytes
    is_keyframe: bool = True
    stream: Any = None
    pts: int | None = None
    duration: int | None = None
    is_corrupt: bool = False

    @property
    def size(self) -> int:
        return len(self.data)

    def __bytes__(self) -> bytes:
        return self.data


@dataclass
class Camera:
    """An input as far as a reader sees one. Each packet comes with what libav writes into its log before it."""

    coming: list[tuple[Packet, list[Line]]] = field(default_factory=list)
    log: list[Line] = field(default_factory=list)
    streams: Any = field(default_factory=lambda: SimpleNamespace(video=[SimpleNamespace(index=VIDEO)]))
    intra_only: bool = False

    def frame(self, *log: Line, key: bool = False, data: bytes = b"frame", context: Any = None) -> None:
        of = context or SimpleNamespace(codec=SimpleNamespace(intra_only=self.intra_only))
        self.coming.append((Packet(VIDEO, data, key, SimpleNamespace(codec_context=of)), list(log)))

    def sound(self, at: int, *log: Line) -> None:
        self.coming.append((Packet(AUDIO, b"sound", pts=at * PIECE, duration=PIECE), list(log)))

    @property
    def packets(self) -> Iterator[Any]:
        for packet, log in self.coming:
            self.log += log
            yield packet

    def read(self) -> list[tuple[int, bool]]:
        """By packet: its stream, and whether it is called corrupt."""
        channel = ThreadChannel(SystemClock(), lambda _: None)
        channel.begin()
        reader = PacketReader(cast("Any", self), "rtsp://camera/live", channel, self.log)
        found = []
        while (packet := reader.read()) is not None:
            assert self.log == [], "it does not grow"
            found.append((packet.stream_index, bool(packet.is_corrupt)))
        return found


def test_a_loss_is_of_the_frame_that_comes_and_of_the_one_after_it() -> None:
    """Invariant 4: a frame is handed on when the next one has begun, and either may lack what was lost."""
    camera = Camera()
    camera.frame()
    camera.frame(LOST)
    camera.frame()
    camera.frame()
    assert camera.read() == [(VIDEO, False), (VIDEO, True), (VIDEO, True), (VIDEO, False)]


def test_a_loss_that_is_told_while_audio_comes_without_a_hole_is_of_the_video() -> None:
    """Invariant 4."""
    camera = Camera()
    camera.sound(0)
    camera.sound(1, LOST)
    camera.frame()
    camera.sound(2)
    camera.frame()
    camera.frame()
    assert camera.read() == [
        (AUDIO, False),
        (AUDIO, False),
        (VIDEO, True),
        (AUDIO, False),
        (VIDEO, True),
        (VIDEO, False),
    ]


def test_a_loss_of_audio_costs_no_frame() -> None:
    camera = Camera()
    camera.sound(0)
    camera.sound(2, LOST)
    camera.frame()
    assert camera.read() == [(AUDIO, False), (AUDIO, False), (VIDEO, False)]


def test_two_losses_in_one_read_are_of_both() -> None:
    """Invariant 4."""
    camera = Camera()
    camera.sound(0)
    camera.sound(2, LOST, LOST)
    camera.frame()
    assert camera.read()[-1] == (VIDEO, True)


def test_a_loss_while_the_stream_was_opened_is_of_what_comes_first() -> None:
    """Invariant 4."""
    camera = Camera(log=[LOST])
    camera.frame()
    assert camera.read() == [(VIDEO, True)]


def test_other_lines_of_the_log_are_no_loss_and_a_jpeg_that_comes_is_whole() -> None:
    camera = Camera(intra_only=True)
    camera.frame((24, "rtsp", "max delay reached. need to consume packet\n"))
    camera.frame(LOST)
    assert camera.read() == [(VIDEO, False), (VIDEO, False)]


@pytest.mark.parametrize("cut", [0, 40])
def test_a_key_frame_that_decodes_is_whole_and_one_that_was_cut_is_not(cut: int) -> None:
    """Invariant 4, and no frame is given up that is good."""
    sets, unit = key_frame()
    of = SimpleNamespace(codec=SimpleNamespace(intra_only=False, canonical_name="h264"), extradata=sets)
    camera = Camera()
    camera.frame(LOST, key=True, data=unit[: len(unit) - cut], context=of)
    assert camera.read() == [(VIDEO, bool(cut))]


@pytest.mark.parametrize(
    ("url", "asked", "log", "transport"),
    [
        ("rtsp://h/live", "auto", [], "tcp"),
        ("rtsp://h/live", "auto", [(16, "rtsp", "method SETUP failed: 461 (Unsupported transport)\n")], "udp"),
        ("rtsp://h/live", "udp", [], "udp"),
        ("rtsp://h/live", "tcp", [], "tcp"),
        ("rtsps://h/live", "auto", [], "tcp"),
        ("v4l2:/dev/video0", "auto", [], ""),
    ],
)
def test_which_transport_it_is(url: str, asked: Any, log: list[Line], transport: str) -> None:
    address = parse_address(url, "video.source", VIDEO_SCHEMES)
    assert transport_of(address, Config(video=Video(source=url, rtsp_transport=asked)), log) == transport


def test_the_log_is_kept_inside_the_block_and_off_elsewhere(capfd: pytest.CaptureFixture[str]) -> None:
    with libav_log(True) as lines:
        av.logging.log(av.logging.WARNING, "rtsp", "RTP: missed 1 packets")
        av.logging.log(av.logging.WARNING, "rtsp", "RTP: missed 1 packets")
    av.logging.log(av.logging.WARNING, "rtsp", "RTP: missed 1 packets")
    with libav_log(False) as none:
        av.logging.log(av.logging.WARNING, "rtsp", "RTP: missed 1 packets")
    assert [text for _, _, text in lines] == ["RTP: missed 1 packets"] * 2
    assert none == []
    assert capfd.readouterr() == ("", "")
