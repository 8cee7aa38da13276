"""What is done for a frame does not grow unnoticed: opcodes, tasks, sleeps, system calls, pages, copies, allocations.

No time is measured: a change that makes a small board slower is seen here on any machine. Where a figure has risen with
good reason its limit is raised with it, and the commit says why; where one has fallen, its limit follows.
`python -m tests.bench.counting` shows them all, and the functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.bench import moving
from tests.bench.counting import FIGURES, GROUPS, Phase, clips, count
from tests.support.stock import need

Limits = Mapping[str, Mapping[str, float]]

ABOVE = 1.15  # of what was measured: counts that a program makes of itself are the same in each run, within 3 %
ENCODERS = ("copy", "libx264")

# Measured: the most of several runs, some beside other processes. They differ by 3 %; sleeps and wake-ups, which depend
# on how the system schedules threads, by 25 %, and so do system calls: the card is looked at every ten seconds,
# which is a fifth of a press where it falls there.
START = {"opcodes": 3_860_000, "reads": 1_210, "steps": 430, "faults": 12_530}
PRESS = {"opcodes": 123_000, "steps": 39, "writes": 10, "faults": 2_800}
COUNTED: dict[str, Limits] = {
    "copy": {
        "start": START,
        "standby, a frame": {"opcodes": 1_437, "steps": 0.24, "waits": 0.15, "reads": 0.52, "faults": 4.8},
        "press, beside its frames": PRESS,
        "recording, a frame": {
            "opcodes": 1_882, "steps": 0.3, "waits": 0.14, "reads": 0.53, "writes": 0.067, "faults": 17.4,
        },
    },
    "libx264": {
        "start": START,
        "standby, a frame": {"opcodes": 2_350, "steps": 0.24, "waits": 0.145, "reads": 0.49, "faults": 4.6},
        "press, beside its frames": PRESS,
        "recording, a frame": {
            "opcodes": 2_745, "steps": 0.3, "waits": 0.13, "reads": 0.49, "writes": 0.067, "faults": 16.9,
        },
    },
}  # fmt: skip
MOVED: dict[str, Limits] = {
    "copy": {
        "standby, a frame": {
            "copied kB": 85.1, "copies": 3.02, "allocations": 103.2, "wake-ups": 0.38, "system calls": 1.0,
        },
        "recording, a frame": {
            "copied kB": 185.7, "copies": 37, "allocations": 178, "wake-ups": 0.75, "system calls": 2.6,
        },
    },
    "libx264": {
        "standby, a frame": {
            "copied kB": 147.5, "copies": 6.04, "allocations": 225, "wake-ups": 1.17, "system calls": 1.0,
        },
        "recording, a frame": {
            "copied kB": 244.9, "copies": 39.3, "allocations": 300, "wake-ups": 1.6, "system calls": 2.5,
        },
    },
}  # fmt: skip


def _hold(phases: Sequence[Phase | moving.Phase], measured: Limits, known: Sequence[str]) -> None:
    """Nothing is more than ABOVE of what was measured, and nothing has become so much less that much could slip by."""
    found = {phase.name: phase.figures for phase in phases}
    assert set(measured) <= set(found)
    assert all(set(figures) <= set(known) for figures in measured.values())
    wrong = [
        f"{name}: {found[name][figure]:.2f} {figure}, measured were {was:.2f}"
        for name, figures in measured.items()
        for figure, was in figures.items()
        if not was / 2 <= found[name][figure] <= was * ABOVE
    ]
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_is_done_for_a_frame_and_a_press(encoder: str, tmp_path: Path) -> None:
    need("ffmpeg")
    _hold(count(clips(tmp_path)[encoder], encoder=encoder, groups=GROUPS), COUNTED[encoder], FIGURES)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_is_copied_and_allocated_and_asked_for_a_frame(encoder: str, tmp_path: Path) -> None:
    """A copy more of the coded frames is 17 kB a frame."""
    for tool in ("ffmpeg", "cc", "strace"):
        need(tool)
    phases = moving.count(clips(tmp_path)[encoder], encoder=encoder, groups=GROUPS, folder=tmp_path / "run")
    _hold(phases, MOVED[encoder], moving.FIGURES)
