"""Chance: none in the plain run, other examples each time in the complete one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SUITE = """
import trio
from hypothesis import given, strategies as st

@given(st.lists(st.integers(0, 2**64), min_size=1))
def test_examples(numbers):
    with open("told", "a") as told:
        print(numbers, file=told)

async def test_order():
    order = []

    async def one(number):
        for _ in range(3):
            await trio.lowlevel.checkpoint()
            order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(one, number)
    with open("told", "a") as told:
        print(order, file=told)
"""


def _told(folder: Path, *options: str) -> list[str]:
    """What a suite of its own, under this one's conftest, met in one run."""
    folder.mkdir()
    (folder / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]
    command += ["-p", "tests.conftest", "--rootdir", str(folder), "test_suite.py", *options]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env={"PYTHONPATH": str(ROOT)})
    return (folder / "told").read_text().splitlines()


def test_two_plain_runs_are_alike(tmp_path: Path) -> None:
    first, second = (_told(tmp_path / name) for name in ("first", "second"))
    assert first == second
    assert len(first) > 50


@pytest.mark.parametrize("asked", ["complete", "complete or slow"])
def test_complete_runs_try_other_examples_and_more(tmp_path: Path, asked: str) -> None:
    first, second = (_told(tmp_path / name, "-m", asked) for name in ("first", "second"))
    assert first != second
    assert len(first) > 1_000


def test_only_the_complete_run_is_told_by_the_word(tmp_path: Path) -> None:
    assert _told(tmp_path / "first", "-m", "not complete") == _told(tmp_path / "second", "-m", "not slow")
