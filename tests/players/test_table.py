"""The table of players is what is observed: each plays each recording on a screen and a null sink of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.players import table
from tests.players.judge import AV_S, PLAYERS, majority
from tests.players.scenarios import FORMS, HEVC, MP4
from tests.support.documents import README


def _cells() -> list[ParameterSet]:
    return [
        pytest.param(case, form, player, id=f"{player}: {case}: {form}")
        for case, form in table.rows()
        for player in PLAYERS
    ]


@pytest.fixture(scope="module")
def show() -> Iterator[table.Show]:
    """In a folder that nobody may read in as well, which pytest's own are not: VLC does not run as root."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield table.Show(Path(folder))


@pytest.mark.players
@pytest.mark.parametrize(("case", "form", "player"), _cells())
def test_a_player_does_what_the_table_says(case: str, form: str, player: str, show: table.Show) -> None:
    """Invariants 4 and 15, as people see them: length, five frames, audio with its frames, and the press."""
    assert show.observed(case, form, player) == table.expected()[case, form, player]


@pytest.mark.players
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("player", PLAYERS)
def test_the_stage_measures_alike(form: str, player: str, show: table.Show) -> None:
    """What the frames and beeps of a control are apart by is the player's, and about the same each time."""
    stated_s = int(table.expected()[table.LEAD, form, player]) / 1000
    assert show.lead_s(form, player) == pytest.approx(stated_s, abs=AV_S)


def test_the_table_is_whole() -> None:
    """Each cell is there, and says yes or what is missed; the README says the same."""
    cells = table.expected()
    played = {(case, form, player) for case, form in table.rows() for player in PLAYERS}
    assert set(cells) == played | {(table.LEAD, form, player) for form in FORMS for player in PLAYERS}
    assert {part.partition(":")[0] for key in played for part in cells[key].split("; ")} <= {"yes", "no", "limit"}
    assert table.BEGIN + table.rendered(cells) + table.END in table.PAGE.read_text("utf-8")
    assert table.BEGIN + table.compact(cells) + table.END in README.read_text("utf-8")
    assert cells[HEVC, MP4, "Chromium"] != "yes"


@pytest.mark.parametrize(
    ("tries", "missed"),
    [
        (["A/V", "A/V"], ["A/V"]),
        (["", ""], []),
        (["", "A/V", "A/V"], ["A/V"]),
        (["A/V", "", ""], []),
        (["A/V", "seek", "A/V"], ["A/V"]),
        (["A/V seek", "A/V", "seek"], ["A/V", "seek"]),
        (["A/V", "seek", ""], []),
    ],
)
def test_the_majority_counts(tries: list[str], missed: list[str]) -> None:
    """Two of three tries, whichever came first; as many as can change anything are made."""
    left = [frozenset(one.split()) for one in reversed(tries)]
    assert majority(lambda: left.pop()) == set(missed)
    assert not left


@pytest.mark.parametrize(
    ("missed", "of_control", "said"),
    [
        ([], [], "yes"),
        ([], ["seek"], "yes"),
        (["seek"], ["seek"], "limit: seek"),
        (["seek", "length"], ["seek"], "no: length; limit: seek"),
        (["length"], [], "no: length"),
    ],
)
def test_a_limit_is_what_the_control_misses_too(missed: list[str], of_control: list[str], said: str) -> None:
    assert table.cell(frozenset(missed), frozenset(of_control)) == said
