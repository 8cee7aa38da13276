"""Positions of the loop's time: each recording gets those of its own frames, once."""

from __future__ import annotations

from bwvd.messages import Fix, Located
from bwvd.position.held import Begun, HeldPositions


def held(*seconds: int) -> HeldPositions:
    positions = HeldPositions()
    for second in seconds:
        fix = Fix(second, "", 52.33, 4.8933, None, None, 2, None)
        positions.keep(Located(second, None if second % 10 == 0 else fix))
    return positions


def times(found: list[Located]) -> list[int]:
    return [one.at_ns for one in found]


def test_a_recording_gets_what_lies_in_it_and_gets_it_once() -> None:
    """Invariant 3: the loop may hold a little more than the recording has of it."""
    positions = held(7, 8, 9, 10, 11)
    assert times(positions.of_new(None)) == []
    assert times(positions.of_new(Begun("one", 9))) == [9, 10, 11]
    assert times(positions.of_new(Begun("one", 9))) == []
    assert times(positions.of_new(Begun("two", 8))) == [8, 9, 10, 11]
    assert times(positions.of_new(None)) == []


def test_what_the_loop_lets_go_is_gone() -> None:
    """Invariant 2."""
    positions = held(1, 2, 3)
    positions.let_go(2)
    assert len(positions) == 2
    assert times(positions.of_new(Begun("one", 0))) == [2, 3]
    positions.let_go(4)
    assert len(positions) == 0
    assert times(positions.of_new(Begun("two", 0))) == []
