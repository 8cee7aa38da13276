"""Broken on purpose, the product is noticed to be broken."""

from __future__ import annotations

import ast

import pytest

from tests.mutants.catalogue import MUTANTS
from tests.mutants.hunt import Copy, Outcome, Verdict
from tests.mutants.mutant import Mutant, NotApplicable
from tests.support.source_tree import PACKAGE, ROOT


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_still_fits_the_source(mutant: Mutant) -> None:
    text = (PACKAGE / mutant.file).read_text("utf-8")
    mutated = mutant.applied(text)
    assert ast.dump(ast.parse(mutated)) != ast.dump(ast.parse(text))  # it compiles, and it is another program
    assert all((ROOT / "tests" / test).is_file() for test in mutant.tests)


def test_every_invariant_is_broken_in_some_way() -> None:
    assert {mutant.invariant for mutant in MUTANTS} == {*range(1, 14), 15, 16}
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 25


def test_a_mutant_that_no_longer_fits_says_so() -> None:
    mutant = Mutant("gone", 1, "messages.py", "no such line", "", ())
    with pytest.raises(NotApplicable, match=r"gone: messages\.py holds 0 times"):
        mutant.applied("text")


def test_a_change_that_breaks_nothing_survives() -> None:
    """The hunt does not call everything noticed."""
    harmless = Mutant("harmless", 1, "recorder/loop.py", "gone = 0\n", "gone = 0 + 0\n", ("recorder/test_loop.py",))
    with Copy() as copy:
        assert copy.hunt(harmless) == Outcome(Verdict.SURVIVED, "no test noticed")


@pytest.mark.complete
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_noticed(mutant: Mutant) -> None:
    with Copy() as copy:
        assert copy.hunt(mutant).verdict is Verdict.NOTICED
