"""NAL units of H.264 and HEVC: found, told apart, and brought into the form that MP4 stores. Pure.

An encoder or camera gives Annex B (units parted by start codes) or length-prefixed units (as in MP4). MP4 stores the
second. Sources: ITU-T H.264 and H.265, annex B and table 7-1; ISO/IEC 14496-15 for the prefixed form.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Literal, NamedTuple

NalCodec = Literal["h264", "hevc"]

START_CODE = b"\0\0\1"
PREFIX_BYTES = 4  # of the length that is put before each unit

_H264_PARAMETERS = frozenset({7, 8})  # SPS, PPS
_H264_PICTURE = range(1, 6)
_H264_DELIMITER = 9
_H264_MESSAGES = 6  # SEI
_RECOVERY_POINT = 6  # of their types
_HEVC_PARAMETERS = frozenset({32, 33, 34})  # VPS, SPS, PPS
_HEVC_PICTURE = range(32)
_HEVC_DELIMITER = 35

Data = bytes | bytearray
Readable = Data | memoryview
Span = tuple[int, int]  # a unit's first byte, and one past its last


def _mask(types: Iterable[int]) -> int:
    """A set of types of units as bits: what an access unit holds is asked for each packet of a camera."""
    return sum(1 << kind for kind in types)


_H264_PICTURES, _H264_SETS = _mask(_H264_PICTURE), _mask(_H264_PARAMETERS)
_H264_IDR, _H264_SEI = _mask([5]), _mask([_H264_MESSAGES])
_HEVC_PICTURES, _HEVC_SETS = _mask(_HEVC_PICTURE), _mask(_HEVC_PARAMETERS)
_HEVC_CLOSED = _mask([16, 17, 18, 19, 20])  # BLA and IDR: nothing after them refers to what was before
_HEVC_CRA = _mask([21])  # leading pictures may refer back
_HEVC_ANY_BEGINNING = 16  # the first type at which a decoder may begin
_LENGTH = struct.Struct(">I")
_FORBIDDEN = 1 << 64  # above each type's bit: forbidden_zero_bit is set
# By a unit's first byte: its type as a bit.
_H264_BITS = [_FORBIDDEN if header & 0x80 else 1 << (header & 0x1F) for header in range(256)]
_HEVC_BITS = [_FORBIDDEN if header & 0x80 else 1 << (header >> 1) for header in range(256)]


class Content(Enum):
    """What an access unit holds, as far as its units' headers say."""

    PICTURE = "picture"
    NO_PICTURE = "no picture"  # parameter sets, delimiters, messages
    BROKEN = "broken"  # no camera makes that


class AccessUnit(NamedTuple):
    """What the headers of an access unit's units say."""

    content: Content
    key: bool = False  # a decoder can begin here, and nothing that follows refers back beyond it
    open: bool = False  # a decoder can begin here, but what follows may refer back, or it is a refresh's beginning
    has_sets: bool = False  # parameter sets


def unit_type(codec: NalCodec, header: int) -> int:
    """The type in a unit's first byte."""
    return header & 0x1F if codec == "h264" else header >> 1 & 0x3F


def annexb_units(data: Data) -> list[Span]:
    """The units between start codes, without the zeros that may trail them. Anything before the first is ignored."""
    spans = []
    at = data.find(START_CODE)
    while at >= 0:
        start = at + len(START_CODE)
        at = data.find(START_CODE, start)
        end = len(data) if at < 0 else at
        # A unit never ends in a zero byte: zeros before a start code belong to that, zeros at the end to nothing.
        while end > start and not data[end - 1]:
            end -= 1
        if end > start:
            spans.append((start, end))
    return spans


def prefixed_units(data: Readable, length_bytes: int) -> list[Span]:
    """The units of the form that MP4 stores. Raises: ValueError where a length reaches past the end."""
    spans = []
    at, size = 0, len(data)
    while at < size:
        start = at + length_bytes
        at = start + int.from_bytes(data[at:start], "big")
        if at > start:
            spans.append((start, at))
    if at > size:
        raise ValueError(f"a NAL unit, or its length, reaches {at - size} bytes past the end of its access unit")
    return spans


def _kinds_of_prefixed(data: Readable, bits: list[int]) -> int:
    """The types of all units, as bits, where each has four bytes of length before it: what many a camera's packet is
    asked for. Nothing is made for it.

    Raises: ValueError where a length reaches past the end.
    """
    read, at, size, seen = _LENGTH.unpack_from, 0, len(data), 0
    try:
        while at < size:
            start = at + PREFIX_BYTES
            (length,) = read(data, at)
            at = start + length
            if length:
                seen |= bits[data[start]]
    except (struct.error, IndexError) as error:
        raise ValueError("a NAL unit, or its length, is cut off by the end of its access unit") from error
    if at > size:
        raise ValueError(f"a NAL unit reaches {at - size} bytes past the end of its access unit")
    return seen


def prefixed_room(size: int) -> int:
    """At most so many bytes come of `size` bytes of Annex B: a unit of one byte grows from four to five."""
    return size * 5 // 4


def write_prefixed(data: Readable, spans: list[Span], room: memoryview) -> int:
    """Write the units with their lengths before them; returns the bytes written."""
    at = 0
    source = memoryview(data)
    for start, end in spans:
        size = end - start
        room[at : at + PREFIX_BYTES] = size.to_bytes(PREFIX_BYTES, "big")
        at += PREFIX_BYTES
        room[at : at + size] = source[start:end]
        at += size
    return at


@dataclass(frozen=True, slots=True)
class NalForm:
    """How a stream's access units are made up."""

    codec: NalCodec
    length_bytes: int  # 0 = Annex B

    @staticmethod
    def of(codec: NalCodec, extradata: bytes | None) -> NalForm:
        """Tell from the codec's extradata: avcC and hvcC begin with their version, Annex B with a start code."""
        if not extradata or extradata[0] != 1:
            return NalForm(codec, 0)
        at = 4 if codec == "h264" else 21
        return NalForm(codec, (extradata[at] & 3) + 1) if len(extradata) > at else NalForm(codec, 4)

    def units(self, data: Readable) -> list[Span]:
        """Raises: ValueError for a broken access unit."""
        if self.length_bytes:
            return prefixed_units(data, self.length_bytes)
        return annexb_units(bytes(data) if isinstance(data, memoryview) else data)

    def look(
        self, data: Readable, reordered: bool, recovery: bool = True, spans: list[Span] | None = None
    ) -> AccessUnit:
        """Look at the headers: a few bytes, so that it can be done for every packet.

        reordered: the stream has B-frames, so that a CRA picture may be followed by pictures that refer back.
        recovery: whether it is asked for recovery points of H.264 (`open`), which messages have to be read for.
        spans: of the units, where somebody has found them; None = they are found here.

        Raises: ValueError for an access unit whose units reach past its end.
        """
        bits = _H264_BITS if self.codec == "h264" else _HEVC_BITS
        if spans is None and self.length_bytes == PREFIX_BYTES:
            seen = _kinds_of_prefixed(data, bits)
        else:
            spans, seen = self.units(data) if spans is None else spans, 0
            for start, _ in spans:
                seen |= bits[data[start]]
        unit = _found(self.codec, reordered, seen)
        if recovery and seen & _H264_SEI and self._may_be_open(unit) and self._may_recover(data, spans):
            return unit._replace(open=True)
        return unit

    def _may_be_open(self, unit: AccessUnit) -> bool:
        return self.codec == "h264" and unit.content is Content.PICTURE and not unit.key

    def _may_recover(self, data: Readable, spans: list[Span] | None) -> bool:
        """Whether an access unit of H.264 has a recovery point (SEI message 6)."""
        return any(
            data[a] & 0x1F == _H264_MESSAGES and _has_message(data, a + 1, b, _RECOVERY_POINT)
            for a, b in (self.units(data) if spans is None else spans)
        )

    def begins_picture(self, data: Data) -> bool | None:
        """Whether the first slice in Annex B data is the first of its picture; None where no slice is found.

        first_mb_in_slice is 0 (a single set bit, as it is coded), or first_slice_segment_in_pic_flag is set.
        """
        codec, header = (self.codec, 1) if self.codec == "h264" else (self.codec, 2)
        pictures = _H264_PICTURE if codec == "h264" else _HEVC_PICTURE
        at = data.find(START_CODE)
        while at >= 0:
            start = at + len(START_CODE)
            if start + header >= len(data):
                return None
            if unit_type(codec, data[start]) in pictures:
                return bool(data[start + header] & 0x80)
            at = data.find(START_CODE, start)
        return None

    def next_picture(self, data: Data) -> int | None:
        """Where in Annex B data another picture begins behind the first slices: the place of a start code, or None.

        data: begins with slices of one picture, with parameter sets, messages and a delimiter anywhere.
        """
        header = 1 if self.codec == "h264" else 2
        pictures = _H264_PICTURE if self.codec == "h264" else _HEVC_PICTURE
        seen, between = False, -1  # the first unit since the last slice
        for start, end in annexb_units(data):
            if unit_type(self.codec, data[start]) not in pictures:
                between = start if between < 0 else between
                continue
            if seen and end - start > header and data[start + header] & 0x80:
                begin = (between if between >= 0 else start) - len(START_CODE)
                return begin - 1 if begin and not data[begin - 1] else begin
            seen, between = True, -1
        return None

    def without_sets(self, data: Data) -> list[Span]:
        """The units of Annex B data that are neither parameter sets nor a delimiter."""
        codec = self.codec
        left_out = _H264_PARAMETERS | {_H264_DELIMITER} if codec == "h264" else _HEVC_PARAMETERS | {_HEVC_DELIMITER}
        return [(a, b) for a, b in annexb_units(data) if unit_type(codec, data[a]) not in left_out]

    def sets_in(self, extradata: bytes) -> tuple[bytes, ...]:
        """The distinct parameter sets in a codec's extradata, sorted; () where it is cut off."""
        if not self.length_bytes:
            return self.parameter_sets(extradata, annexb_units(extradata))
        try:
            spans = _avcc_units(extradata) if self.codec == "h264" else _hvcc_units(extradata)
        except IndexError:
            return ()
        if any(end > len(extradata) for _, end in spans):
            return ()
        return self.parameter_sets(extradata, [span for span in spans if span[0] < span[1]])

    def parameter_sets(self, data: Readable, spans: list[Span]) -> tuple[bytes, ...]:
        """The distinct parameter sets of an access unit, sorted: equal for equal parameters."""
        codec, kinds = self.codec, _H264_PARAMETERS if self.codec == "h264" else _HEVC_PARAMETERS
        found = [bytes(data[a:b]) for a, b in spans if unit_type(codec, data[a]) in kinds]
        return tuple(sorted(set(found))) if found else ()


@lru_cache(maxsize=256)  # a camera's packets are of a few kinds; a hostile one's are not remembered for ever
def _found(codec: NalCodec, reordered: bool, seen: int) -> AccessUnit:
    """What an access unit is whose units have the types `seen`, as bits; recovery points left out."""
    h264 = codec == "h264"
    if not seen or seen >= _FORBIDDEN:
        return AccessUnit(Content.BROKEN)
    pictures = seen & (_H264_PICTURES if h264 else _HEVC_PICTURES)
    sets = bool(seen & (_H264_SETS if h264 else _HEVC_SETS))
    if not pictures:
        return AccessUnit(Content.NO_PICTURE, has_sets=sets)
    # An IDR picture has no slice of another kind; in HEVC that is so for each kind of picture one may begin at.
    if pictures & (pictures - 1) and (pictures & _H264_IDR if h264 else pictures >> _HEVC_ANY_BEGINNING):
        return AccessUnit(Content.BROKEN, has_sets=sets)
    if h264:
        return AccessUnit(Content.PICTURE, bool(pictures & _H264_IDR), has_sets=sets)
    key = bool(pictures & _HEVC_CLOSED or (pictures & _HEVC_CRA and not reordered))
    return AccessUnit(Content.PICTURE, key, not key and bool(pictures & _HEVC_CRA), sets)


def _has_message(data: Readable, at: int, end: int, wanted: int) -> bool:
    """Whether there is a message of that type in an SEI unit, between its header and its end."""
    while at + 1 < end:  # the last byte is what fills up
        number = size = 0
        while at < end and data[at] == 0xFF:
            number, at = number + 255, at + 1
        number, at = number + (data[at] if at < end else 0), at + 1
        if number == wanted:
            return True
        while at < end and data[at] == 0xFF:
            size, at = size + 255, at + 1
        at += 1 + (size + data[at] if at < end else 0)
    return False


def _avcc_units(data: bytes) -> list[Span]:
    """AVCDecoderConfigurationRecord: counted SPS, then counted PPS, each behind two bytes of length."""
    spans: list[Span] = []
    at = _counted(data, 6, data[5] & 0x1F, spans)
    _counted(data, at + 1, data[at], spans)
    return spans


def _hvcc_units(data: bytes) -> list[Span]:
    """HEVCDecoderConfigurationRecord: counted arrays, each of a type's byte and counted units."""
    spans: list[Span] = []
    at = 23
    for _ in range(data[22]):
        at = _counted(data, at + 3, int.from_bytes(data[at + 1 : at + 3], "big"), spans)
    return spans


def _counted(data: bytes, at: int, count: int, spans: list[Span]) -> int:
    """Collect `count` units that begin at `at`; returns where they end."""
    for _ in range(count):
        start = at + 2
        if start > len(data):
            raise IndexError
        at = start + int.from_bytes(data[start - 2 : start], "big")
        spans.append((start, at))
    return at
