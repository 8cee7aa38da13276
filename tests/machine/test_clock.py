"""The wall clock is set while it records, or knows nothing at all at boot: media time does not care."""

from __future__ import annotations

import time

import pytest

from bwvd.clock import NS
from tests.machine.installed import Installed
from tests.machine.machine import Machine
from tests.machine.results import Results

HOUR_NS = 3600 * NS


@pytest.mark.parametrize("step", ["+1 hour", "-1 hour"])
def test_the_clock_is_set_while_recording(step: str, standby: Installed, results: Results) -> None:
    """Invariant 9: annotations change, no frame does."""
    machine = standby.machine
    begun_s = _uptime_s(machine)
    assert standby.ask(cmd="press")["ok"]
    status = standby.until(lambda now: (now["recording"] or {}).get("segments", 0) > 3)
    recording = status["recording"]["id"]
    pressed_s = _uptime_s(machine)
    since_s = float(machine.sh(f"cut -d' ' -f1 /proc/uptime; date -s '{step}' > /dev/null").splitlines()[0])
    time.sleep(4)
    asked_s = _uptime_s(machine)
    standby.stop_recording()
    closed_s = _uptime_s(machine)
    machine.sh(f"date -s @{time.time():.3f}")
    (report,) = [report for report in standby.verify() if report["id"] == recording]
    assert report["verdict"] == "authentic"
    steps = [entry["detail"]["step_ns"] for entry in standby.journal() if entry["event"] == "clock"
             and entry["mono_ns"] >= since_s * NS]  # fmt: skip
    wanted = HOUR_NS if step[0] == "+" else -HOUR_NS
    assert any(abs(found - wanted) < NS for found in steps), steps
    events = standby.show(recording)["events"]
    # A machine that is too slow loses frames, and doubts the times of some; each is named, and none is off by an hour.
    gaps = [event for event in events if event["type"] == "gap"]
    longest_ns = max((gap["to_ns"] - gap["from_ns"] for gap in gaps), default=0)
    assert longest_ns < 10 * NS, gaps
    after_s = report["duration_s"] - report["pre_event_s"]
    assert asked_s - pressed_s <= after_s <= closed_s - begun_s
    results.add(
        f"clock {step} while recording",
        1,
        f"authentic, as long as it took, {len(gaps)} short gaps; the step is in the journal",
    )


def _uptime_s(machine: Machine) -> float:
    return float(machine.sh("cut -d' ' -f1 /proc/uptime"))


def test_a_clock_that_knows_nothing_at_boot(standby: Installed, results: Results) -> None:
    """It boots in 1970, as without a battery, records, and is told the time later."""
    machine = standby.machine
    machine.stop()
    machine.start(epoch="1970-01-01T00:00:00")
    standby.standby()
    booted = machine.sh("date -u +%F")
    assert booted < time.strftime("%F", time.gmtime())
    assert standby.ask(cmd="press")["ok"]
    status = standby.until(lambda now: (now["recording"] or {}).get("segments", 0) > 3)
    recording = status["recording"]["id"]
    machine.sh(f"date -s @{time.time():.3f}")
    time.sleep(3)
    standby.stop_recording()
    (report,) = [report for report in standby.verify() if report["id"] == recording]
    assert report["verdict"] == "authentic"
    results.add("boot in 1970, set later", 1, f"booted on {booted}; authentic, numbers go on")
