"""Packets of a camera that encodes by itself, damaged in every way that a cable, a driver or a firmware has.

Deterministic: a seed decides all. The pictures are numbered (`bwvd.testing.clip`), so that what came through unharmed
is known by its number.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from bwvd.testing.clip import numbered_clip

RATE = 30
GOP = 15  # frames
CYCLE = 600  # numbers of the clip
STEP_US = 1_000_000 // RATE

_START = b"\0\0\0\1"
_NONSENSE = (0, 1, -1, 1 << 40, -(1 << 40), (1 << 62), -(1 << 62), 17)


@dataclass(frozen=True)
class Fuzzed:
    """One packet as the camera hands it over."""

    packet: av.Packet[Any]
    number: int  # of the picture in it
    harmed: bool  # bytes, not only stamps


def clips(folder: Path, suffix: str) -> tuple[Path, Path]:
    """A camera's stream, and one of another size that it may change to. suffix: ts is Annex B, mp4 is not."""
    first, second = folder / f"first.{suffix}", folder / f"second.{suffix}"
    if not second.exists():
        numbered_clip(first, CYCLE, rate=RATE, gop_s=GOP / RATE)
        numbered_clip(second, CYCLE, rate=RATE, gop_s=GOP / RATE, width=96, height=64)
    return first, second


def _payloads(clip: Path) -> list[bytes]:
    with av.open(str(clip)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def fuzzed(first: Path, second: Path, begin_us: int, count: int, seed: int, share: float = 0.1) -> Iterator[Fuzzed]:
    """`count` packets of which `share` are damaged; those of the first second are whole, as at most openings."""
    chance = random.Random(seed)
    small, large = _payloads(first), _payloads(second)
    annexb = small[0].startswith((_START, _START[1:]))
    sizes = [small, large] if annexb else [small]
    now = small
    for index in range(count):
        number = index % CYCLE
        if number % GOP == 0 and index > RATE and chance.random() < 0.02:
            now = chance.choice(sizes)  # the size changes at a key frame, without a word
        data = now[number]
        stamp: int | None = begin_us + index * STEP_US
        harmed, corrupt = False, False
        if index > RATE and chance.random() < share:
            match chance.randrange(5):
                case 0:
                    stamp = _stamp(stamp or 0, chance)
                case 1:
                    corrupt = harmed = True
                case _:
                    data, harmed = _harm(data, chance.choice(sizes), chance), True
        packet: av.Packet[Any] = av.Packet(data)
        packet.pts = packet.dts = stamp
        packet.is_corrupt = corrupt
        yield Fuzzed(packet, number, harmed)


def _stamp(stamp: int, chance: random.Random) -> int | None:
    return chance.choice(
        [
            None,
            stamp - STEP_US,  # of the one before
            stamp - chance.randrange(10_000_000),
            stamp + chance.randrange(10_000_000),
            chance.choice(_NONSENSE),
        ]
    )


def _harm(data: bytes, other: list[bytes], chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    match chance.randrange(10):
        case 0:
            return b""
        case 1:
            return data[:at]
        case 2:
            return data[at:]
        case 3:  # a bit
            return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        case 4:  # headers are where it hurts
            at = min(at, chance.randrange(40))
            return data[:at] + chance.randbytes(chance.randrange(1, 9)) + data[at + 4 :]
        case 5:  # a unit begins where none does: of any kind, parameter sets included
            return data[:at] + _START + bytes([chance.randrange(256)]) + data[at:]
        case 6:
            return chance.randbytes(chance.randrange(1, 200))
        case 7:  # another picture, perhaps of another size
            return chance.choice(other)
        case 8:  # without its parameter sets, or whatever came first
            rest = data.find(_START[1:], at)
            return data[rest:] if rest > 0 else data[1:]
        case _:
            return data + chance.choice(other)
