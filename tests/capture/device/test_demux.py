"""Small decisions of a reading: which rate to believe, and how a stream's unstamped beginning is stamped."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.capture.device.demux import nominal_rate, stamp_first


@pytest.mark.parametrize(
    ("average", "base", "expected"),
    [
        (Fraction(25), Fraction(50), 25),
        (None, Fraction(30000, 1001), Fraction(30000, 1001)),
        (Fraction(90_000), Fraction(25), 25),
        (Fraction(90_000), Fraction(90_000), 15),
        (None, None, 15),
        (Fraction(0), None, 15),
    ],
)
def test_the_rate_is_the_streams_where_that_makes_sense(
    average: Fraction | None, base: Fraction | None, expected: Fraction
) -> None:
    assert nominal_rate(average, base, 15.0) == expected


def packets(stamps: list[int | None]) -> list[av.Packet[Any]]:
    made: list[av.Packet[Any]] = []
    for stamp in stamps:
        packet: av.Packet[Any] = av.Packet(b"x")
        packet.pts = packet.dts = stamp
        made.append(packet)
    return made


@given(st.integers(0, 5), st.integers(-1000, 100_000), st.integers(1, 3_000), st.integers(2, 6))
def test_the_unstamped_beginning_continues_the_beat_backwards(missing: int, first: int, step: int, there: int) -> None:
    found = packets([None] * missing + [first + n * step for n in range(there)])
    stamp_first(found)
    assert [packet.dts for packet in found] == [first + n * step for n in range(-missing, there)]


def test_presentation_times_that_are_there_are_kept() -> None:
    found = packets([None, None, 0, 33])
    found[0].pts, found[1].pts = 0, 100
    stamp_first(found)
    assert [(packet.pts, packet.dts) for packet in found[:2]] == [(0, -66), (100, -33)]


@given(st.lists(st.one_of(st.none(), st.integers(0, 10**6)), max_size=8))
def test_any_backlog_is_taken(stamps: list[int | None]) -> None:
    found = packets(stamps)
    stamp_first(found)
    if len([stamp for stamp in stamps if stamp is not None]) < 2:
        assert [packet.dts for packet in found] == stamps
    else:
        assert found[0].dts is not None
