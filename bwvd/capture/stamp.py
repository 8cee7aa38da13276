"""The burnt-in stamp: UTC, the device, and a warning where the clock was never set."""

from __future__ import annotations

import av

from bwvd.capture.font import GLYPH_HEIGHT, GLYPH_WIDTH, glyph
from bwvd.clock import Clock, Reading, utc_text
from bwvd.messages import NS

DARK, LIGHT = 16, 235  # limited range: glyphs are light on a dark box, so that they stand out from any scene

_CELL = GLYPH_WIDTH + 1  # dots from one character to the next
_MARGIN = 1  # dots around the text
_LINES_PER_SCALE = 240  # lines of the picture for each pixel of a dot
_READ_NS = NS // 2  # the wall clock is asked so often; between, the monotonic one goes on
_ZERO_MS = ".000Z"
_NOT_SET = " TIME NOT SET"


class Stamp:
    """Draws into the luma plane of frames of one size. Glyphs are made once, and only what changed is set anew.

    **Synchronization:** one thread.
    """

    def __init__(self, clock: Clock, device: str, width: int, height: int) -> None:
        """device: its id, as shown. width, height: of the frames; where the smallest doesn't fit, nothing is drawn."""
        self._clock = clock
        self._device = device
        self._reading: Reading | None = None
        self._second = -1, ""  # Unix time, and its text: making it anew for each frame would cost more than drawing
        longest = len(utc_text(0)) + 1 + len(device) + len(_NOT_SET)
        room = width // (longest * _CELL + 4 * _MARGIN)
        self._scale = min(max(height // _LINES_PER_SCALE, 1), room)
        self.fits = self._scale > 0 and height >= 4 * self._height
        self._glyphs: dict[str, list[bytes]] = {}
        self._text = ""
        self._rows: list[bytearray] = []  # each is drawn `_scale` times

    @property
    def _height(self) -> int:
        return (GLYPH_HEIGHT + 2 * _MARGIN) * self._scale

    def draw(self, frame: av.VideoFrame, at_ns: int) -> None:
        """Draw the time `at_ns` (CLOCK_MONOTONIC) into a frame that is ours to write on (yuv420p or the like)."""
        if not self.fits:
            return
        self._set_text(self.text(at_ns))
        plane = frame.planes[0]
        luma, line, scale = memoryview(plane), plane.line_size, self._scale
        at = line * 2 * scale + 2 * scale
        size = len(self._rows[0])
        for row in self._rows:
            for _ in range(scale):
                luma[at : at + size] = row
                at += line

    def text(self, at_ns: int) -> str:
        """What is drawn for a frame taken at `at_ns`."""
        reading = self._reading
        if reading is None or not 0 <= at_ns - reading.mono_ns < _READ_NS:
            reading = self._reading = self._clock.read()
        utc_ns = reading.utc_ns + at_ns - reading.mono_ns
        second = utc_ns // NS
        if second != self._second[0]:
            self._second = second, utc_text(second * NS).removesuffix(_ZERO_MS)
        warning = _NOT_SET if reading.quality == "not_set" else ""
        return f"{self._second[1]}.{utc_ns % NS // 1_000_000:03d}Z {self._device}{warning}"

    def _set_text(self, text: str) -> None:
        margin, cell = _MARGIN * self._scale, _CELL * self._scale
        if len(text) != len(self._text):
            width = 2 * margin + len(text) * cell
            self._rows = [bytearray([DARK]) * width for _ in range(GLYPH_HEIGHT + 2 * _MARGIN)]
            self._text = "\0" * len(text)
        for index, (new, old) in enumerate(zip(text, self._text, strict=True)):
            if new != old:
                at = margin + index * cell
                for row, dots in zip(self._rows[_MARGIN:], self._glyph(new), strict=False):
                    row[at : at + len(dots)] = dots
        self._text = text

    def _glyph(self, character: str) -> list[bytes]:
        """The character's rows in pixels."""
        made = self._glyphs.get(character)
        if made is None:
            made = [
                b"".join(
                    bytes([LIGHT if bits >> (GLYPH_WIDTH - 1 - dot) & 1 else DARK]) * self._scale
                    for dot in range(GLYPH_WIDTH)
                )
                for bits in glyph(character)
            ]
            self._glyphs[character] = made
        return made
