"""Decoded frames as the encoder wants them: 4:2:0, limited range, even size, and ours to draw on."""

from __future__ import annotations

import av
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, VideoReformatter

ENCODED_FORMAT = "yuv420p"
_OTHER_FORMAT = "yuv444p"  # on the way to a fresh frame of the same format, which libav would not make
FULL_RANGE_FORMATS = frozenset({"yuvj420p", "yuvj422p", "yuvj444p", "yuvj440p", "yuvj411p"})


def even(size: int) -> int:
    """4:2:0 halves both sides."""
    return size & ~1


class PixelConverter:
    """Brings frames of one source to one size and format.

    **Synchronization:** one thread.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = even(width), even(height)
        self._reformatter = VideoReformatter()
        self._scratch: av.VideoFrame | None = None

    def fit(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame in `ENCODED_FORMAT` and limited range; the same object where nothing had to be done."""
        full = frame.format.name in FULL_RANGE_FORMATS or frame.color_range == ColorRange.JPEG
        fitted = self._reformatter.reformat(
            frame,
            self.width,
            self.height,
            ENCODED_FORMAT,
            # A camera's MJPEG is full range (JFIF); taken for limited it would lose blacks and whites.
            src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
            dst_color_range=ColorRange.MPEG,
            threads=1,  # a second thread costs more than it saves at these sizes
        )
        if fitted.planes[0].line_size < 0:
            # Upside down in memory: to libav that is the same image, but nobody could draw on it by counting lines.
            fitted = self._reformatter.reformat(fitted, format=_OTHER_FORMAT).reformat(format=ENCODED_FORMAT)
        fitted.color_range = ColorRange.MPEG
        return fitted

    def own(self, fitted: av.VideoFrame, original: av.VideoFrame) -> av.VideoFrame:
        """Return what `fit` made of `original`, on a frame that may be written on until the next call.

        A decoder may still refer to its frame, and a filter may give one frame again and again: those are copied.
        """
        if fitted is not original:
            return fitted
        if self._scratch is None:
            self._scratch = av.VideoFrame(self.width, self.height, ENCODED_FORMAT)
        # Ours alone, unless an encoder still holds it: then libav gives us another buffer.
        self._scratch.make_writable()
        for target, source in zip(self._scratch.planes, fitted.planes, strict=True):
            _copy_plane(target, source)
        self._scratch.color_range = ColorRange.MPEG
        return self._scratch


def _copy_plane(target: VideoPlane, source: VideoPlane) -> None:
    to, of = memoryview(target), memoryview(source)
    if target.line_size == source.line_size:
        size = min(len(to), len(of))
        to[:size] = of[:size]
        return
    for y in range(target.height):
        a, b = y * target.line_size, y * source.line_size
        to[a : a + target.width] = of[b : b + target.width]
