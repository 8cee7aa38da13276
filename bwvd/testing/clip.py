"""Numbered media: GOPs and audio for virtual devices, and whole files for `file:` sources."""

from __future__ import annotations

from collections import OrderedDict
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

from bwvd.media.init_segment import VIDEO_TIMESCALE, InitSegment
from bwvd.testing.picture import draw_number

SOUND_FRAME = 1024  # samples of one AAC frame
CLIP_SOUND_RATE = 48_000
_SOUND_PACKETS = 512  # distinct ones; then they come again
_GOPS_KEPT = 4096  # some seventy minutes of virtual time; an older one is made again


class CodedGop(NamedTuple):
    """A closed GOP, one sample a frame, in the order in which they are decoded."""

    data: bytes
    spans: tuple[tuple[int, int], ...]  # offset, size
    shown: tuple[int, ...]  # the place of each among the frames as they are shown


class NumberedVideo:
    """H.264 GOPs with any frame numbers, made when first asked for and kept.

    Every group is independent of what was made before it, so any may follow any.
    **Synchronization:** one thread.
    """

    def __init__(self, width: int, height: int, rate: int | Fraction, b_frames: int = 0) -> None:
        """b_frames: how many lie between two others; they are decoded after the one that they are shown before."""
        self._rate = rate
        self._b_frames = b_frames
        self._segment = InitSegment()
        stream = self._segment.container.add_stream("libx264", rate=rate, options=_options(b_frames))
        assert isinstance(stream, VideoStream)  # noqa: S101 - narrows the type
        _set_up(stream.codec_context, width, height, b_frames)
        stream.time_base = stream.codec_context.time_base
        self._context = stream.codec_context
        self._step = int(VIDEO_TIMESCALE // rate)
        self._made = 0
        self._gops: OrderedDict[tuple[int, ...], CodedGop] = OrderedDict()
        self.width, self.height = width, height
        self.init = self._segment.finish()

    def gop(self, numbers: tuple[int, ...]) -> CodedGop:
        """The closed GOP whose frames carry `numbers` as they are shown."""
        found = self._gops.get(numbers)
        if found is None:
            found = self._gops[numbers] = self._make(numbers)
            if len(self._gops) > _GOPS_KEPT:
                self._gops.popitem(last=False)
        return found

    def _make(self, numbers: tuple[int, ...]) -> CodedGop:
        context = self._context
        if self._b_frames:
            # An encoder that holds frames back gives them up only at its end: each group has one of its own.
            context = av.CodecContext.create("libx264", "w")
            assert isinstance(context, av.VideoCodecContext)  # noqa: S101 - narrows the type
            context.options = _options(self._b_frames)
            context.framerate = Fraction(self._rate)
            _set_up(context, self.width, self.height, self._b_frames)
        first = self._made
        packets = []
        for index, number in enumerate(numbers):
            frame = av.VideoFrame(self.width, self.height, "yuv420p")
            draw_number(frame, number)
            frame.pts, frame.time_base = self._made * self._step, Fraction(1, VIDEO_TIMESCALE)
            frame.pict_type = PictureType.NONE if index else PictureType.I
            self._made += 1
            packets += context.encode(frame)
        if self._b_frames:
            packets += context.encode(None)
        data = bytearray()
        spans = []
        for packet in packets:
            spans.append((len(data), packet.size))
            data += memoryview(packet)
        shown = tuple((packet.pts or 0) // self._step - first for packet in packets)
        return CodedGop(bytes(data), tuple(spans), shown)


def _options(b_frames: int) -> dict[str, str]:
    tune = {} if b_frames else {"tune": "zerolatency"}
    return {
        "preset": "ultrafast",
        **tune,
        "forced-idr": "1",
        "qp": "20",
        "x264-params": f"annexb=0:scenecut=0:open-gop=0:bframes={b_frames}:b-adapt=0:b-pyramid=none:rc-lookahead=0",
    }


def _set_up(context: av.VideoCodecContext, width: int, height: int, b_frames: int) -> None:
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base = Fraction(1, VIDEO_TIMESCALE)
    context.gop_size = 1 << 20  # only where it is forced
    context.max_b_frames = b_frames
    context.thread_count = 1
    context.flags |= Flags.global_header


@cache
def numbered_video(width: int = 64, height: int = 48, rate: int | Fraction = 30, b_frames: int = 0) -> NumberedVideo:
    """The one maker for these parameters; others have another init segment."""
    return NumberedVideo(width, height, rate, b_frames)


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
    rate: int | Fraction = 30,
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
            frame.pts, frame.time_base = index, 1 / Fraction(rate)
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
