"""The cells of the matrix: no value of an axis, and no possible pair of two, is left out."""

from __future__ import annotations

from itertools import combinations

from tests.streams.cells import AUDIO, CODECS, FORMS, IMPOSSIBLE, PATHS, TRANSPORTS, cells

AXES = (CODECS, FORMS, PATHS, tuple(AUDIO), TRANSPORTS)


def test_every_pair_of_values_is_in_a_cell_or_has_a_reason_why_there_is_none() -> None:
    covered = set().union(*(cell.pairs for cell in cells()))
    possible = {(a, b) for first, second in combinations(AXES, 2) for a in first for b in second}
    assert possible - covered == set(IMPOSSIBLE)
    assert len(cells()) <= 40, "a cell takes seven seconds"
