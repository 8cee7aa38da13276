"""Packets without stamps: what is there is kept, and what is missing follows from it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from hypothesis import given
from hypothesis import strategies as st

from bwvd.capture.device.packet_stamps import NominalStamps, stamp_first, untold


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


def shown(stamps: list[tuple[int | None, int | None]], key: int = 0) -> list[av.Packet[Any]]:
    """Packets with these presentation and decode times; the one at `key` is of a key frame."""
    made = packets([None] * len(stamps))
    for number, (packet, (pts, dts)) in enumerate(zip(made, stamps, strict=True)):
        packet.pts, packet.dts, packet.is_keyframe = pts, dts, number == key
    return made


def test_what_is_shown_as_it_comes_needs_no_decode_times() -> None:
    """A camera of one frame a second, as libav gives it: presentation times alone, and none for the first frame."""
    found = shown([(None, None), (90, None), (180, None), (270, 270)])
    assert not untold(found, reordered=False), "nothing more has to come"
    stamp_first(found, reordered=False, step=90)
    assert [(packet.pts, packet.dts) for packet in found] == [(0, 0), (90, 90), (180, 180), (270, 270)]


def test_one_time_is_enough_where_frames_are_shown_as_they_come() -> None:
    found = shown([(None, None), (None, None), (180, None)])
    stamp_first(found, reordered=False, step=90)
    assert [packet.pts for packet in found] == [0, 90, 180]


def test_a_key_frame_without_a_time_is_shown_before_what_follows() -> None:
    """Three B-frames over RTSP, as libav gives them after each connect: taken from its decode time, the first frame
    would be shown before its time."""
    found = shown([(None, None), (240, None), (120, None), (60, 60), (180, 120), (480, 180)])
    assert untold(found[:4], reordered=True)
    assert not untold(found[:5], reordered=True)
    stamp_first(found, reordered=True, step=60)
    assert [packet.pts for packet in found] == [0, 240, 120, 60, 180, 480]
    assert [packet.dts for packet in found] == [-120, -60, 0, 60, 120, 180]


@given(st.integers(1, 60), st.integers(2, 9), st.booleans())
def test_what_has_no_stamps_follows_at_the_nominal_rate(rate: int, frames: int, reordered: bool) -> None:
    base = Fraction(1, 1_200_000)
    nominal, made = NominalStamps(reordered, base, Fraction(rate)), packets([None] * frames)
    for packet in made:
        nominal.stamp(packet)
    assert [packet.dts for packet in made] == [n * 1_200_000 // rate for n in range(frames)] or 1_200_000 % rate
    assert [packet.pts for packet in made] == ([None] * frames if reordered else [packet.dts for packet in made])


def test_a_time_that_is_there_is_kept_and_gone_on_from() -> None:
    nominal, made = NominalStamps(False, Fraction(1, 1_000), Fraction(25)), packets([None, 100, None])
    for packet in made:
        nominal.stamp(packet)
    assert [packet.dts for packet in made] == [0, 100, 140]


@given(st.lists(st.sampled_from([0, 20, 40, 120]), max_size=8))
def test_a_packet_that_says_how_long_it_lasts_is_believed(durations: list[int]) -> None:
    nominal, made = NominalStamps(False, Fraction(1, 1_000), Fraction(25)), packets([None] * len(durations))
    at = 0
    for packet, duration in zip(made, durations, strict=True):
        packet.duration = duration
        assert nominal.stamp(packet) == (at, duration)
        assert (packet.dts, packet.pts) == (at, at)
        at += duration or 40
