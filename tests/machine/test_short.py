"""The part of this folder that a new machine can afford each time: a press at a GPIO line, and a cut."""

from __future__ import annotations

import time

import pytest

from tests.machine.installed import LOOP_S, SEGMENT_S, Installed
from tests.machine.results import Results
from tests.machine.watch import Status, Watch

pytestmark = pytest.mark.short

LOSS_S = SEGMENT_S + 1.5


def _keeps_up(status: Status) -> bool:
    return not status["faults"] and status["recording"]["committed_s"] > LOOP_S + 3


def test_a_press_at_a_gpio_line_survives_a_cut(standby: Installed, results: Results) -> None:
    """Invariants 3, 6 and 8: the loop before the press, and all but the last moments before the cut, are there."""
    machine = standby.machine
    assert machine.sh("LINE=27 bed gpio level") == "0"
    with Watch(machine) as watch:
        machine.sh("bed gpio click 400")
        said = watch.until(lambda status: bool(status["recording"]), what="recording")
        assert said.status is not None
        recording = said.status["recording"]["id"]
        machine.until("test $(LINE=27 bed gpio level) = 1", 10)  # the light
        # The bound is the recorder's and the writer's. A processor that falls behind the camera is a fault of its own:
        # until that is over, what was captured has not even come to the recorder.
        watch.until(_keeps_up, 120, what="3 s after the press, without a fault")
        cut_s = time.monotonic()
        machine.cut()
    told = [said for said in watch.heard if said.heard_s <= cut_s and said.status][-1]
    assert told.status is not None
    captured_s = told.status["recording"]["seconds"] + cut_s - told.heard_s
    up_s = machine.start()
    standby.standby(loop_s=0)
    (report,) = [report for report in standby.verify() if report["id"] == recording]
    assert report["verdict"] == "recovered"
    assert report["duration_s"] >= told.status["recording"]["committed_s"] - 0.002
    lost_s = captured_s - report["duration_s"]
    assert lost_s <= LOSS_S
    assert LOOP_S - 1.5 <= report["pre_event_s"] <= LOOP_S + 1.5
    results.add("a press by GPIO, cut, boot", 1, f"lost {lost_s:.2f} s, up again in {up_s:.0f} s, recovered")
