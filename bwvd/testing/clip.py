"""Numbered media: groups of pictures and sound for virtual devices, and whole files for `file:` sources."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import NamedTuple

import av
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.video.frame import PictureType
from av.video.stream import VideoStream

from bwvd.capture.init import VIDEO_TIMESCALE, InitSegment
from bwvd.testing.picture import draw_number

SOUND_FRAME = 1024  # samples of one AAC frame
CLIP_SOUND_RATE = 48_000
_SOUND_PACKETS = 512  # distinct ones; then they come again


class CodedGop(NamedTuple):
    """A closed group of pictures, one sample a frame."""

    data: bytes
    spans: tuple[tuple[int, int], ...]  # offset, size


class NumberedVideo:
    """H.264 groups of pictures with any frame numbers, made when first asked for and kept.

    Every group is independent of what was made before it, so any may follow any.
    **Synchronization:** one thread.
    """

    def __init__(self, width: int, height: int, rate: int) -> None:
        self._segment = InitSegment()
        stream = self._segment.container.add_stream(
            "libx264",
            rate=rate,
            options={
                "preset": "ultrafast",
                "tune": "zerolatency",
                "forced-idr": "1",
                "qp": "20",
                "x264-params": "annexb=0:scenecut=0:open-gop=0",
            },
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, VIDEO_TIMESCALE)
        stream.codec_context.gop_size = 1 << 20  # only where it is forced
        stream.codec_context.thread_count = 1
        stream.codec_context.flags |= Flags.global_header
        self._stream = stream
        self._step = VIDEO_TIMESCALE // rate
        self._made = 0
        self._gops: dict[tuple[int, ...], CodedGop] = {}
        self.width, self.height = width, height
        self.init = self._segment.finish()

    def gop(self, numbers: tuple[int, ...]) -> CodedGop:
        """The closed group of pictures whose frames carry `numbers`."""
        found = self._gops.get(numbers)
        if found is None:
            found = self._gops[numbers] = self._make(numbers)
        return found

    def _make(self, numbers: tuple[int, ...]) -> CodedGop:
        data = bytearray()
        spans = []
        for index, number in enumerate(numbers):
            frame = av.VideoFrame(self.width, self.height, "yuv420p")
            draw_number(frame, number)
            frame.pts, frame.time_base = self._made * self._step, Fraction(1, VIDEO_TIMESCALE)
            frame.pict_type = PictureType.NONE if index else PictureType.I
            self._made += 1
            (packet,) = self._stream.encode(frame)
            spans.append((len(data), packet.size))
            data += memoryview(packet)
        return CodedGop(bytes(data), tuple(spans))


@cache
def numbered_video(width: int = 64, height: int = 48, rate: int = 30) -> NumberedVideo:
    """The one maker for a size; another size or rate has another init segment."""
    return NumberedVideo(width, height, rate)


class NumberedSound:
    """AAC of noise: no two packets of a round are alike."""

    def __init__(self, rate: int, channels: int) -> None:
        self._segment = InitSegment()
        stream = _sound_stream(self._segment.container, rate, channels)
        self.rate, self.channels = rate, channels
        self.init = self._segment.finish()
        self._packets: list[bytes] = []
        for frame in _noise(rate, channels):
            self._packets += [bytes(packet) for packet in stream.encode(frame)]
            if len(self._packets) >= _SOUND_PACKETS:
                break

    def packet(self, number: int) -> bytes:
        """The AAC frame with this number; the numbers go round."""
        return self._packets[number % _SOUND_PACKETS]


@cache
def numbered_sound(rate: int = 48_000, channels: int = 1) -> NumberedSound:
    """The one maker for a rate and a number of channels."""
    return NumberedSound(rate, channels)


def numbered_clip(
    path: Path,
    frames: int,
    *,
    rate: int = 30,
    gop_s: float = 1.0,
    b_frames: int = 0,
    audio: bool = False,
    width: int = 64,
    height: int = 48,
    codec: str = "libx264",
    first: int = 0,
) -> None:
    """Write a file whose frames carry the numbers `first` … `first + frames - 1`.

    codec: of the video, and the file's suffix must suit it: libx264 or libx265 in .mp4 or .mkv; ffv1, mjpeg or
    rawvideo in .mkv or .avi, which capture has to encode. audio: AAC noise of the same length.
    """
    with av.open(str(path), "w") as container:
        options = {}
        if codec == "libx264":
            options = {"preset": "ultrafast", "qp": "20", "x264-params": "scenecut=0:open-gop=0:b-adapt=0"}
        elif codec == "libx265":
            options = {"preset": "ultrafast", "x265-params": "scenecut=0:open-gop=0:b-adapt=0:qp=20:log-level=none"}
        video = container.add_stream(codec, rate=rate, options=options)
        assert isinstance(video, VideoStream)  # noqa: S101 - narrows the type
        video.width, video.height = width, height
        video.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        video.codec_context.gop_size = max(round(rate * gop_s), 1)
        video.codec_context.max_b_frames = b_frames
        video.codec_context.thread_count = 1
        if codec == "mjpeg":
            video.codec_context.qmin = video.codec_context.qmax = 3
        sound = _sound_stream(container, CLIP_SOUND_RATE, 1) if audio else None
        noise = _noise(CLIP_SOUND_RATE, 1)
        heard = 0
        for index in range(frames):
            frame = av.VideoFrame(width, height, video.pix_fmt)
            draw_number(frame, first + index)
            frame.pts, frame.time_base = index, Fraction(1, rate)
            container.mux(video.encode(frame))
            while sound is not None and heard * rate < (index + 1) * CLIP_SOUND_RATE:
                samples = next(noise)
                heard += samples.samples
                container.mux(sound.encode(samples))
        container.mux(video.encode(None))
        if sound is not None:
            container.mux(sound.encode(None))


def _sound_stream(container: av.container.OutputContainer, rate: int, channels: int) -> AudioStream:
    stream = container.add_stream("aac", rate=rate)
    assert isinstance(stream, AudioStream)  # noqa: S101 - narrows the type
    context = stream.codec_context
    context.layout = "mono" if channels == 1 else "stereo"
    context.format = "fltp"
    context.bit_rate = 64_000
    context.time_base = stream.time_base = Fraction(1, rate)
    context.flags |= Flags.global_header
    return stream


def _noise(rate: int, channels: int) -> Iterator[av.AudioFrame]:
    """Endless, and the same each time."""
    layout = "mono" if channels == 1 else "stereo"
    graph = f"anoisesrc=seed=7:amplitude=0.1:sample_rate={rate},aformat=channel_layouts={layout}"
    with av.open(graph, "r", format="lavfi") as source:
        for frame in source.decode(audio=0):
            frame.pts = None
            yield frame
