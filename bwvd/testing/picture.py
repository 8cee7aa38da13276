"""Frames that carry their number, so that a missing, doubled or reordered one is found after decoding."""

from __future__ import annotations

import av

COLUMNS = 8
ROWS = 3  # two bytes of the number, and a check byte
NUMBERS = 1 << 16  # the number after the last is 0 again

_CHECK = 0xA5
_BLACK, _WHITE, _GREY = 16, 235, 126


def draw_number(frame: av.VideoFrame, number: int) -> None:
    """Draw `number` (modulo NUMBERS) as black and white blocks into the lower half of the luma plane.

    The upper half is grey with a bar that moves, so that there is something to predict. The frame must be ours to
    write on, in a format whose first plane is luma (yuv420p, gray, nv12); chroma is left neutral.
    """
    number %= NUMBERS
    for plane in frame.planes[1:]:
        plane.update(b"\x80" * plane.buffer_size)
    plane = frame.planes[0]
    width, height, line = frame.width, frame.height, plane.line_size
    rows = bytearray(b"\x10" * plane.buffer_size)
    grey = bytearray(bytes([_GREY]) * width)
    bar = number % COLUMNS * width // COLUMNS
    grey[bar : bar + width // COLUMNS] = b"\x40" * (width // COLUMNS)
    for y in range(height // 2):
        rows[y * line : y * line + width] = grey
    high, low = number >> 8, number & 0xFF
    for row, value in enumerate((high, low, high ^ low ^ _CHECK)):
        blocks = bytearray()
        for column in range(COLUMNS):
            end = (column + 1) * width // COLUMNS
            blocks += bytes([_WHITE if value >> (COLUMNS - 1 - column) & 1 else _BLACK]) * (end - len(blocks))
        for y in range(_top(height, row), _top(height, row + 1)):
            rows[y * line : y * line + width] = blocks
    plane.update(bytes(rows))


def frame_number(frame: av.VideoFrame) -> int:
    """Read the number of a decoded frame.

    Raises: ValueError when the check byte does not agree: the frame is damaged, or carries no number.
    """
    plane = frame.planes[0]
    data, line = memoryview(plane), plane.line_size
    width, height = frame.width, frame.height
    values = []
    for row in range(ROWS):
        y = (_top(height, row) + _top(height, row + 1)) // 2
        value = 0
        for column in range(COLUMNS):
            x = (2 * column + 1) * width // COLUMNS // 2
            patch = data[y * line + x - 1 : y * line + x + 2]
            value = value << 1 | (sum(patch) > 3 * (_BLACK + _WHITE) // 2)
        values.append(value)
    high, low, check = values
    if high ^ low ^ _CHECK != check:
        raise ValueError(f"no number in this picture: {high:02x} {low:02x} {check:02x}")
    return high << 8 | low


def _top(height: int, row: int) -> int:
    """The first line of a row of blocks."""
    return height // 2 + row * (height - height // 2) // ROWS
