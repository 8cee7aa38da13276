"""The table of players is what is observed: each plays each recording on a screen and a null sink of its own."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.players import table
from tests.players.judge import PLAYERS, judged
from tests.players.scenarios import HEVC, HOUR, MP4, Recording, recorded


@functools.cache
def made(case: str, root: Path) -> Recording:
    """A recording of the case."""
    return recorded(case, root / case)


def _cells() -> list[ParameterSet]:
    found = []
    for case, form in table.rows():
        marks = [pytest.mark.complete] if case == HOUR else []
        found += [pytest.param(case, form, one, marks=marks, id=f"{one}: {case}: {form}") for one in PLAYERS]
    return found


@pytest.fixture(scope="module")
def ground() -> Iterator[Path]:
    """A folder that nobody may read in as well, which pytest's own are not: VLC does not run as root."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.players
@pytest.mark.parametrize(("case", "form", "player"), _cells())
def test_a_player_does_what_the_table_says(case: str, form: str, player: str, ground: Path) -> None:
    """Invariants 4 and 15, as people see them: length, five frames, audio with its frames, and the press."""
    said = table.expected()[case, form, player]

    def once() -> str:
        return judged(player, made(case, ground), form, Path(tempfile.mkdtemp(dir=ground)))

    assert table.agreed(once, said) == said


def test_the_table_is_whole() -> None:
    """Each cell is there, and says yes or what is missed; an exported MP4 of H.264 plays in all of them."""
    cells = table.expected()
    assert set(cells) == {(case, form, player) for case, form in table.rows() for player in PLAYERS}
    assert {cell.partition(":")[0] for cell in cells.values()} <= {"yes", "no"}
    page = table.PAGE.read_text("utf-8")
    assert table.BEGIN + table.rendered(cells) + table.END in page
    assert cells[HEVC, MP4, "Chromium"] != "yes"
