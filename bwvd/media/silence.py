"""Coded silence for AAC tracks: a frame of it in the track's own form. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

# ISO/IEC 14496-3, table 1.18.
_RATES: Final = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_EXPLICIT_RATE: Final = 15
_LOW_COMPLEXITY: Final = 2
_WITH_HIGH_BAND: Final = (5, 29)  # spectral band replication, with and without parametric stereo: LC inside
_FRAME: Final = 1024  # samples of the core

# Of the elements of a frame, 4.4.2: an id of 3 bits, an instance tag of 4.
_SINGLE, _PAIR, _LOW, _END = "000", "001", "011", "111"
_ELEMENTS: Final = {
    1: (_SINGLE,),
    2: (_PAIR,),
    3: (_SINGLE, _PAIR),
    4: (_SINGLE, _PAIR, _SINGLE),
    5: (_SINGLE, _PAIR, _PAIR),
    6: (_SINGLE, _PAIR, _PAIR, _LOW),
}
# One long window without a scale factor band: global gain, window (ics_info), no pulses, noise shaping, gain control.
_WINDOW: Final = "0" * 11
_CHANNEL: Final = "0" * 8 + _WINDOW + "000"
_CHANNELS: Final = {
    _SINGLE: _CHANNEL,
    _LOW: _CHANNEL,
    _PAIR: "1" + _WINDOW + "00" + ("0" * 8 + "000") * 2,  # with a common window and no mid/side
}


@dataclass(frozen=True, slots=True)
class Silence:
    """A coded frame of silence: a few bytes."""

    data: bytes
    ticks: int  # its length, in the track's timescale


def silence_like(config: bytes, timescale: int) -> Silence | None:
    """Silence for a track, or None where its form can't be made silent.

    Args:
        config: AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1), as the track's init segment has it.
        timescale: ticks per second of the track.
    """
    bits = _Bits(config)
    kind, rate, channels = bits.kind(), bits.rate(), bits.take(4)
    if kind in _WITH_HIGH_BAND:
        bits.rate()
        kind = bits.kind()
    other_length = bits.take(1)
    if kind != _LOW_COMPLEXITY or other_length or bits.short or channels not in _ELEMENTS or not rate:
        return None
    frame = "".join(
        element + format(index, "04b") + _CHANNELS[element] for index, element in enumerate(_ELEMENTS[channels])
    )
    frame += _END
    frame += "0" * (-len(frame) % 8)
    return Silence(int(frame, 2).to_bytes(len(frame) // 8, "big"), _FRAME * timescale // rate)


def silence_of(stream: Any) -> Silence | None:
    """Coded silence for an audio stream of an init segment; None where its form can't be made silent."""
    context, base = stream.codec_context, stream.time_base
    if context.codec.canonical_name != "aac" or not context.extradata or base.numerator != 1:
        return None
    return silence_like(context.extradata, base.denominator)


class _Bits:
    """Bits from the front; behind the end they are 0."""

    def __init__(self, data: bytes) -> None:
        self._bits = "".join(format(byte, "08b") for byte in data)
        self._at = 0

    @property
    def short(self) -> bool:
        return self._at > len(self._bits)

    def take(self, count: int) -> int:
        found = self._bits[self._at : self._at + count].ljust(count, "0")
        self._at += count
        return int(found, 2)

    def kind(self) -> int:
        kind = self.take(5)
        return kind if kind != 31 else 32 + self.take(6)

    def rate(self) -> int:
        index = self.take(4)
        if index == _EXPLICIT_RATE:
            return self.take(24)
        return _RATES[index] if index < len(_RATES) else 0
