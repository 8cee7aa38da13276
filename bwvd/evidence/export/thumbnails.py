"""Thumbnails out of a segment: the frames that were shown at given moments."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from bwvd.clock import NS
from bwvd.evidence.verify.decode import NotDecodable
from bwvd.text import one_line

_JPEG_SCALE = 4  # libav's, from 1, the best, to 31: nothing that a person sees on paper is lost
_TICK_NS = NS // 90_000 + 1  # a moment from the manifest may lie so far before the tick of its frame


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """One frame as a small image. `pts_ns` is its media time."""

    pts_ns: int
    width: int
    height: int
    jpeg: bytes


def thumbnails(init: bytes, segment: bytes, moments: Sequence[int], box: tuple[int, int]) -> dict[int, Thumbnail]:
    """The frames that were shown at `moments`, which are media time and ascend, by moment.

    Only groups of pictures that hold such a moment are decoded. A moment before the first frame gives the first one;
    one whose group can't be decoded up to there gives the last frame that can, or nothing.

    Args:
        box: width and height that each is made to fit into, in its own shape.

    Raises: NotDecodable if there is no frame at all.
    """
    found = {
        moment: _small(frame, at_ns, shape, box) for moment, at_ns, frame, shape in frames_at(init, segment, moments)
    }
    if not found:
        raise NotDecodable("does not decode")
    return found


def frames_at(init: bytes, segment: bytes, moments: Sequence[int]) -> Iterator[tuple[int, int, VideoFrame, Fraction]]:
    """The same as decoded: each moment, its frame's time, the frame, and the shape of its pixels, width by height.

    Raises: NotDecodable if it can't be opened, or holds no picture.
    """
    try:
        with av.open(io.BytesIO(init + segment), "r", format="mp4") as container:
            if not container.streams.video:
                raise NotDecodable("holds no picture")
            stream = container.streams.video[0]
            shape = Fraction(stream.sample_aspect_ratio or 1)
            for group, wanted in _groups(list(container.demux(stream)), moments):
                for moment, at_ns, frame in _shown(stream.codec_context, group, wanted):
                    yield moment, at_ns, frame, shape
    except (av.error.FFmpegError, ValueError, EOFError) as error:
        raise NotDecodable(f"does not decode: {one_line(error)}") from None


def _groups(packets: Sequence[Any], moments: Sequence[int]) -> Iterator[tuple[list[Any], list[int]]]:
    """The groups of pictures that hold a moment, with those that each holds."""
    groups: list[list[Any]] = []
    for packet in packets:
        if not packet.size or packet.pts is None:
            continue
        if packet.is_keyframe or not groups:
            groups.append([])
        groups[-1].append(packet)
    begins = [_ns(group[0].pts, group[0].time_base) - _TICK_NS for group in groups]
    for index, group in enumerate(groups):
        from_ns = begins[index] if index else min([begins[0], *moments])
        behind_ns = begins[index + 1] if index + 1 < len(groups) else max([begins[index], *moments]) + 1
        wanted = [moment for moment in moments if from_ns <= moment < behind_ns]
        if wanted:
            yield group, wanted


def _shown(context: Any, group: Sequence[Any], moments: Sequence[int]) -> Iterator[tuple[int, int, VideoFrame]]:
    """Decode as far as the last moment needs; gives a moment, its frame's time and the frame."""
    left = list(moments)
    last: tuple[int, VideoFrame] | None = None
    for frame in _decoded(context, group):
        # Frames that come out at the end know no time base of their own.
        at_ns = _ns(frame.pts or 0, group[0].time_base)
        while left and last is not None and at_ns > left[0] + _TICK_NS:
            yield left.pop(0), *last
        last = at_ns, frame
        if not left:
            break
    if last is not None:
        for moment in left:
            yield moment, *last
    context.flush_buffers()


def _decoded(context: Any, group: Sequence[Any]) -> Iterator[VideoFrame]:
    for packet in [*group, None]:
        try:
            frames = context.decode(packet)
        except av.error.FFmpegError:
            continue  # a damaged frame: those before and behind it are still worth showing
        yield from frames


def _small(frame: VideoFrame, at_ns: int, shape: Fraction, box: tuple[int, int]) -> Thumbnail:
    """shape: of a pixel, width by height."""
    if not Fraction(1, 8) <= shape <= 8:
        shape = Fraction(1)
    aspect = shape * frame.width / frame.height
    width = max(min(box[0], round(box[1] * aspect)), 1)
    height = max(min(box[1], round(width / aspect)), 1)
    small = frame.reformat(width, height, "yuvj420p", interpolation=Interpolation.AREA)
    return Thumbnail(at_ns, width, height, _jpeg(small))


def _jpeg(frame: VideoFrame) -> bytes:
    """The same frame gives the same bytes: a quality, not a bit rate, and one thread."""
    encoder = av.VideoCodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.thread_count = 1
    encoder.qmin = encoder.qmax = _JPEG_SCALE
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def _ns(ticks: int, time_base: Fraction) -> int:
    return round(ticks * time_base * NS)
