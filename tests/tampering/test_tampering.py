"""A card in the wrong hands is told, a power cut is not: a short part of `python -m tests.tampering`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.economy import economy
from tests.fuzz.target import scratch
from tests.tampering.campaign import PAIR, PAIRS, Trial, changed, cut, insiders, table
from tests.tampering.changes import KINDS


@pytest.fixture
def card(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A place for a card, in memory where there is some."""
    with economy():
        yield scratch() / "card"


def test_every_kind_of_change_is_told(card: Path) -> None:
    """Invariants 7 and 13: by the device, and by verify before its start and after it."""
    rows = insiders(len(KINDS) + PAIRS, 1, card)
    assert [line for row in rows.values() for line in row.missed] == []
    assert all(row.trials for row in rows.values()), "a kind that no card has anything for"
    assert rows[PAIR].trials == PAIRS
    assert len(list(table(rows))) == len(KINDS) + 3


def test_no_power_cut_is_told(card: Path) -> None:
    """Invariants 6 and 13: of all that the medium can hold at any instant of a life."""
    assert [wrong for number in range(40) if (wrong := cut(1, number, card))] == []


def test_a_trial_is_the_same_each_time(card: Path) -> None:
    """What is reported can be had again."""
    for number in (0, 3, len(KINDS)):
        cards = [changed(Trial(1, number)) for _ in range(2)]
        assert cards[0] is not None
        assert cards[0] == cards[1]


@pytest.mark.complete
@pytest.mark.parametrize("seed", range(2, 12))
def test_five_hundred_changes_are_told(card: Path, seed: int) -> None:
    """Invariants 7 and 13."""
    rows = insiders(50, seed, card, first=50 * seed)
    assert [line for row in rows.values() for line in row.missed] == []


@pytest.mark.complete
@pytest.mark.parametrize("seed", range(2, 12))
def test_five_hundred_power_cuts_are_not(card: Path, seed: int) -> None:
    """Invariants 6 and 13."""
    assert [wrong for number in range(50) if (wrong := cut(seed, number, card))] == []
