"""What a command costs that people and scripts type all day: processor time of `bwvd status`, `record` and `stop`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.bench.figures import Findings, Row, Spread, at_most
from tests.bench.pairing import FILLED, Plan
from tests.bench.sources import Clip
from tests.bench.subjects import Bwvd, configuration

GOAL_S = 0.15


def measure(group: str, clip: Clip, plan: Plan, folder: Path) -> Findings:
    """Each in turn, again and again, against a daemon that runs; user and system time by the kernel's count."""
    folder.mkdir()
    took: dict[str, list[float]] = {"status": [], "record": [], "stop": []}
    with Bwvd(folder, configuration(clip, plan, encoder="copy")) as bwvd:
        bwvd.wait_for_loop(plan.loop_s * FILLED)
        for _ in range(plan.starts):
            for command, cpu_s in took.items():
                cpu_s.append(_cpu_s([sys.executable, "-m", "bwvd", command, "-c", str(bwvd.config)]))
            bwvd.wait_until(lambda status: status["recording"] is None)
    return Findings(
        [
            Row(group, f"bwvd {command}: CPU", "s", Spread.of(cpu_s), goal=at_most(GOAL_S, "s"), headline=True)
            for command, cpu_s in took.items()
        ]
    )


def _cpu_s(command: list[str]) -> float:
    """Raises: AssertionError if it fails."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"exit code {process.returncode}: bwvd {command[3]}"
    return usage.ru_utime + usage.ru_stime
