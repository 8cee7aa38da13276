# ruff: noqa: S101  # a conformance suite is made of asserts
"""The checks of every `Lamp`, the real ones and the virtual one, and any that somebody else writes.

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_my_lamp(check): check(my_subject())

Each check needs a subject of its own: plugged in, and not open. None needs pytest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bwvd.feedback.ports import IndicatorLost, Lamp

KINDS = ("light", "haptic", "tone")


@dataclass(frozen=True, slots=True)
class Subject:
    """A lamp on the bench: how to open it, how to see what it does, how to pull it out."""

    open: Callable[[], Lamp]
    shows: Callable[[], int]  # what the eye, the ear or the skin is given now; 0 = nothing
    unplug: Callable[[], None]
    on: int = 1  # a level that is on: 1, or a sounder's frequency in hertz
    shown_on: int = 1  # what `shows` gives then


def _error(action: Callable[..., object], *arguments: object) -> IndicatorLost:
    try:
        action(*arguments)
    except IndicatorLost as lost:
        return lost
    raise AssertionError("a lamp that is not there did as it was told")


def it_is_dark_when_opened_and_goes_on_and_off(subject: Subject) -> None:
    lamp = subject.open()
    assert lamp.kind in KINDS
    assert bool(lamp.colour) == (lamp.kind == "light"), "a light has a colour, nothing else has"
    assert lamp.name
    assert subject.shows() == 0
    for _ in range(3):
        lamp.set(subject.on)
        assert subject.shows() == subject.shown_on
        lamp.set(subject.on)
        assert subject.shows() == subject.shown_on, "on again is on"
        lamp.set(0)
        assert subject.shows() == 0
    lamp.close()


def it_is_dark_when_closed(subject: Subject) -> None:
    lamp = subject.open()
    lamp.set(subject.on)
    lamp.close()
    assert subject.shows() == 0


def it_can_be_opened_again(subject: Subject) -> None:
    for _ in range(3):
        lamp = subject.open()
        lamp.set(subject.on)
        assert subject.shows() == subject.shown_on
        lamp.close()


def a_pulled_lamp_is_lost_with_one_line_that_names_it(subject: Subject) -> None:
    lamp = subject.open()
    lamp.set(subject.on)
    subject.unplug()
    for level in (0, subject.on):
        line = str(_error(lamp.set, level))
        assert line.startswith(f"{lamp.name}: ")
        assert len(line.splitlines()) == 1
    lamp.close()  # quietly


CHECKS: tuple[Callable[[Subject], None], ...] = (
    it_is_dark_when_opened_and_goes_on_and_off,
    it_is_dark_when_closed,
    it_can_be_opened_again,
    a_pulled_lamp_is_lost_with_one_line_that_names_it,
)
