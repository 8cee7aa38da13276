"""The arithmetic of the benchmark: spreads, paired ratios, goals; and what it reads of a process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.bench import accounting
from tests.bench.figures import Goal, Row, Spread, at_most, paired_ratio, times_ffmpeg
from tests.bench.flushes import flushes_per_s
from tests.bench.pairing import watch
from tests.bench.profiled import Tally
from tests.support.stock import need


def test_a_ratio_is_taken_pair_by_pair() -> None:
    """The machine was half as fast in the second window, for both: the ratio does not see it."""
    ratio = paired_ratio(Spread.of([1.0, 2.0, 1.1]), Spread.of([2.0, 4.0, 2.0]))
    assert list(ratio.values) == pytest.approx([0.5, 0.5, 0.55])
    assert ratio.text(2) == "0.50 (0.50..0.55)"


def test_a_goal_is_judged_by_the_median() -> None:
    ours, theirs = Spread.of([0.9, 1.1, 5.0]), Spread.of([1.0, 1.0, 1.0])
    assert Row("g", "w", "s", ours, goal=at_most(1.1, "s")).met is True
    assert Row("g", "w", "s", ours, goal=at_most(1.0, "s")).met is False
    assert Row("g", "w", "s", ours, theirs, paired=True, goal=times_ffmpeg(1.1)).met is True
    assert Row("g", "w", "s", ours, theirs, paired=True, goal=times_ffmpeg(1.0)).met is False
    assert Row("g", "w", "s", ours, theirs).met is None


def test_a_comparison_that_was_not_made_is_no_goal_met() -> None:
    assert Row("g", "w", "s", Spread.of([1.0]), goal=Goal(1.0, "ratio", "")).met is False
    assert Row("g", "w", "s", Spread.of([1.0]), Spread.of([0.0]), goal=Goal(1.0, "ratio", "")).met is False


def test_the_kernel_counts_this_process() -> None:
    cpu_s, begun_s = accounting.cpu_s(os.getpid()), time.process_time()
    while time.process_time() - begun_s < 0.05:
        pass
    spent_s = accounting.cpu_s(os.getpid()) - cpu_s
    assert 0.05 <= spent_s < 0.5
    assert accounting.resident_kb(os.getpid()) <= accounting.peak_kb(os.getpid())


def test_wake_ups_are_counted_for_the_thread_that_woke() -> None:
    """A child that sleeps twenty times a second, beside one that waits for good."""
    code = "import time\nwhile True: time.sleep(0.05)"
    with (
        subprocess.Popen([sys.executable, "-c", code]) as busy,
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as quiet,
    ):
        try:
            time.sleep(1)
            one, other = watch([busy.pid, quiet.pid], 2, 0.5)
        finally:
            busy.kill()
            quiet.kill()
    assert 2 <= one.voluntary.median <= 25  # fewer on a busy machine, never more
    assert sum(one.by_thread.values()) > sum(other.by_thread.values())
    assert other.voluntary.median == 0
    assert one.core.median < 100


def test_flushes_are_counted_by_strace(tmp_path: Path) -> None:
    need("strace")
    code = "import os, time\nwith open('f', 'wb') as f:\n  while True: time.sleep(0.1); os.fsync(f.fileno())"
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path) as process:
        try:
            time.sleep(0.5)
            rate = flushes_per_s(process.pid, 1.0, tmp_path)
        finally:
            process.kill()
    if rate is None:
        pytest.skip("strace may not look here")
    assert 1 <= rate <= 11


def test_a_process_that_has_ended_flushes_no_more(tmp_path: Path) -> None:
    need("strace")
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert flushes_per_s(process.pid, 0.1, tmp_path) is None


def _burn(seconds: float) -> None:
    begun_s = time.thread_time()
    while time.thread_time() - begun_s < seconds:
        sum(range(10_000))  # much between two looks of the profiler


def _waste() -> None:
    _burn(0.06)


def test_the_profiler_gives_each_thread_its_own_time() -> None:
    tally = Tally()
    thread = threading.Thread(target=_waste, name="wasteful")
    tally.install()
    try:
        thread.start()
        thread.join()
        _burn(0.02)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    found = tally.document()
    name, spent_s = found["wasteful"][0]
    assert name.endswith(" _burn")
    assert 0.04 <= spent_s <= 0.3
    assert sum(spent for _, spent in found["MainThread"]) < spent_s
