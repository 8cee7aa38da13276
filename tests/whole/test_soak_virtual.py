"""Hours and days in virtual time: nothing grows, nothing is lost. In a process where nobody else allocates."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support.source_tree import ROOT


def _soak(hours: float, seed: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.soak", "--virtual", "--json", "--hours", str(hours), "--seed", str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _told(found: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    slopes = {what: f"{found[what]['slope']:+.2f} ± {found[what]['uncertainty']:.2f}" for what in SLOPES}
    with capsys.disabled():
        print(
            f"\n{found['hours']:g} h in {found['took_s']:.0f} s: {sum(found['deeds'].values())} deeds, "
            f"{found['recordings']} recordings, {found['frames']} frames, {found['lost']} lost; an hour: {slopes}"
        )


SLOPES = ("objects", "blocks", "memory_mb")


@pytest.mark.slow
def test_two_hours(capsys: pytest.CaptureFixture[str]) -> None:
    """Invariants 4, 5 and 10: hundreds of presses, stalls, errors and lost cameras."""
    found = _soak(2, 3)
    _told(found, capsys)
    assert found["problems"] == []
    assert found["lost"] == 0
    assert found["good"], found
    assert found["recordings"] > 20
    assert found["deeds"]["sync_error"] > 3


@pytest.mark.complete
def test_three_days(capsys: pytest.CaptureFixture[str]) -> None:
    """Invariants 4, 5 and 10: tens of thousands of them."""
    found = _soak(72, 4)
    _told(found, capsys)
    assert found["good"], found
