"""How long it takes from a press until the first segment of its recording is on flash."""

from __future__ import annotations

from pathlib import Path

from tests.bench.figures import Findings, Row, Spread
from tests.bench.pairing import FILLED, Plan
from tests.bench.sources import Clip
from tests.bench.subjects import Bwvd, configuration


def measure(group: str, clip: Clip, plan: Plan, folder: Path) -> Findings:
    """Press and stop, again and again; the daemon's own clock says how long each took (`status`).

    It begins with the moment at which the press arrived, and ends when the commit has returned: segment, directory and
    manifest are flushed by then.
    """
    folder.mkdir()
    with Bwvd(folder, configuration(clip, plan, encoder="copy")) as bwvd:
        bwvd.wait_for_loop(plan.loop_s * FILLED)
        for _ in range(plan.presses):
            bwvd.press()
            bwvd.wait_until(lambda status: status["recording"] is not None and status["recording"]["segments"] > 0)
            bwvd.stop()
        took = bwvd.status()["storage"]["press_to_commit_ms"]
    note = f"{plan.presses} presses, {plan.loop_s:g} s loop"
    return Findings(
        [
            Row(group, "press to first commit, p50", "ms", Spread.of([took["p50"]]), digits=1, note=note),
            Row(group, "press to first commit, p99", "ms", Spread.of([took["p99"]]), digits=1, note=note),
        ]
    )
