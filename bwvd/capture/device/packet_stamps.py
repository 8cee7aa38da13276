"""Stamps of packets that come without them: the first ones of a stream, and those of files that have none at all.

What has a presentation time keeps it. A decode time that is missing follows from the others: without reordering it is
the presentation time; with it, the first ones go on backwards at the pace of those that libav has told.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av

FASTEST = 480  # frames per second that a camera may claim


def nominal_rate(average: Fraction | None, base: Fraction | None, configured: float) -> Fraction:
    """Frames per second: the stream's own where it makes sense (a clock rate of 90000 does not), else as configured."""
    for rate in (average, base):
        if rate is not None and 0 < rate <= FASTEST:
            return rate
    return Fraction(configured).limit_denominator(1001)


def ticks_of(packet: av.Packet[Any]) -> tuple[int | None, int | None]:
    """A packet's decode time, or presentation time where it has none, and its duration, all in ticks."""
    dts = packet.dts
    return packet.pts if dts is None else dts, packet.duration


def untold(packets: list[av.Packet[Any]], reordered: bool) -> bool:
    """True if more of a stream has to come before its first packets can be stamped."""
    if not packets or packets[0].dts is not None or not reordered:
        return False
    return sum(packet.dts is not None for packet in packets) < 2


def stamp_first(packets: list[av.Packet[Any]], reordered: bool = True, step: int = 0) -> None:
    """Stamp the first packets of a stream, which libav leaves without.

    reordered: presentation times may lie after decode times. step: ticks between two frames, nominally; 0 = unknown.
    """
    if not reordered:
        _first_in_order(packets, step)
        return
    stamped = [index for index, packet in enumerate(packets) if packet.dts is not None]
    if len(stamped) < 2:
        return
    first, second = (packets[index].dts or 0 for index in stamped[:2])
    _first_shown(packets, second - first)
    for index in range(stamped[0]):
        packet = packets[index]
        packet.dts = first - (stamped[0] - index) * (second - first)
        if packet.pts is None:
            packet.pts = packet.dts


def _first_in_order(packets: list[av.Packet[Any]], step: int) -> None:
    """Frames are shown as they come: one time of a packet is both."""
    for packet in packets:
        if packet.dts is None:
            packet.dts = packet.pts
        elif packet.pts is None:
            packet.pts = packet.dts
    told = [index for index, packet in enumerate(packets) if packet.dts is not None]
    if not told or not told[0]:
        return
    first = packets[told[0]].dts or 0
    if len(told) > 1:
        step = ((packets[told[1]].dts or 0) - first) // (told[1] - told[0])
    for index in range(told[0]):
        packets[index].pts = packets[index].dts = first - (told[0] - index) * step


def _first_shown(packets: list[av.Packet[Any]], step: int) -> None:
    """A stream's first packet, of a key frame, that has no time: it is shown one step before the first one after it."""
    if not packets or packets[0].pts is not None or not packets[0].is_keyframe:
        return
    following: list[int] = []
    for packet in packets[1:]:
        if packet.is_keyframe:
            break
        if packet.pts is not None:
            following.append(packet.pts)
    if following:
        packets[0].pts = min(following) - step


class NominalStamps:
    """Stamps for a track whose packets have none: its frames follow each other at the nominal rate.

    Only for what is played. With reordering, nobody knows which frame is shown when: there are decode times alone.
    """

    def __init__(self, reordered: bool, base: Fraction, rate: Fraction) -> None:
        """base: seconds of a tick. rate: frames per second, where a packet does not say how long it lasts."""
        self._reordered = reordered
        self._step = max(round(1 / (rate * base)), 1)
        self._next = 0

    def stamp(self, packet: av.Packet[Any]) -> tuple[int | None, int | None]:
        """Stamp a packet that has no time; one that has is where the next one goes on from. Returns `ticks_of` it."""
        stamp, duration = ticks_of(packet)
        if stamp is None:
            stamp = packet.dts = self._next
            if not self._reordered:
                packet.pts = stamp
        self._next = stamp + (duration or self._step)
        return stamp, duration
