"""Decoded pictures as the encoder wants them: 4:2:0, limited range, even size, and ours to draw on."""

from __future__ import annotations

import av
from av.video.reformatter import ColorRange, VideoReformatter

ENCODED_FORMAT = "yuv420p"
FULL_RANGE_FORMATS = frozenset({"yuvj420p", "yuvj422p", "yuvj444p", "yuvj440p", "yuvj411p"})


def even(size: int) -> int:
    """4:2:0 halves both sides."""
    return size & ~1


class Picture:
    """Brings frames of one source to one size and format.

    **Synchronization:** one thread.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = even(width), even(height)
        self._reformatter = VideoReformatter()

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
        fitted.color_range = ColorRange.MPEG
        return fitted
