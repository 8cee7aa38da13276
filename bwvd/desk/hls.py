"""Media of a recording for the player of a browser: an HLS playlist, and what it names, made as it is asked for.

A segment is read where it lies, held against its digest, and decrypted in memory. The playlist covers the timeline's
axis without a hole: where there is nothing to play, `filler` puts in what lets the player's time go on, and the page
says that there is nothing. So a moment of the player is the same moment of the timeline, always.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bwvd.clock import NS
from bwvd.desk.filler import Heads, audio_begins_ns, filled, held, last_key_frame
from bwvd.desk.plain import Owner, PlainSegments
from bwvd.desk.timeline import NO_FILE, NO_VIDEO, NOTHING, WITHHELD, Span, Timeline
from bwvd.evidence.errors import IdentityUnusable
from bwvd.evidence.format import records
from bwvd.evidence.verify.files import SEGMENT_BYTES
from bwvd.evidence.verify.folder import Folder, read_file
from bwvd.media.boxes import BoxUnusable
from bwvd.media.fragment_reader import read_fragments, read_init
from bwvd.media.init_maps import maps

HOLD_NS = 10 * NS  # a longer stretch without a picture comes in pieces of this length

# Why a segment can't be played, beside what the timeline knows
ALTERED = "altered"  # its bytes are not those that were signed
SEALED = "sealed"  # no identity opens it
UNREADABLE = "unreadable"  # the medium does not give it, or it is no media segment

_TRIED = 8  # segments that are looked into for a key frame to hold


class NotPlayable(Exception):
    """A segment can't be played; `why` is one of the words above, `what` one line for a person."""

    def __init__(self, why: str, what: str) -> None:
        super().__init__(what)
        self.why = why


class Served(NamedTuple):
    """What a player gets for a span."""

    data: bytes
    why: str  # the picture is none; "" where it is the recording's


class Item(NamedTuple):
    """An entry of the playlist."""

    begin_ns: int
    end_ns: int
    segment: int  # 0: held
    epoch: int  # whose init segment it needs


@dataclass(slots=True, eq=False)
class Media:
    """What is played of one recording.

    Args:
        identities: to decrypt with.
        kept: keeps plain segments, of other recordings too.

    **Synchronization:** any threads.
    """

    line: Timeline
    identities: Sequence[Any] = ()
    kept: PlainSegments = field(default_factory=PlainSegments)
    _maps: list[int] = field(init=False)
    _heads: dict[int, Heads] = field(default_factory=dict)
    _keys: dict[int, bytes] = field(default_factory=dict)  # key frames to hold, by segment
    _owner: Owner = field(default_factory=Owner)  # of what is kept

    def __post_init__(self) -> None:
        self._maps = maps(self.line.index.inits)

    # --- the playlist ------------------------------------------------------------------------------------------------

    def items(self) -> Iterator[Item]:
        """What is to be played, in order, from the beginning of the axis to its end."""
        epoch = 0
        for span in self.line.spans:
            if span.record is not None:
                epoch = self._maps[span.record.epoch - 1]
                yield Item(span.begin_ns, span.end_ns, span.record.segment, epoch)
                continue
            begin = span.begin_ns
            while begin < span.end_ns:
                end = min(begin + HOLD_NS, span.end_ns)
                yield Item(begin, end, 0, epoch)
                begin = end

    def playlist(self, *, altered: bool = False) -> str:
        """An HLS media playlist (RFC 8216) of all of it. Addresses are relative to its own.

        altered: ask for what is not what was signed as well.
        """
        items = list(self.items())
        longest = max((item.end_ns - item.begin_ns for item in items), default=NS)
        lines = [
            "#EXTM3U",
            "#EXT-X-VERSION:7",
            f"#EXT-X-TARGETDURATION:{math.ceil(longest / NS)}",
            "#EXT-X-MEDIA-SEQUENCE:1",
            "#EXT-X-PLAYLIST-TYPE:VOD",
            "#EXT-X-INDEPENDENT-SEGMENTS",
        ]
        epoch = 0
        for item in items:
            if item.epoch != epoch:
                lines += ["#EXT-X-DISCONTINUITY"] if epoch else []
                lines.append(f'#EXT-X-MAP:URI="init-{item.epoch}.mp4"')
                epoch = item.epoch
            lines.append(f"#EXTINF:{(item.end_ns - item.begin_ns) / NS:.9f},")
            if item.segment:
                lines.append(f"seg/{item.segment}.m4s{'?altered=1' if altered else ''}")
            else:
                lines.append(f"hold/{item.begin_ns}-{item.end_ns}.m4s")
        return "\n".join([*lines, "#EXT-X-ENDLIST", ""])

    def epochs(self) -> list[int]:
        """The epochs whose init segments a player gets, in the order of the playlist."""
        return list(OrderedDict.fromkeys(item.epoch for item in self.items()))

    def init(self, epoch: int) -> bytes | None:
        """An init segment; None where there is no such epoch."""
        inits = self.line.index.inits
        return inits[epoch - 1] if 1 <= epoch <= len(inits) else None

    def heads(self, epoch: int) -> Heads:
        """The tracks of what is played of an epoch."""
        standing = self._maps[epoch - 1]
        if standing not in self._heads:
            try:
                self._heads[standing] = Heads.of(read_init(self.line.index.inits[standing - 1]))
            except BoxUnusable:
                self._heads[standing] = Heads(None, None, None)
        return self._heads[standing]

    # --- what it names -----------------------------------------------------------------------------------------------

    def segment(self, folder: Folder, number: int, *, altered: bool = False) -> Served | None:
        """A media segment for the player; None where the axis has no such segment.

        altered: play also what is not what was signed, as far as it can be read.
        """
        span = self.line.span_of(number)
        if span is None or span.record is None:
            return None
        heads = self.heads(span.record.epoch)
        try:
            plain, why = self._read(folder, span.record, altered=altered)
            if span.record.frames > 0:
                return Served(filled(plain, heads, span.begin_ns, span.end_ns), why)
            return Served(self._held(folder, span.begin_ns, span.end_ns, plain), why or NO_VIDEO)
        except NotPlayable as error:
            why = WITHHELD if (error.why, span.why) == (NO_FILE, WITHHELD) else error.why
        except BoxUnusable:
            why = UNREADABLE
        return Served(self._held(folder, span.begin_ns, span.end_ns), why)

    def hold(self, folder: Folder, begin_ns: int, end_ns: int) -> Served | None:
        """What is played from one moment to another where there is no segment; None for what no playlist names."""
        span = self.line.span_at(begin_ns)
        if span is None or span.record is not None or not begin_ns < end_ns <= min(span.end_ns, begin_ns + HOLD_NS):
            return None
        return Served(self._held(folder, begin_ns, end_ns), NOTHING)

    def frames(self, folder: Folder, number: int) -> list[int] | None:
        """Media time (ns) of the frames of a segment, ascending; None where there is nothing to see of it."""
        span = self.line.span_of(number)
        if span is None or span.record is None or span.record.frames <= 0:
            return None
        try:
            plain = self.plain(folder, span.record)
            found: list[int] = []
            for run in read_fragments(memoryview(plain), self.heads(span.record.epoch).all):
                if run.head.kind != "video":
                    continue
                ticks = run.dts
                for index, lasts in enumerate(run.durations):
                    shown = ticks + (run.shifts[index] if run.shifts is not None else 0)
                    found.append(-(-shown * NS // run.head.timescale))
                    ticks += lasts
        except (NotPlayable, BoxUnusable):
            return None
        return sorted(found)

    def plain(self, folder: Folder, record: records.Segment) -> bytes:
        """A segment as it was before it was sealed. Raises: NotPlayable."""
        return self._read(folder, record).data

    def _read(self, folder: Folder, record: records.Segment, *, altered: bool = False) -> Served:
        """A segment's plain bytes. With `altered` also such as were not signed, which are not kept: `why` says it.

        Raises: NotPlayable.
        """
        if (known := self.kept.get(self._owner, record.segment)) is not None:
            return Served(known, "")
        try:
            stored = read_file(folder, record.file, SEGMENT_BYTES)
        except FileNotFoundError:
            raise NotPlayable(NO_FILE, f"{record.file} is not there") from None
        except OSError as error:
            raise NotPlayable(UNREADABLE, f"{record.file}: {error.strerror}") from None
        signed = hashlib.sha256(stored).hexdigest() == record.sha256
        if not signed and not altered:
            raise NotPlayable(ALTERED, f"{record.file} is not what was recorded")
        plain = self._opened(record, stored, signed=signed)
        if signed:
            self.kept.keep(self._owner, record.segment, plain)
        return Served(plain, "" if signed else ALTERED)

    def _opened(self, record: records.Segment, stored: bytes, *, signed: bool) -> bytes:
        opening = self.line.open
        if opening is None or not opening.recipients:
            return stored
        if not self.identities:
            raise NotPlayable(SEALED, f"{record.file} is encrypted")
        from bwvd.evidence.keys.age import open_sealed  # here: most of what is looked at is plain

        try:
            return open_sealed(stored, self.identities)
        except IdentityUnusable as error:
            raise NotPlayable(SEALED if signed else ALTERED, f"{record.file} {error}") from None

    def close(self) -> None:
        """Forget what was decrypted of it."""
        self.kept.forget(self._owner)

    def _held(self, folder: Folder, begin_ns: int, end_ns: int, audio: bytes = b"") -> bytes:
        """What lets the player's time go on. Any segment of the epoch will do for a frame: the page covers it."""
        near = self._near(begin_ns)
        record = near[0].record if near else None
        if record is None:
            return b""
        heads = self.heads(record.epoch)
        key = b""
        for span in near[:_TRIED]:
            if span.record is not None and (key := self._key_frame(folder, span.record, heads)):
                break
        return held(
            key, heads, begin_ns, end_ns, audio, None if audio else self._audio_behind_ns(folder, end_ns, heads)
        )

    def _audio_behind_ns(self, folder: Folder, at_ns: int, heads: Heads) -> int | None:
        """Where the audio begins that the next segment has: before its first frame, where the camera came back."""
        span = self.line.span_at(at_ns)
        if span is None or span.record is None:
            return None
        try:
            return audio_begins_ns(self.plain(folder, span.record), heads)
        except (NotPlayable, BoxUnusable):
            return None

    def _near(self, at_ns: int) -> list[Span]:
        """The segments with frames of the epoch that is played at a moment, those before it first, from the nearest."""
        with_record = [span for span in self.line.spans if span.record is not None]
        before = [span for span in with_record if span.begin_ns <= at_ns]
        here = (before[-1] if before else with_record[0]).record if with_record else None
        if here is None:
            return []
        standing = self._maps[here.epoch - 1]
        fit = [
            span
            for span in with_record
            if span.record is not None and span.record.frames > 0 and self._maps[span.record.epoch - 1] == standing
        ]
        return sorted(fit, key=lambda span: (span.begin_ns > at_ns, abs(span.begin_ns - at_ns)))

    def _key_frame(self, folder: Folder, record: records.Segment, heads: Heads) -> bytes:
        if record.segment not in self._keys:
            try:
                self._keys[record.segment] = last_key_frame(self.plain(folder, record), heads)
            except (NotPlayable, BoxUnusable):
                self._keys[record.segment] = b""
        return self._keys[record.segment]
