"""Colours of a track: how its samples are to be read, as its source says and its parameter sets repeat it."""

from __future__ import annotations

from dataclasses import dataclass

import av
from av.video.reformatter import ColorRange

# Of ISO/IEC 23091-2, which libav's numbers are.
UNSPECIFIED = 2
BT470BG = 5  # ITU-R BT.601, as JFIF has it
SMPTE170M = 6  # the same matrix, by the other standard's number: what libswscale makes of RGB

FULL_RANGE_FORMATS = frozenset({"yuvj420p", "yuvj422p", "yuvj444p", "yuvj440p", "yuvj411p"})


@dataclass(frozen=True, slots=True)
class Colours:
    """full_range: 0 is black and 255 white, not 16 and 235. The others are numbers of ISO/IEC 23091-2."""

    full_range: bool = False
    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Colours:
        """Those of a decoded frame when it has become 4:2:0 in its own range."""
        return cls(
            full_range=is_full_range(frame),
            matrix=SMPTE170M if frame.format.is_rgb else int(frame.colorspace),
            primaries=int(frame.color_primaries),
            transfer=int(frame.color_trc),
        )


LIMITED = Colours()
JFIF = Colours(full_range=True, matrix=BT470BG)


def is_full_range(frame: av.VideoFrame) -> bool:
    """A camera's MJPEG is full range (JFIF); taken for limited it would lose blacks and whites."""
    return frame.format.name in FULL_RANGE_FORMATS or frame.color_range == ColorRange.JPEG
