"""Every single fault that can be named, at every place of a shift; `tests.faults.campaign` runs them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.campaign import KINDS, places, run_kind, sample, unseen
from tests.faults.economy import economy
from tests.faults.table import README, render, section

SAMPLED = 25  # cases of each kind in the plain run
SHOWN = 12  # failures of a kind


@pytest.fixture(autouse=True)
def thrift() -> Iterator[None]:
    with economy():
        yield


def _judge(failed: list[str]) -> None:
    assert not failed, "\n".join([f"{len(failed)} cases failed:", *failed[:SHOWN]])


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_fault_breaks_no_promise(name: str, tmp_path: Path) -> None:
    """Invariants 1-12: an even sample of the places at which this kind of fault can strike."""
    kind = KINDS[name]
    _judge(run_kind(kind, sample(kind, SAMPLED), tmp_path))


@pytest.mark.complete
@pytest.mark.parametrize("name", KINDS)
def test_a_fault_breaks_no_promise_at_any_place(name: str, tmp_path: Path) -> None:
    """Invariants 1-12: all of them; and the table allows nothing that none of them comes to."""
    kind = KINDS[name]
    _judge(run_kind(kind, places(kind), tmp_path))
    assert list(unseen([kind])) == []


def test_the_table_in_the_readme_is_the_one_that_judges() -> None:
    """`python -m tests.faults.table --write` puts it there."""
    assert section(README.read_text(encoding="utf-8")) == render()
