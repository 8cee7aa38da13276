"""NAL units of H.264 and HEVC: found, told apart, and brought into the form that MP4 stores. Pure.

An encoder or camera gives Annex B (units parted by start codes) or length-prefixed units (as in MP4). MP4 stores the
second. Sources: ITU-T H.264 and H.265, annex B and table 7-1; ISO/IEC 14496-15 for the prefixed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NalCodec = Literal["h264", "hevc"]

START_CODE = b"\0\0\1"
PREFIX_BYTES = 4  # of the length that is put before each unit

_H264_IDR = 5
_H264_PARAMETERS = frozenset({7, 8})  # SPS, PPS
_HEVC_CLOSED = frozenset({16, 17, 18, 19, 20})  # BLA and IDR: nothing after them refers to what was before
_HEVC_CRA = 21  # leading pictures may refer back
_HEVC_PARAMETERS = frozenset({32, 33, 34})  # VPS, SPS, PPS

Data = bytes | bytearray
Span = tuple[int, int]  # a unit's first byte, and one past its last


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


def prefixed_units(data: Data, length_bytes: int) -> list[Span]:
    """The units of the form that MP4 stores. Raises: ValueError where a length reaches past the end."""
    spans = []
    at = 0
    while at < len(data):
        start = at + length_bytes
        end = start + int.from_bytes(data[at:start], "big")
        if end > len(data) or start > len(data):
            raise ValueError(f"a NAL unit reaches {end - len(data)} bytes past the end of its access unit")
        if end > start:
            spans.append((start, end))
        at = end
    return spans


def prefixed_room(size: int) -> int:
    """At most so many bytes come of `size` bytes of Annex B: a unit of one byte grows from four to five."""
    return size * 5 // 4


def write_prefixed(data: Data, spans: list[Span], room: memoryview) -> int:
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

    def units(self, data: Data) -> list[Span]:
        """Raises: ValueError for a broken access unit."""
        return prefixed_units(data, self.length_bytes) if self.length_bytes else annexb_units(data)

    def begins_gop(self, data: Data, spans: list[Span], reordered: bool) -> bool:
        """Whether a decoder can begin here and nothing that follows refers back beyond it.

        reordered: the stream has B-frames, so that a CRA picture may be followed by pictures that refer back.
        """
        for start, _ in spans:
            kind = unit_type(self.codec, data[start])
            if self.codec == "h264":
                if kind == _H264_IDR:
                    return True
            elif kind in _HEVC_CLOSED or (kind == _HEVC_CRA and not reordered):
                return True
        return False

    def parameter_sets(self, data: Data, spans: list[Span]) -> tuple[bytes, ...]:
        """The distinct parameter sets of an access unit, sorted: equal for equal parameters."""
        kinds = _H264_PARAMETERS if self.codec == "h264" else _HEVC_PARAMETERS
        return tuple(sorted({bytes(data[a:b]) for a, b in spans if unit_type(self.codec, data[a]) in kinds}))
