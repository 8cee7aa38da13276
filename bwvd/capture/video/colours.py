"""Colours of a track: how its samples are to be read, as its source says and its parameter sets repeat it."""

from __future__ import annotations

from dataclasses import dataclass, field

import av
from av.video.reformatter import ColorRange

# Of ISO/IEC 23091-2, which libav's numbers are.
UNSPECIFIED = 2
BT709 = 1
SRGB = 13  # of transfers
BT470BG = 5  # ITU-R BT.601, as JFIF has it
SMPTE170M = 6  # the same matrix, by the other standard's number: what libswscale makes of RGB

FULL_RANGE_FORMATS = frozenset({"yuvj420p", "yuvj422p", "yuvj444p", "yuvj440p", "yuvj411p"})


@dataclass(frozen=True, slots=True)
class Colours:
    """full_range: 0 is black and 255 white, not 16 and 235. The others are numbers of ISO/IEC 23091-2.

    range_said: of a camera's, its driver has named the range. It is none of the colours themselves.
    """

    full_range: bool = False
    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    range_said: bool = field(default=False, compare=False)

    @classmethod
    def of(cls, frame: av.VideoFrame, *, camera: Colours | None = None) -> Colours:
        """Those of a decoded frame when it has become 4:2:0 in its own range, completed.

        camera: what holds where the frame itself says nothing; None = it is no camera's.
        """
        is_rgb = frame.format.is_rgb
        matrix = SMPTE170M if is_rgb else int(frame.colorspace)
        primaries, transfer = int(frame.color_primaries), int(frame.color_trc)
        full_range = is_full_range(frame)
        if matrix == UNSPECIFIED and camera is not None:
            matrix = camera.matrix
        # Chromium believes no matrix of which the rest isn't said too, and goes by the size of the frame. JPEG has no
        # word for the rest, but means sRGB, as RGB without a word does, and cameras; else the matrix's own standard.
        is_srgb = is_rgb or (full_range and matrix == BT470BG)
        of_standard = _SRGB if is_srgb else _STANDARDS.get(matrix, (UNSPECIFIED, UNSPECIFIED))
        if camera is not None:
            of_standard = camera.primaries, camera.transfer
        return cls(
            full_range,
            matrix,
            of_standard[0] if primaries == UNSPECIFIED else primaries,
            of_standard[1] if transfer == UNSPECIFIED else transfer,
        )


# Primaries and transfer.
_SRGB = (BT709, SRGB)
_STANDARDS = {BT709: (BT709, BT709), BT470BG: (BT470BG, SMPTE170M), SMPTE170M: (SMPTE170M, SMPTE170M), 9: (9, 14)}

LIMITED = Colours()
# What USB cameras mean by saying nothing (USB Video Class 1.5, 3.9.2.6), and V4L2 with them.
OF_CAMERAS = Colours(matrix=SMPTE170M, primaries=BT709, transfer=SRGB)
JFIF = Colours(full_range=True, matrix=BT470BG, primaries=BT709, transfer=SRGB)


def is_grey(frame: av.VideoFrame) -> bool:
    """True if a frame has luma alone. libswscale takes that for full range, whatever the frame says."""
    return frame.format.name.startswith("gray")


def is_full_range(frame: av.VideoFrame) -> bool:
    """A camera's MJPEG is full range (JFIF); taken for limited it would lose blacks and whites."""
    return frame.format.name in FULL_RANGE_FORMATS or frame.color_range == ColorRange.JPEG
