"""Reader of what `fragment` writes: which samples lie where in a media segment, without a demuxer.

A packet of its own for each sample is most of what a demuxer costs; the tables of a fragment are arrays, and stay so.
Pure. The bytes may be anything: what can't be read is BoxUnusable, whatever it is.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bwvd.media.boxes import HEADER, BoxUnusable, boxes, find, number
from bwvd.media.samples import Kind

_KINDS: dict[bytes, Kind] = {b"vide": "video", b"soun": "audio"}

# ISO/IEC 14496-12, 8.8.7 and 8.8.8
_TFHD_BASE_OFFSET, _TFHD_DESCRIPTION, _TFHD_DURATION, _TFHD_SIZE, _TFHD_FLAGS = 0x1, 0x2, 0x8, 0x10, 0x20
_TRUN_OFFSET, _TRUN_FIRST_FLAGS = 0x1, 0x4
_TRUN_DURATION, _TRUN_SIZE, _TRUN_FLAGS, _TRUN_SHIFT = 0x100, 0x200, 0x400, 0x800
_NOT_A_KEY_FRAME = 0x10000  # in a sample's flags

_VISUAL, _AUDIO = 78, 28  # bytes of a sample entry's own fields: children follow
_COMPRESSOR = slice(42, 74)  # in a visual entry: a name for people
_HEVC = {b"hev1": b"hvc1"}  # parameter sets in the header; Apple's players want it said so
_ESDS_HEAD = 4  # version and flags
_DECODER_SPECIFIC = 5  # tag of the descriptor that a decoder is set up with


@dataclass(frozen=True, slots=True)
class TrackHead:
    """What an init segment says of one track."""

    track_id: int
    kind: Kind
    timescale: int  # ticks per second
    entry: bytes  # the sample entry, a whole box
    size: bytes  # width and height as a track header has them, 16.16 each
    matrix: bytes  # how the frames are turned
    duration: int = 0  # of a sample of which nothing else is said; likewise:
    sample_size: int = 0
    flags: int = 0

    @property
    def parameters(self) -> tuple[object, ...]:
        """What must be equal for samples to share a track: all that a decoder is set up with."""
        return (self.kind, self.timescale, self.matrix, *_parameters(self.entry, self.kind))

    @property
    def decoder_config(self) -> bytes:
        """AudioSpecificConfig of an AAC track; empty where there is none. Raises: BoxUnusable."""
        data = memoryview(self.entry)
        for name, begin, end in boxes(data, min(HEADER + _AUDIO, len(data))) if self.kind == "audio" else ():
            if name == b"esds":
                return _decoder_specific(bytes(data[begin:end]))
        return b""


@dataclass(frozen=True, slots=True)
class Run:
    """Samples of one track that lie one behind the other in a media segment. Times are ticks of the track."""

    head: TrackHead
    dts: int  # of the first
    offset: int  # of the first, bytes from the segment's begin
    sizes: array[int]  # bytes
    durations: array[int]
    shifts: array[int] | None  # presentation less decode time; None = 0 throughout
    keys: list[int] | None  # which are key frames; None = all are

    def __len__(self) -> int:
        return len(self.sizes)

    def part(self, first: int, behind: int) -> Run:
        """The samples from `first` up to the one before `behind`."""
        if (first, behind) == (0, len(self)):
            return self
        return Run(
            self.head,
            self.dts + sum(self.durations[:first]),
            self.offset + sum(self.sizes[:first]),
            self.sizes[first:behind],
            self.durations[first:behind],
            self.shifts[first:behind] if self.shifts is not None else None,
            [key - first for key in self.keys if first <= key < behind] if self.keys is not None else None,
        )


def read_init(init: bytes) -> list[TrackHead]:
    """The tracks of an init segment with video or audio in them, one of a kind at the most.

    Raises: BoxUnusable.
    """
    data = memoryview(init)
    moov = find(data, "moov")
    defaults = {}
    for kind, begin, end in boxes(data, *find(data, "mvex", *moov)):
        if kind == b"trex":
            values = [number(data, begin + 4 + 4 * index, 4, end) for index in range(5)]
            defaults[values[0]] = values[2:]
    heads = [_head(data, begin, end, defaults) for kind, begin, end in boxes(data, *moov) if kind == b"trak"]
    known = [head for head in heads if head is not None]
    if len({head.kind for head in known}) < len(known):
        raise BoxUnusable("two tracks of a kind")
    return known


def _head(data: memoryview, begin: int, end: int, defaults: dict[int, list[int]]) -> TrackHead | None:
    handler, handler_end = find(data, "mdia/hdlr", begin, end)
    kind = _KINDS.get(bytes(data[handler + 8 : min(handler + 12, handler_end)]))
    if kind is None:
        return None
    tkhd, tkhd_end = find(data, "tkhd", begin, end)
    large = 12 if number(data, tkhd, 1, tkhd_end) == 1 else 0  # version 1: three fields of 8 bytes instead of 4
    track_id = number(data, tkhd + 12 + large * 2 // 3, 4, tkhd_end)
    if tkhd + 84 + large > tkhd_end:
        raise BoxUnusable("a track header is too short")
    mdhd, mdhd_end = find(data, "mdia/mdhd", begin, end)
    timescale = number(data, mdhd + (20 if number(data, mdhd, 1, mdhd_end) == 1 else 12), 4, mdhd_end)
    if timescale == 0:
        raise BoxUnusable("a track without a time scale")
    stsd, stsd_end = find(data, "mdia/minf/stbl/stsd", begin, end)
    kinds = [(name, at, to) for name, at, to in boxes(data, stsd + 8, stsd_end)]
    if len(kinds) != 1:
        raise BoxUnusable(f"a track with {len(kinds)} sample entries")
    name, at, to = kinds[0]
    entry = (to - at + HEADER).to_bytes(4, "big") + _HEVC.get(name, name) + data[at:to]
    duration, sample_size, flags = defaults.get(track_id, [0, 0, 0])
    size = bytes(data[tkhd + 76 + large : tkhd + 84 + large])
    matrix = bytes(data[tkhd + 40 + large : tkhd + 76 + large])
    return TrackHead(track_id, kind, timescale, entry, size, matrix, duration, sample_size, flags)


def _parameters(entry: bytes, kind: Kind) -> tuple[object, ...]:
    own = _VISUAL if kind == "video" else _AUDIO
    fields = bytearray(entry[HEADER : HEADER + own])
    if kind == "video":
        fields[_COMPRESSOR] = bytes(len(fields[_COMPRESSOR]))
    data = memoryview(entry)
    inner: list[tuple[bytes, bytes]] = []
    for name, begin, end in boxes(data, min(HEADER + own, len(entry))):
        if name == b"btrt":
            continue  # the bit rate: says something of the samples, not of the decoder
        content = bytes(data[begin:end])
        inner.append((name, _decoder_specific(content) if name == b"esds" else content))
    return (entry[4:HEADER], bytes(fields), *inner)


def _decoder_specific(esds: bytes) -> bytes:
    """What a decoder is set up with, of an MPEG-4 descriptor that holds bit rates too (ISO/IEC 14496-1, 7.2.6)."""
    at = _ESDS_HEAD
    while at < len(esds):
        tag, at, size = esds[at], at + 1, 0
        while at < len(esds):
            size, at = size << 7 | esds[at] & 0x7F, at + 1
            if not esds[at - 1] & 0x80:
                break
        if tag == _DECODER_SPECIFIC:
            return esds[at : at + size]
        at += {3: 3, 4: 13}.get(tag, size)  # descriptors that hold others: behind their own fields
    return esds


def read_fragments(segment: memoryview, heads: Sequence[TrackHead]) -> Iterator[Run]:
    """The runs of samples of a media segment, in the order of their bytes' tables.

    Raises: BoxUnusable, also where samples lie outside of the segment.
    """
    by_id = {head.track_id: head for head in heads}
    for kind, begin, end in boxes(segment):
        if kind != b"moof":
            continue
        position = end  # of samples of which no offset is said
        for inner, traf, traf_end in boxes(segment, begin, end):
            if inner == b"traf":
                for run in _runs(segment, begin - HEADER, traf, traf_end, by_id, position):
                    position = run.offset + sum(run.sizes)
                    yield run


def _runs(
    data: memoryview, moof: int, begin: int, end: int, by_id: dict[int, TrackHead], position: int
) -> Iterator[Run]:
    at, to = find(data, "tfhd", begin, end)
    flags = number(data, at, 4, to) & 0xFFFFFF
    head = by_id.get(number(data, at + 4, 4, to))
    if head is None:
        return  # a track of another kind
    if flags & _TFHD_BASE_OFFSET:
        raise BoxUnusable("samples by their place in a whole file")
    at += 8 + (4 if flags & _TFHD_DESCRIPTION else 0)
    default = {_TFHD_DURATION: head.duration, _TFHD_SIZE: head.sample_size, _TFHD_FLAGS: head.flags}
    for field in default:
        if flags & field:
            default[field] = number(data, at, 4, to)
            at += 4
    at, to = find(data, "tfdt", begin, end)
    dts = number(data, at + 4, 8 if number(data, at, 1, to) == 1 else 4, to)
    for kind, at, to in boxes(data, begin, end):
        if kind == b"trun":
            run = _run(data, at, to, head, moof, position, dts, *default.values())
            position = run.offset + sum(run.sizes)
            dts += sum(run.durations)
            yield run


def _run(
    data: memoryview,
    at: int,
    end: int,
    head: TrackHead,
    moof: int,
    position: int,
    dts: int,
    duration: int,
    size: int,
    sample_flags: int,
) -> Run:
    flags, count = number(data, at, 4, end), number(data, at + 4, 4, end)
    signed, flags = flags >> 24 == 1, flags & 0xFFFFFF
    at += 8
    if flags & _TRUN_OFFSET:
        offset = number(data, at, 4, end)
        position = moof + (offset - (1 << 32) if offset >> 31 else offset)
        at += 4
    first_flags = None
    if flags & _TRUN_FIRST_FLAGS:
        first_flags = number(data, at, 4, end)
        at += 4
    fields = [field for field in (_TRUN_DURATION, _TRUN_SIZE, _TRUN_FLAGS, _TRUN_SHIFT) if flags & field]
    if at + 4 * len(fields) * count > end or count > len(data):
        raise BoxUnusable(f"{count} samples in a table of {end - at} bytes")
    table = array("I")
    table.frombytes(data[at : at + 4 * len(fields) * count])
    if sys.byteorder == "little":
        table.byteswap()
    column = {field: table[index :: len(fields)] for index, field in enumerate(fields)}
    sizes = column.get(_TRUN_SIZE) or array("I", [size]) * count
    if not 0 <= position <= position + sum(sizes) <= len(data):
        raise BoxUnusable(f"samples of {sum(sizes)} bytes outside of the segment")
    shifts = column.get(_TRUN_SHIFT)
    if shifts is not None:
        shifts = array("i", shifts.tobytes())
        if not signed and min(shifts, default=0) < 0:
            raise BoxUnusable("a presentation time that is far too late")
        if not any(shifts):
            shifts = None
    return Run(
        head,
        dts,
        position,
        sizes,
        column.get(_TRUN_DURATION) or array("I", [duration]) * count,
        shifts,
        _keys(column.get(_TRUN_FLAGS), count, sample_flags, first_flags),
    )


def _keys(each: array[int] | None, count: int, flags: int, first_flags: int | None) -> list[int] | None:
    if each is not None:
        keys = [index for index, one in enumerate(each) if not one & _NOT_A_KEY_FRAME]
    elif flags & _NOT_A_KEY_FRAME:
        keys = []
    else:
        keys = list(range(count))
    if first_flags is not None and count:
        keys = [key for key in keys if key] if first_flags & _NOT_A_KEY_FRAME else sorted({0, *keys})
    return None if len(keys) == count else keys
