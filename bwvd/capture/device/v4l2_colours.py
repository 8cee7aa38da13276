"""Colours of a V4L2 camera's frames as its driver says them, in the numbers that libav has.

libav's input asks the driver for a format and hands on its size and its pixels alone. Raw frames say nothing of their
own: whether they are BT.601's or BT.709's, and where black is, stands in the driver's answer only.

Source: <linux/videodev2.h>, and the kernel's documentation of colour spaces (Documentation/userspace-api/media/v4l),
whose defaults are what 0 means in each field.
"""

from __future__ import annotations

import fcntl
import os
import struct
from typing import NamedTuple

from bwvd.capture.address import Address
from bwvd.capture.video.colours import BT709, OF_CAMERAS, SMPTE170M, SRGB, UNSPECIFIED, Colours
from bwvd.log import get_logger

_log = get_logger("v4l2")

# struct v4l2_format: its type, then a union that holds pointers. The fields are those of struct v4l2_pix_format.
_FORMAT = struct.Struct("@I0P12I")
_UNION_BYTES = 200
_ROOM = struct.calcsize("@I0P") + _UNION_BYTES
_G_FMT = 0xC0000000 | _ROOM << 16 | ord("V") << 8 | 4  # _IOWR('V', 4, struct v4l2_format)
_CAPTURE = 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE: libav's input takes no other
_EXTENDED = 0xFEEDCAFE  # V4L2_PIX_FMT_PRIV_MAGIC: what stands behind it in the struct counts

_DEFAULT = 0
_FULL, _LIMITED = 1, 2


class _Space(NamedTuple):
    """What a V4L2 colour space means where nothing more is said."""

    primaries: int
    transfer: int
    matrix: int = SMPTE170M
    full_range: bool = False


_BT2020, _BT2020_CONSTANT = 9, 10
_SMPTE240M = 7
_LINEAR, _PQ, _DCI = 8, 16, 17
_SPACES = {
    1: _Space(SMPTE170M, BT709),  # V4L2_COLORSPACE_SMPTE170M; transfers 1 and 6 of ISO/IEC 23091-2 are one function
    2: _Space(_SMPTE240M, _SMPTE240M, _SMPTE240M),
    3: _Space(BT709, BT709, BT709),
    5: _Space(4, BT709),  # 470_SYSTEM_M
    6: _Space(5, BT709),  # 470_SYSTEM_BG
    7: _Space(BT709, SRGB, full_range=True),  # JPEG
    8: _Space(BT709, SRGB),  # SRGB: what UVC cameras have
    9: _Space(UNSPECIFIED, UNSPECIFIED),  # OPRGB, which has no number
    10: _Space(_BT2020, BT709, _BT2020),
    12: _Space(11, _DCI, BT709),  # DCI_P3
}
_MATRICES = {1: SMPTE170M, 2: BT709, 3: SMPTE170M, 4: BT709, 6: _BT2020, 7: _BT2020_CONSTANT, 8: _SMPTE240M}
_TRANSFERS = {1: BT709, 2: SRGB, 3: UNSPECIFIED, 4: _SMPTE240M, 5: _LINEAR, 6: _DCI, 7: _PQ}


def told_by_driver(address: Address) -> Colours | None:
    """The colours of a camera's frames that say nothing of theirs; None where the source is no V4L2 camera."""
    return driver_colours(address.target) if address.scheme == "v4l2" else None


def driver_colours(path: str) -> Colours:
    """The colours of the format that is set at a node; those of cameras in general where it says none.

    Blocking for an ioctl. Never raises: a camera that can't be asked records.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return OF_CAMERAS
    try:
        answer = fcntl.ioctl(handle, _G_FMT, _FORMAT.pack(_CAPTURE, *(0,) * 12).ljust(_ROOM, b"\0"))
    except OSError:
        return OF_CAMERAS
    finally:
        os.close(handle)
    _, *_size, space, extended, _flags, matrix, quantization, transfer = _FORMAT.unpack_from(answer)
    if extended != _EXTENDED:
        matrix = quantization = transfer = _DEFAULT
    found = colours_of(space, matrix, quantization, transfer)
    _log.info("driver_colours", camera=path, space=space, matrix=matrix, quantization=quantization, transfer=transfer)
    return found


def colours_of(space: int, matrix: int, quantization: int, transfer: int) -> Colours:
    """What V4L2's four numbers mean together. A space that says nothing, or that nobody knows, is a camera's."""
    known = _SPACES.get(space)
    if known is None:
        known = _Space(OF_CAMERAS.primaries, OF_CAMERAS.transfer, OF_CAMERAS.matrix, OF_CAMERAS.full_range)
    return Colours(
        {_FULL: True, _LIMITED: False}.get(quantization, known.full_range),
        _MATRICES.get(matrix, known.matrix),
        known.primaries,
        _TRANSFERS.get(transfer, known.transfer),
        range_said=quantization in (_FULL, _LIMITED),
    )
