"""Header of an MP4 whose samples lie in one `mdat`: the tables that say where, and what players show of the whole.

Structure by ISO/IEC 14496-12; what Apple's players ask for besides by the QuickTime File Format Specification. Pure.
"""

from __future__ import annotations

import datetime
import itertools
import sys
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bwvd.media.boxes import box, full_box

TIMESCALE = 90_000  # ticks per second in which a movie says when a track begins

_EPOCH = datetime.datetime(1904, 1, 1, tzinfo=datetime.UTC)  # of the times in an MP4
_UNDETERMINED = 0x55C4  # the language "und", three letters of five bits
_ENGLISH = 0x15C7
_IDENTITY = bytes.fromhex("00010000000000000000000000000000000100000000000000000000000000004000 0000")
_OWN_DATA = box(b"dinf", full_box(b"dref", 0, 0, (1).to_bytes(4, "big"), full_box(b"url ", 0, 1)))
_NOT_ENABLED, _ENABLED = 2, 3  # a track of the movie that is, or is not, shown unasked
_CO64_FROM = 1 << 32
# Ticks that a sample may last. 32 bits hold a little more, but libav takes that for damage, and makes it one tick.
_LONGEST = (1 << 32) - 1 - 10 * 48_000


class _Times:
    """When a thing was made, and how long it is: in 32 bits where they suffice, which every reader knows."""

    def __init__(self, seconds: int, length: int) -> None:
        self.version = int(max(seconds, length) >= 1 << 32)
        width = 8 if self.version else 4
        self.made = seconds.to_bytes(width, "big") * 2
        self.length = length.to_bytes(width, "big")


@dataclass(slots=True)
class Samples:
    """The samples of one track, as they are added. Times are ticks of the track."""

    sizes: array[int] = field(default_factory=lambda: array("I"))
    durations: array[int] = field(default_factory=lambda: array("I"))
    shifts: array[int] = field(default_factory=lambda: array("i"))  # empty as long as all are 0
    keys: array[int] | None = None  # numbers from 1; None = every one
    chunks: array[int] = field(default_factory=lambda: array("Q"))  # where each begins in the file
    counts: array[int] = field(default_factory=lambda: array("I"))  # how many samples each has
    first_dts: int = 0
    end_dts: int = 0  # where the last one ends
    last_dts: int = -1

    def add(
        self,
        dts: int,
        offset: int,
        sizes: array[int],
        durations: array[int],
        shifts: array[int] | None = None,
        keys: Sequence[int] | None = None,
    ) -> None:
        """Samples that lie one behind the other in the file, from `offset` on; what was there before ends with `dts`.

        Args:
            dts: of the first; behind that of the sample before.
            keys: indexes of those that are key frames; None = all.

        Raises: OverflowError where the sample before would last longer than an MP4 can say and readers believe.
        """
        before = len(self.sizes)
        if before:
            if dts - self.last_dts > _LONGEST:
                raise OverflowError(f"a sample of {dts - self.last_dts} ticks")
            self.durations[-1] = dts - self.last_dts
        else:
            self.first_dts = dts
        if keys is not None or self.keys is not None:
            if self.keys is None:
                self.keys = array("I", range(1, before + 1))
            self.keys.extend(before + 1 + key for key in (range(len(sizes)) if keys is None else keys))
        if shifts is not None or self.shifts:
            self.shifts.extend([0] * (before - len(self.shifts)))
            self.shifts.extend(shifts if shifts is not None else [0] * len(sizes))
        self.sizes.extend(sizes)
        self.durations.extend(durations)
        self.chunks.append(offset)
        self.counts.append(len(sizes))
        self.end_dts = dts + sum(durations)
        self.last_dts = self.end_dts - durations[-1]

    @property
    def first_pts(self) -> int:
        return self.first_dts + (self.shifts[0] if self.shifts else 0)

    @property
    def end_pts(self) -> int:
        """Where the sample that is shown last ends."""
        if not self.shifts:
            return self.end_dts
        ends = itertools.accumulate(self.durations, initial=self.first_dts)
        next(ends)
        return max(map(int.__add__, ends, self.shifts))

    def table(self) -> list[bytes]:
        """The boxes of a sample table behind its `stsd`."""
        parts = [full_box(b"stts", 0, 0, _pairs(self.durations, "I"))]
        if self.shifts:
            parts.append(full_box(b"ctts", int(min(self.shifts) < 0), 0, _pairs(self.shifts, "i")))
        if self.keys is not None:
            parts.append(full_box(b"stss", 0, 0, _counted(self.keys)))
        parts.append(full_box(b"stsc", 0, 0, _sample_to_chunk(self.counts)))
        parts.append(full_box(b"stsz", 0, 0, bytes(4), _counted(self.sizes)))
        if max(self.chunks, default=0) < _CO64_FROM:
            parts.append(full_box(b"stco", 0, 0, _counted(array("I", self.chunks))))
        else:
            parts.append(full_box(b"co64", 0, 0, _counted(self.chunks)))
        return parts


@dataclass(frozen=True, slots=True)
class MovieTrack:
    """One track of a movie."""

    samples: Samples
    timescale: int
    handler: bytes  # "vide", "soun", "sbtl", "text"
    entry: bytes  # the sample entry, a whole box
    media_header: bytes  # a whole box
    begin: int = 0  # movie time of its first sample, in TIMESCALE
    name: str = ""
    size: bytes = bytes(8)  # width and height, 16.16 each
    matrix: bytes = _IDENTITY
    enabled: bool = True
    group: int = 0  # of the tracks of a group a player shows one
    english: bool = False
    chapters: int = 0  # the number of the track, from 1, that holds this one's chapters; 0 = none

    @property
    def duration(self) -> int:
        """What is played of it, in TIMESCALE."""
        ticks = self.samples.end_pts - self.samples.first_pts
        return (ticks * TIMESCALE + self.timescale // 2) // self.timescale

    def box(self, number: int, seconds: int) -> bytes:
        """The `trak` box. `seconds`: when it was made, since the epoch of MP4."""
        stbl = box(b"stbl", full_box(b"stsd", 0, 0, _u32(1), self.entry), *self.samples.table())
        minf = box(b"minf", self.media_header, _OWN_DATA, stbl)
        length = self.samples.end_dts - self.samples.first_dts
        language = _ENGLISH if self.english else _UNDETERMINED
        times = _Times(seconds, length)
        mdhd = full_box(
            b"mdhd",
            times.version,
            0,
            times.made,
            _u32(self.timescale),
            times.length,
            language.to_bytes(2, "big"),
            bytes(2),
        )
        hdlr = full_box(b"hdlr", 0, 0, bytes(4), self.handler, bytes(12), self.name.encode(), b"\0")
        times = _Times(seconds, self.begin + self.duration)
        tkhd = full_box(
            b"tkhd",
            times.version,
            _ENABLED if self.enabled else _NOT_ENABLED,
            times.made,
            _u32(number),
            bytes(4),
            times.length,
            bytes(10),
            self.group.to_bytes(2, "big"),
            bytes([1 if self.handler == b"soun" else 0, 0]),
            bytes(2),
            self.matrix,
            self.size,
        )
        tref = box(b"tref", box(b"chap", _u32(self.chapters))) if self.chapters else b""
        return box(b"trak", tkhd, self._edits(), tref, box(b"mdia", mdhd, hdlr, minf))

    def _edits(self) -> bytes:
        """Nothing up to the first sample's moment, then all from its presentation time on."""
        first = self.samples.first_pts - self.samples.first_dts
        entries = [(self.begin, -1)] if self.begin else []
        entries.append((self.duration, first))
        rate = bytes.fromhex("00010000")
        coded = b"".join(_u64(length) + at.to_bytes(8, "big", signed=True) + rate for length, at in entries)
        return box(b"edts", full_box(b"elst", 1, 0, _u32(len(entries)), coded))


def movie(tracks: Sequence[MovieTrack], created: datetime.datetime | None, *others: bytes) -> bytes:
    """The `moov` box. `others`: boxes behind the tracks, metadata."""
    seconds = max(0, int((created - _EPOCH).total_seconds())) if created is not None else 0
    length = max((track.begin + track.duration for track in tracks), default=0)
    times = _Times(seconds, length)
    mvhd = full_box(
        b"mvhd",
        times.version,
        0,
        times.made,
        _u32(TIMESCALE),
        times.length,
        bytes.fromhex("00010000 0100") + bytes(10),
        _IDENTITY,
        bytes(24),
        _u32(len(tracks) + 1),
    )
    traks = (track.box(number, seconds) for number, track in enumerate(tracks, 1))
    return box(b"moov", mvhd, *traks, *others)


VIDEO_HEADER = full_box(b"vmhd", 0, 1, bytes(8))
SOUND_HEADER = full_box(b"smhd", 0, 0, bytes(4))
NO_HEADER = full_box(b"nmhd", 0, 0)


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def _u64(value: int) -> bytes:
    return value.to_bytes(8, "big")


def _big(values: array[int]) -> bytes:
    if sys.byteorder == "little":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def _counted(values: array[int]) -> bytes:
    return _u32(len(values)) + _big(values)


def _pairs(values: Iterable[int], code: str) -> bytes:
    """How often, and what: equal values that follow each other are told once. `code`: "i" if values may be negative."""
    flat = array("I")
    for value, run in itertools.groupby(values):
        flat.append(sum(1 for _ in run))
        flat.append(value & 0xFFFFFFFF if code == "i" else value)
    return _u32(len(flat) // 2) + _big(flat)


def _sample_to_chunk(counts: array[int]) -> bytes:
    flat = array("I")
    for first, (count, before) in enumerate(zip(counts, itertools.chain([0], counts), strict=False), 1):
        if count != before:
            flat.extend((first, count, 1))
    return _u32(len(flat) // 3) + _big(flat)
