"""The burnt-in stamp: UTC, the device, and a warning where the clock was never set."""

from __future__ import annotations

import av
from av.video.plane import VideoPlane

from bwvd.clock import NS, Clock, Reading, utc_text
from bwvd.media.dot_font import GLYPH_HEIGHT, GLYPH_WIDTH, glyph

DARK, LIGHT = 16, 235  # limited range: glyphs are light on a dark box, so that they stand out from any scene

_CELL = GLYPH_WIDTH + 1  # dots from one character to the next
_MARGIN = 1  # dots around the text
_LINES_PER_SCALE = 240  # lines of the frame for each pixel of a dot
_READ_NS = NS // 2  # the wall clock is asked so often; between, the monotonic one goes on
_ZERO_MS = ".000Z"
_MS_DIGITS = 3
_NOT_SET = " TIME NOT SET"


class Stamp:
    """Draws into the luma plane of frames of one size. Glyphs are made once, and only what changed is set anew: each
    µs here is one of thousands that an encode takes, at every frame.

    **Synchronization:** one thread.
    """

    def __init__(self, clock: Clock, device: str, width: int, height: int) -> None:
        """device: its id, as shown. width, height: of the frames; where the smallest doesn't fit, nothing is drawn."""
        self._clock = clock
        self._device = device
        self._reading: Reading | None = None
        longest = len(utc_text(0)) + 1 + len(device) + len(_NOT_SET)
        room = width // (longest * _CELL + 4 * _MARGIN)
        self._scale = min(max(height // _LINES_PER_SCALE, 1), room)
        self.fits = self._scale > 0 and height >= 4 * self._height
        self._glyphs: dict[str, list[bytes]] = {}
        self._shown: tuple[int, str] | None = None  # the second and the quality of the clock that the rows have
        self._rows: list[bytearray] = []  # each is drawn `_scale` times
        self._dotted: list[bytearray] = []  # those of them that glyphs have
        self._ms_at = self._ms_end = 0  # where the milliseconds are in a row
        self._digits = [self._glyph(digit) for digit in "0123456789"] if self.fits else []
        self._lent: tuple[memoryview, int, bytes] | None = None  # a frame's luma, and what it had from which byte on

    @property
    def _height(self) -> int:
        return (GLYPH_HEIGHT + 2 * _MARGIN) * self._scale

    def draw(self, frame: av.VideoFrame, at_ns: int, *, lent: bool = False) -> None:
        """Draw the time `at_ns` (CLOCK_MONOTONIC) into the luma plane of a frame (yuv420p or the like).

        lent: the frame is somebody else's as well; what is drawn over is kept, and `lift` must put it back.
        """
        if not self.fits:
            return
        self._set_time(at_ns)
        plane = VideoPlane(frame, 0)  # `frame.planes` would make all three
        luma, line, scale = memoryview(plane), plane.line_size, self._scale
        at = (line + 1) * 2 * scale
        if lent:
            self._lent = luma, at, bytes(luma[at : at + line * self._height])  # whole lines: one copy, not one a line
        size = len(self._rows[0])
        for row in self._rows:
            for _ in range(scale):
                luma[at : at + size] = row
                at += line

    def lift(self) -> None:
        """Put back, to the byte, what the last `draw` has drawn over in a frame that was lent."""
        if self._lent is not None:
            luma, at, kept = self._lent
            luma[at : at + len(kept)] = kept
            self._lent = None

    def text(self, at_ns: int) -> str:
        """The text that is drawn for a frame taken at `at_ns`."""
        second, ms = self._utc(at_ns)
        warning = _NOT_SET if self._quality == "not_set" else ""
        return f"{utc_text(second * NS).removesuffix(_ZERO_MS)}.{ms:03d}Z {self._device}{warning}"

    def _utc(self, at_ns: int) -> tuple[int, int]:
        """Unix time in seconds, and milliseconds."""
        reading = self._reading
        if reading is None or not 0 <= at_ns - reading.mono_ns < _READ_NS:
            reading = self._reading = self._clock.read()
        return divmod((reading.utc_ns + at_ns - reading.mono_ns) // 1_000_000, 1_000)

    @property
    def _quality(self) -> str:
        return self._reading.quality if self._reading is not None else ""

    def _set_time(self, at_ns: int) -> None:
        """From frame to frame only the milliseconds change, and then only their dots are set."""
        second, ms = self._utc(at_ns)
        if (second, self._quality) != self._shown:
            self._set_text(self.text(at_ns))
            self._shown = second, self._quality
            return
        tenths, rest = divmod(ms, 100)
        digits = self._digits
        for row, a, b, c in zip(self._dotted, digits[tenths], digits[rest // 10], digits[rest % 10], strict=True):
            row[self._ms_at : self._ms_end] = a + b + c

    def _set_text(self, text: str) -> None:
        margin, cell = _MARGIN * self._scale, _CELL * self._scale
        width = 2 * margin + len(text) * cell
        self._rows = [bytearray([DARK]) * width for _ in range(GLYPH_HEIGHT + 2 * _MARGIN)]
        self._dotted = self._rows[_MARGIN:-_MARGIN]
        for index, character in enumerate(text):
            at = margin + index * cell
            for row, dots in zip(self._dotted, self._glyph(character), strict=True):
                row[at : at + cell] = dots
        self._ms_at = margin + (text.index("Z") - _MS_DIGITS) * cell
        self._ms_end = self._ms_at + _MS_DIGITS * cell

    def _glyph(self, character: str) -> list[bytes]:
        """The character's rows in pixels, with the space to the next one."""
        made = self._glyphs.get(character)
        if made is None:
            made = [
                b"".join(
                    bytes([LIGHT if bits << 1 >> (_CELL - 1 - dot) & 1 else DARK]) * self._scale for dot in range(_CELL)
                )
                for bits in glyph(character)
            ]
            self._glyphs[character] = made
        return made
