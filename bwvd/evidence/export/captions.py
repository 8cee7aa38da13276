"""Captions: what a burnt-in stamp says, as timed text for frames that carry none: UTC, the device, the clock's state.

Each cue gives the time by the stamp of the segment that it lies in, as the manifest has it: a step of the wall clock
shows where it happened, and across a gap no time is shown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.container

from bwvd.clock import NS
from bwvd.evidence.export.media_index import Span
from bwvd.text import printable

CUE_NS = NS  # a cue lasts as long, or to its segment's end
TIMESCALE = 90_000  # ticks per second, as the frames have: a cue begins with its frame

_CODEC = "mov_text"  # 3GPP timed text, which every player of MP4 shows
_NO_TIME = "TIME UNKNOWN"  # the segment's stamp can't be read
_NOT_SET = " TIME NOT SET"
_TEXT_CHARACTERS = 200
_SHORTEST_NS = 1_000_000  # what is left of a segment behind a cue, if it is less, belongs to that cue

# libav's own defaults: players have their own, and converters then write no markup around the text.
_STYLE = b"""[Script Info]
ScriptType: v4.00+
PlayResX: 384
PlayResY: 288

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


@dataclass(frozen=True, slots=True)
class Cue:
    """A stretch of one segment during which one text is shown. Times are media time, in nanoseconds."""

    begin_ns: int
    end_ns: int
    span: Span


def cues(span: Span) -> Iterator[Cue]:
    """The cues of one segment: from its first frame to its last one's end, without a hole."""
    begin = span.begin_ns
    while begin < span.end_ns:
        end = begin + CUE_NS
        if end > span.end_ns - _SHORTEST_NS:
            end = span.end_ns
        yield Cue(begin, end, span)
        begin = end


def caption(span: Span, at_ns: int, device: str) -> str:
    """What is shown at a moment of a segment: `2026-11-22T07:15:03.016Z BWV-0001`."""
    utc = span.utc_at(at_ns) or _NO_TIME
    warning = _NOT_SET if span.record.stamp.quality == "not_set" else ""
    return f"{utc} {printable(device)[:_TEXT_CHARACTERS]}{warning}"


class Captions:
    """The cues of one file, taken by its writer when the frames have come so far.

    **Synchronization:** one thread.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self._cues: deque[Cue] = deque()

    def add(self, span: Span) -> None:
        """A segment goes into the file; in order."""
        self._cues.extend(cues(span))

    def due(self, until_ns: int) -> Iterator[Cue]:
        """Take the cues that end at or before `until_ns`, media time."""
        while self._cues and self._cues[0].end_ns <= until_ns:
            yield self._cues.popleft()

    def rest(self) -> Iterator[Cue]:
        """Take all others."""
        while self._cues:
            yield self._cues.popleft()


class CaptionTrack:
    """The timed-text track of a file that is being written.

    Args:
        output: before its first packet.
    """

    def __init__(self, output: av.container.OutputContainer, captions: Captions) -> None:
        self._output = output
        self._captions = captions
        stream: Any = output.add_stream(_CODEC)
        stream.codec_context.subtitle_header = _STYLE
        stream.codec_context.time_base = stream.time_base = Fraction(1, TIMESCALE)
        stream.metadata["language"] = "eng"
        stream.metadata["handler_name"] = "UTC and device"
        self._stream = stream
        self._last = -1

    def write_due(self, until_ns: int, zero_ns: int) -> None:
        """Write what ends at or before `until_ns`. Times are media time; `zero_ns` becomes 0."""
        for cue in self._captions.due(until_ns):
            self._write(cue, cue.end_ns, zero_ns)

    def write_rest(self, end_ns: int, zero_ns: int) -> None:
        """Write what is left up to `end_ns`, the end of the frames."""
        for cue in self._captions.rest():
            self._write(cue, min(cue.end_ns, end_ns), zero_ns)

    def _write(self, cue: Cue, end_ns: int, zero_ns: int) -> None:
        begin_ns = max(cue.begin_ns, zero_ns)  # a cut may begin in the middle of a cue
        begin, end = _ticks(begin_ns - zero_ns), _ticks(end_ns - zero_ns)
        if end <= begin or begin <= self._last:
            return
        self._last = begin
        text = caption(cue.span, begin_ns, self._captions.device).encode()
        packet = av.Packet(len(text).to_bytes(2, "big") + text)  # a sample of timed text: its length, and UTF-8
        packet.pts = packet.dts = begin
        packet.duration = end - begin
        packet.time_base = Fraction(1, TIMESCALE)
        packet.is_keyframe = True
        packet.stream = self._stream
        self._output.mux(packet)


def _ticks(ns: int) -> int:
    return (ns * TIMESCALE + NS // 2) // NS
