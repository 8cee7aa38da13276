"""What the daemon does for each frame does not grow unnoticed: opcodes, steps, sleeps, system calls, fresh pages.

No time is measured: a change that makes a small board slower is seen here on any machine. Where a figure has risen with
good reason its limit is raised with it, and the commit says why; `python -m tests.bench.counting` shows the functions.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.counting import FIGURES, count
from tests.bench.sources import Clips
from tests.support.stock import need

# Measured, and a tenth more of opcodes, which are the same in each run but for how often a thread has looked at the
# clock; of the others, which depend on how the system schedules threads, half as much again.
LIMITS: dict[str, dict[str, dict[str, float]]] = {
    "copy": {
        "start": {"opcodes": 4_000_000, "reads": 1_500, "faults": 15_000},
        "standby, a frame": {"opcodes": 2_050, "steps": 0.5, "waits": 0.25, "reads": 0.8, "writes": 0.05, "faults": 9},
        "press, beside its frames": {"opcodes": 270_000, "steps": 150, "writes": 25, "faults": 5_000},
        "recording, a frame": {"opcodes": 2_550, "steps": 0.5, "reads": 0.8, "writes": 0.1, "faults": 26},
    },
    "libx264": {
        "start": {"opcodes": 4_000_000, "reads": 1_500, "faults": 15_000},
        "standby, a frame": {"opcodes": 3_500, "steps": 0.5, "waits": 0.25, "reads": 0.8, "writes": 0.05, "faults": 9},
        "press, beside its frames": {"opcodes": 270_000, "steps": 150, "writes": 25, "faults": 5_000},
        "recording, a frame": {"opcodes": 3_850, "steps": 0.5, "reads": 0.8, "writes": 0.1, "faults": 26},
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("encoder", LIMITS)
def test_what_is_done_for_a_frame_and_a_press(encoder: str, tmp_path: Path) -> None:
    need("ffmpeg")
    clips = Clips(tmp_path, "ffmpeg", 1.0)
    clip = clips.h264("320x240", 10) if encoder == "copy" else clips.mjpeg("320x240", 10)
    phases = {phase.name: phase for phase in count(clip, encoder=encoder, seconds=6)}
    assert set(phases) == set(LIMITS[encoder])
    too_much = [
        f"{name}: {phases[name].figures[figure]:.1f} {figure}, the limit is {limit}; {phases[name].functions[:3]}"
        for name, limits in LIMITS[encoder].items()
        for figure, limit in limits.items()
        if phases[name].figures[figure] > limit
    ]
    assert too_much == []
    for name, limits in LIMITS[encoder].items():
        assert limits.keys() <= set(FIGURES)
        # A limit that is far from what is done would let much slip by.
        assert phases[name].figures["opcodes"] > limits["opcodes"] * 0.5, (name, phases[name].figures)
