"""The map of the suite is the suite's."""

from __future__ import annotations

import re

import pytest

from tests.support import suite_map
from tests.support.source_tree import ROOT

LINKED = re.compile(r"`([a-z][\w/]*/test_\w+\.py|[a-z]\w*/\w+\.py)`")


def test_the_map_says_what_the_tests_say() -> None:
    text = suite_map.README.read_text("utf-8")
    assert suite_map.written(text) == text, "python -m tests.support.suite_map --write"


def test_the_map_names_files_that_are_there() -> None:
    named = set(LINKED.findall(suite_map.README.read_text("utf-8")))
    assert named
    assert [name for name in sorted(named) if not (ROOT / "tests" / name).is_file()] == []


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Invariant 4: nothing is doubled.", {4}),
        ("Invariants 4, 6 and 7.", {4, 6, 7}),
        ("Invariants 1-12, each of them.", set(range(1, 13))),
        ("The invariant of a loop.", set()),
    ],
)
def test_a_citation(text: str, numbers: set[int]) -> None:
    assert suite_map.cited(text) == numbers


def test_a_readme_without_its_marks_is_an_error() -> None:
    with pytest.raises(ValueError, match="invariants"):
        suite_map.written("nothing here")
