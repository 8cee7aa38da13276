"""Captions: what a burnt-in stamp says, as timed text for frames that carry none: UTC, the device, the clock's state.

Each cue gives the time by the stamp of the segment that it lies in, as the manifest has it: a step of the wall clock
shows where it happened, and across a gap no time is shown. Where the position is known it stands behind, and a cue
begins with each; frames that carry a stamp have the position alone.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bwvd.clock import NS
from bwvd.evidence.export.media_index import Span
from bwvd.evidence.export.track import Track, coordinates
from bwvd.media.movie import TIMESCALE, Samples
from bwvd.media.text_track import Text
from bwvd.text import printable

CUE_NS = NS  # a cue lasts as long, or to its segment's end
_NEXT_FIX_NS = NS // 4  # or so much longer, where the next position comes then: a receiver's second is not a cue's

_NO_TIME = "TIME UNKNOWN"  # the segment's stamp can't be read
_NOT_SET = " TIME NOT SET"
_TEXT_CHARACTERS = 200
_SHORTEST_NS = 1_000_000  # what is left of a segment behind a cue, if it is less, belongs to that cue
_SHORTEST_TICKS = _SHORTEST_NS * TIMESCALE // NS


@dataclass(frozen=True, slots=True)
class Cue:
    """A stretch of one segment during which one text is shown. Times are media time, in nanoseconds."""

    begin_ns: int
    end_ns: int
    span: Span


def cues(span: Span, track: Track) -> Iterator[Cue]:
    """The cues of one segment: from its first frame to its last one's end, without a hole."""
    begin = span.begin_ns
    while begin < span.end_ns:
        changes = track.changes(begin + _SHORTEST_NS, begin + CUE_NS + _NEXT_FIX_NS)
        end = changes[0] if changes else begin + CUE_NS
        if end > span.end_ns - _SHORTEST_NS:
            end = span.end_ns
        yield Cue(begin, end, span)
        begin = end


def caption(span: Span, at_ns: int, device: str, track: Track, *, stamped: bool = False) -> str:
    """What is shown at a moment of a segment: `2026-11-22T07:15:03.016Z BWV-0001 52.330010, 4.893300 ±5 m`.

    Args:
        stamped: the frames show all but the position.
    """
    fix = track.at(at_ns)
    where = coordinates(fix) if fix is not None else ""
    if stamped:
        return where
    utc = span.utc_at(at_ns) or _NO_TIME
    warning = _NOT_SET if span.record.stamp.quality == "not_set" else ""
    return f"{utc} {printable(device)[:_TEXT_CHARACTERS]}{warning}{' ' * bool(where)}{where}"


class CaptionWriter:
    """The cues of one file, as its timed text: taken by its writer when the frames have come so far.

    **Synchronization:** one thread.
    """

    def __init__(self, device: str, track: Track) -> None:
        self.samples = Samples()
        self._device = device
        self._track = track
        self._cues: list[tuple[Cue, bool]] = []

    def add(self, span: Span, *, stamped: bool = False) -> None:
        """A segment goes into the file; in order. `stamped`: its frames show the time and the device."""
        self._cues.extend((cue, stamped) for cue in cues(span, self._track))

    def due(self, zero_ns: int, frames_end_ns: int, offset: int) -> bytes:
        """What is to be written at `offset` of the file: the cues of what was added since the last call.

        Args:
            zero_ns: media time that becomes 0.
            frames_end_ns: media time behind the last frame so far: no cue lasts longer.
        """
        written = b""
        for begin_ns, end_ns, said in _shown(self._cues, zero_ns, frames_end_ns, self._device, self._track):
            begin, end = _ticks(begin_ns), _ticks(end_ns)
            there = len(self.samples.sizes)
            if there and begin <= self.samples.last_dts:
                continue
            # From 0 on: libav takes the begin of a track that begins late off the length of its last text.
            if begin - self.samples.end_dts > _SHORTEST_TICKS:
                written += self._put(self.samples.end_dts, begin, "", offset + len(written))
            written += self._put(begin, max(end, begin + 1), said, offset + len(written))
        self._cues.clear()
        return written

    def _put(self, begin: int, end: int, said: str, offset: int) -> bytes:
        sample = Text(begin, said).sample
        self.samples.add(begin, offset, array("I", [len(sample)]), array("I", [end - begin]))
        return sample


def web_vtt(spans: Iterable[Span], zero_ns: int, frames_end_ns: int, device: str, track: Track) -> str:
    """The cues of `spans` as a WebVTT file, for players that take subtitles from beside a film."""
    lines = ["WEBVTT", ""]
    every = ((cue, False) for span in spans for cue in cues(span, track))
    for begin_ns, end_ns, said in _shown(every, zero_ns, frames_end_ns, device, track):
        # What WebVTT reads as markup, or as the arrow between two times.
        said = said.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        lines += [f"{_clock(begin_ns)} --> {_clock(end_ns)}", said, ""]
    return "\n".join(lines)


def _shown(
    cues_: Iterable[tuple[Cue, bool]], zero_ns: int, frames_end_ns: int, device: str, track: Track
) -> Iterator[tuple[int, int, str]]:
    """Begin and end (ns since `zero_ns`) and text of the cues that lie in a file; those without a text are none."""
    for cue, stamped in cues_:
        begin_ns = max(cue.begin_ns, zero_ns)  # a cut may begin in the middle of a cue
        end_ns = min(cue.end_ns, frames_end_ns)
        if end_ns > begin_ns and (said := caption(cue.span, begin_ns, device, track, stamped=stamped)):
            yield begin_ns - zero_ns, end_ns - zero_ns, said


def _clock(ns: int) -> str:
    """`01:02:03.004`"""
    seconds, ms = divmod((ns + 500_000) // 1_000_000, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{ms:03d}"


def _ticks(ns: int) -> int:
    return (ns * TIMESCALE + NS // 2) // NS
