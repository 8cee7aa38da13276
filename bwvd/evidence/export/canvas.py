"""A picture that is put together from rectangles, pictures and text, and written as PNG by libav."""

from __future__ import annotations

from fractions import Fraction

import av

from bwvd.media.dot_font import GLYPH_HEIGHT, GLYPH_WIDTH, glyph

Colour = tuple[int, int, int]

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)

_BYTES = 3  # of a pixel


class Canvas:
    """Pixels of eight bits a colour. What would lie outside is cut off.

    **Synchronization:** one thread.
    """

    def __init__(self, width: int, height: int, colour: Colour) -> None:
        self.width = width
        self.height = height
        self._line = width * _BYTES
        self._pixels = bytearray(bytes(colour) * (width * height))

    def fill(self, left: int, top: int, width: int, height: int, colour: Colour) -> None:
        """A rectangle."""
        self._put(left, top, width, [bytes(colour) * width] * height)

    def picture(self, left: int, top: int, width: int, height: int, rgb: bytes) -> None:
        """A picture of three bytes a pixel, without padding between its lines."""
        size = width * _BYTES
        self._put(left, top, width, [rgb[line * size : (line + 1) * size] for line in range(height)])

    def text(self, left: int, top: int, text: str, scale: int, colour: Colour, back: Colour) -> None:
        """One line of text; small letters are shown as capitals. scale: pixels a dot."""
        dark, light = bytes(back) * scale, bytes(colour) * scale
        rows = [bytearray() for _ in range(GLYPH_HEIGHT)]
        for character in text:
            for row, bits in zip(rows, glyph(character), strict=True):
                for dot in range(GLYPH_WIDTH):
                    row += light if bits >> (GLYPH_WIDTH - 1 - dot) & 1 else dark
                row += dark  # between two characters
        lines = [bytes(row) for row in rows for _ in range(scale)]
        self._put(left, top, text_width(text, scale), lines)

    def png(self) -> bytes:
        """The whole as a PNG file."""
        frame = av.VideoFrame(self.width, self.height, "rgb24")
        plane = frame.planes[0]
        target, stride = memoryview(plane), plane.line_size
        for line in range(self.height):
            target[line * stride : line * stride + self._line] = self._pixels[
                line * self._line : (line + 1) * self._line
            ]
        encoder = av.VideoCodecContext.create("png", "w")
        encoder.width, encoder.height, encoder.pix_fmt = self.width, self.height, "rgb24"
        encoder.framerate = Fraction(1)
        return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])

    def _put(self, left: int, top: int, width: int, lines: list[bytes]) -> None:
        shown = min(width, self.width - left) * _BYTES
        if left < 0 or shown <= 0:
            return
        for number, line in enumerate(lines, top):
            if 0 <= number < self.height:
                at = number * self._line + left * _BYTES
                self._pixels[at : at + shown] = line[:shown]


def text_width(text: str, scale: int) -> int:
    """Pixels of a line of text."""
    return len(text) * (GLYPH_WIDTH + 1) * scale


def text_height(scale: int) -> int:
    return GLYPH_HEIGHT * scale


def wrapped(text: str, characters: int, lines: int) -> list[str]:
    """`text` in at most `lines` lines of at most `characters`; what does not fit ends in dots."""
    found = [""]
    for word in text.split():
        piece = f"{found[-1]} {word}".strip()
        if len(piece) <= characters:
            found[-1] = piece
            continue
        if found[-1]:
            found.append("")
        while len(word) > characters:
            found[-1], word = word[:characters], word[characters:]
            found.append("")
        found[-1] = word
    if len(found) > lines:
        found = found[:lines]
        found[-1] = f"{found[-1][: characters - 3]}..."
    return found
