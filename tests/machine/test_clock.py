"""The wall clock is set while it records, or knows nothing at all at boot: media time does not care."""

from __future__ import annotations

import time

import pytest

from bwvd.messages import NS
from tests.machine.installed import SLOW, Installed
from tests.machine.results import Results

HOUR_NS = 3600 * NS


@pytest.mark.parametrize("step", ["+1 hour", "-1 hour"])
def test_the_clock_is_set_while_recording(step: str, standby: Installed, results: Results) -> None:
    """Invariant 9: annotations change, no frame does."""
    machine = standby.machine
    assert standby.ask(cmd="press")["ok"]
    status = standby.until(lambda now: (now["recording"] or {}).get("segments", 0) > 3)
    recording = status["recording"]["id"]
    since_s = float(machine.sh(f"cut -d' ' -f1 /proc/uptime; date -s '{step}' > /dev/null").splitlines()[0])
    time.sleep(4)
    standby.stop_recording()
    machine.sh(f"date -s @{time.time():.3f}")
    (report,) = [report for report in standby.verify() if report["id"] == recording]
    assert report["verdict"] == "authentic"
    steps = [entry["detail"]["step_ns"] for entry in standby.journal() if entry["event"] == "clock"
             and entry["mono_ns"] >= since_s * NS]  # fmt: skip
    wanted = HOUR_NS if step[0] == "+" else -HOUR_NS
    assert any(abs(found - wanted) < NS for found in steps), steps
    events = standby.show(recording)["events"]
    assert not [event for event in events if event["type"] == "gap" and event["cause"] != SLOW]
    results.add(f"clock {step} while recording", 1, "authentic, no gap, the step is in the journal")


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
