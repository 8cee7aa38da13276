"""The stretching of sound costs no threads: each would wait for work for as long as the microphone is open."""

from __future__ import annotations

from pathlib import Path

import av

from bwvd.capture.audio.resample import SoftResampler


def test_it_works_on_the_thread_that_calls() -> None:
    tasks = Path("/proc/self/task")
    before = {task.name for task in tasks.iterdir()}
    frame = av.AudioFrame(format="s16", layout="mono", samples=1024)
    frame.sample_rate = 48_000
    resampler = SoftResampler(frame, 48_000, "mono", "fltp")
    resampler.take(frame, 0)
    assert {task.name for task in tasks.iterdir()} <= before
    assert sum(out.samples for out in resampler.finish()) > 0
