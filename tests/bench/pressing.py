"""How long it takes from a press until the first segment of its recording is on flash."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.bench.figures import Findings, Row, Spread, at_most
from tests.bench.pairing import FILLED, Plan
from tests.bench.sources import Clip
from tests.bench.subjects import Bwvd, configuration

GOAL_MS = 25.0  # of ninety-nine in a hundred
BUSY = "while True: pass"


def measure(group: str, clip: Clip, plan: Plan, folder: Path, *, busy: bool = False) -> Findings:
    """Press and stop, again and again; the daemon's own clock says how long each took (`status`).

    It begins with the moment at which the press arrived, and ends when the commit has returned: segment, directory and
    manifest are flushed by then. busy: beside as many processes as there are cores, which want all of them, at the
    daemon's own priority: the service has ten times the weight of others.
    """
    folder.mkdir()
    others = len(os.sched_getaffinity(0)) if busy else 0
    with ExitStack() as stack, Bwvd(folder, configuration(clip, plan, encoder="copy")) as bwvd:
        bwvd.wait_for_loop(plan.loop_s * FILLED)
        for _ in range(others):
            other = stack.enter_context(subprocess.Popen([sys.executable, "-c", BUSY]))
            stack.callback(other.kill)  # before it is waited for
        for _ in range(plan.presses):
            bwvd.press()
            bwvd.wait_until(lambda status: status["recording"] is not None and status["recording"]["segments"] > 0)
            bwvd.stop()
        took = bwvd.status()["storage"]["press_to_commit_ms"]
    note = f"{plan.presses} presses, {plan.loop_s:g} s loop, {others} busy processes beside it"
    goal = at_most(GOAL_MS, "ms")
    return Findings(
        [
            Row(group, "press to first commit, p50", "ms", Spread.of([took["p50"]]), digits=1, note=note),
            Row(
                group,
                "press to first commit, p99",
                "ms",
                Spread.of([took["p99"]]),
                digits=1,
                goal=goal,
                note=f"{note}; of fewer than 100 it is the largest",
                headline=True,
            ),
        ]
    )
