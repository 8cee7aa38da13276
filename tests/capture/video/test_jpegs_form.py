"""The form of a camera's JPEGs: read once for those of libjpeg-turbo, and anew where libav has decoded one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.video.stream import VideoStream

from bwvd.capture.timestamps import FrameTimes, KernelStamps, Moment, TimeBase
from bwvd.capture.video import encoder_failover
from bwvd.capture.video.colours import JFIF
from bwvd.capture.video.encoder_choice import EncoderCall, EncoderChoice
from bwvd.capture.video.encoder_failover import FailoverEncoder
from bwvd.capture.video.frame_loss import Losses
from bwvd.capture.video.jpeg import decoder_of
from bwvd.capture.video.presentation import PLAIN, Form, FormReader
from bwvd.capture.video.transcode import EncodedVideo
from bwvd.clock import NS
from bwvd.config.schema import Config, Video
from bwvd.media.samples import Batch
from bwvd.messages import MediaEvent
from bwvd.testing.clip import numbered_clip
from bwvd.testing.clock import VirtualClock
from tests.support.capture_listen import decode_video
from tests.support.jpegs import needs_turbojpeg, psnr

RATE = 30
STEP = NS // RATE
COUNT = 12


@pytest.fixture(autouse=True)
def _library() -> None:
    needs_turbojpeg()


def with_aspect(data: bytes, width: int) -> bytes:
    """A JPEG that says in a JFIF header how wide a sample is, to a height of 1."""
    return data[:2] + b"\xff\xe0\0\x10JFIF\0\1\1\0\0" + bytes([width]) + b"\0\1\0\0" + data[2:]


def with_rest(data: bytes) -> bytes:
    """The same image with bytes behind it that mean nothing: libjpeg-turbo complains, libav does not."""
    return data[:-2] + bytes(4) + data[-2:]


class Aside(FormReader):
    """Says of every frame that it is to be turned."""

    def read(self, frame: av.VideoFrame, stream: VideoStream) -> Form:  # noqa: ARG002 - as it is asked
        return Form(frame.width, frame.height, replace(PLAIN, colours=JFIF), "transpose=clock")


class Camera:
    """Packets in, and how many frames there were in each group of one track behind the other."""

    def __init__(self, stream: VideoStream, forms: FormReader | None = None) -> None:
        config = Config(video=Video(encoder="libx264", keyframe_s=10, stamp=False))
        self.losses = Losses(STEP, live=True)
        encoder = FailoverEncoder(config.video, "camera", Fraction(RATE), self.losses, EncoderChoice(), EncoderCall())
        self.jpeg = decoder_of(stream)
        times, self.at_ns = FrameTimes(KernelStamps(), STEP, live=True), 1_000 * NS
        clock = VirtualClock(seconds=lambda: self.at_ns / NS)
        self.path = EncodedVideo(config, clock, times, self.losses, encoder, 0, self.jpeg, _forms=forms or FormReader())
        self.events: list[MediaEvent] = []

    def feed(self, data: bytes, stream: VideoStream) -> None:
        packet: av.Packet[Any] = av.Packet(data)
        packet.pts = packet.dts = self.at_ns
        packet.stream = stream
        self.path.feed(packet, TimeBase(1, 1), Moment(self.at_ns, self.at_ns), self.events.append)
        self.at_ns += STEP

    def batches(self) -> list[Batch]:
        self.path.finish(self.events.append, whole=False)
        self.path.close()
        return [event for event in self.events if isinstance(event, Batch)]

    def frames(self) -> list[int]:
        return [len(batch.samples) for batch in self.batches()]


def opened(path: Path) -> Iterator[tuple[VideoStream, list[bytes]]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        yield stream, [bytes(packet) for packet in container.demux(stream) if packet.size]


def test_what_libav_reads_between_holds_for_those_behind_it(tmp_path: Path) -> None:
    """Invariant 4: one change of the aspect is one other track, and not one for each decoder in turn."""
    path = tmp_path / "clip.avi"
    numbered_clip(path, COUNT, rate=RATE, codec="mjpeg")
    for stream, jpegs in opened(path):
        camera = Camera(stream)
        for number, data in enumerate(jpegs):
            sent = with_aspect(data, 1 if number < 5 else 2)
            camera.feed(with_rest(sent) if number == 5 else sent, stream)
        assert camera.frames() == [5, COUNT - 5]


def test_another_stream_is_of_its_own_form(tmp_path: Path) -> None:
    """Invariant 4: a file that is played again may be another one."""
    path = tmp_path / "clip.avi"
    numbered_clip(path, COUNT, rate=RATE, codec="mjpeg")
    for stream, jpegs in opened(path):
        for other, others in opened(path):
            other.codec_context.sample_aspect_ratio = Fraction(2)
            camera = Camera(stream)
            for data in jpegs:
                camera.feed(data, stream)
            for data in others:
                camera.feed(data, other)
            assert camera.frames() == [COUNT, COUNT]


def test_an_encoder_of_limited_range_gets_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of JPEGs too, which are of full range: shown as limited they would lose blacks and whites."""
    path = tmp_path / "clip.avi"
    numbered_clip(path, COUNT, rate=RATE, codec="mjpeg")
    monkeypatch.setattr(encoder_failover, "FULL_RANGE", frozenset())
    for stream, jpegs in opened(path):
        camera = Camera(stream)
        for data in jpegs:
            camera.feed(data, stream)
        shown = [frame for _, frame in decode_video(camera.batches())]
        assert len(shown) == COUNT
        assert {int(frame.color_range) for frame in shown} == {1}
        blacks = [min(bytes(frame.planes[0])[: frame.width]) for frame in shown]
        assert max(blacks) - min(blacks) <= 1  # those that libav has decoded and those that it has not


def test_all_are_turned_that_are_to_be(tmp_path: Path) -> None:
    """Invariant 4: those that need nothing else too."""
    path = tmp_path / "clip.avi"
    numbered_clip(path, COUNT, rate=RATE, codec="mjpeg", width=128, height=96)
    for stream, jpegs in opened(path):
        camera = Camera(stream, Aside())
        for _ in range(COUNT):
            camera.feed(jpegs[0], stream)
        shown = [frame for _, frame in decode_video(camera.batches())]
        assert [(frame.width, frame.height) for frame in shown] == [(96, 128)] * COUNT
        # The first is libav's, the others are not: an encoder would squeeze one that lies on its side.
        assert min(psnr(frame.planes[0], shown[0].planes[0]) for frame in shown[1:]) > 25
