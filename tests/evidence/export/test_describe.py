"""What `bwvd show` counts in a recording that the power tore: what is vouched for, nothing else."""

from __future__ import annotations

from pathlib import Path

from bwvd.evidence.export.catalogue import catalogue
from bwvd.evidence.export.describe import describe
from tests.faults.aftermath import run_case
from tests.faults.campaign import KINDS
from tests.faults.desk_checks import lay_out
from tests.faults.economy import economy

TORN_FIRST_LINE = range(40, 50)  # operations of the first commits, whose sectors reach the medium in any order


def test_a_line_behind_a_hole_is_not_counted(tmp_path: Path) -> None:
    """Invariant 7: show, list and the recording's own last record name the same totals."""
    seen = 0
    with economy():
        for nth in TORN_FIRST_LINE:
            after = run_case(KINDS["power-cut-torn"], nth)
            folder = tmp_path / str(nth)
            lay_out(after.tree, folder)
            for entry in catalogue(folder):
                shown = describe(folder / "recordings" / entry.id)
                end = shown["end"]
                assert (shown["segments"], shown["frames"]) == (end["segments"], end["frames"])
                seen += end["type"] == "recovered"
    assert seen > 3
