"""The card fills up, stalls, errs and is pulled while it is written to: nothing that was acknowledged is lost."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.machine.installed import CARD, STORAGE, Installed
from tests.machine.results import Results

SLOW = 262_144  # bytes a second
SLOW_S = 20.0
BROKEN_S = 6.0


def _record(subject: Installed, segments: int = 3) -> str:
    assert subject.ask(cmd="press")["ok"]
    status = subject.until(lambda now: (now["recording"] or {}).get("segments", 0) > segments)
    return str(status["recording"]["id"])


def _reports(subject: Installed) -> dict[str, dict[str, Any]]:
    return {report["id"]: report for report in subject.verify()}


def test_the_card_fills_up(standby: Installed, results: Results) -> None:
    """Invariants 5, 8 and 12: closed and signed on the room set aside; then a press is refused, with the reason."""
    machine = standby.machine
    machine.sh(  # but for what a minute needs
        f"free=$(df --output=avail -B1 {STORAGE} | tail -1); fallocate -l $((free - 3000000)) {STORAGE}/filler; sync"
    )
    recording = _record(standby)
    standby.until(lambda now: now["state"] == "standby" and now["recording"] is None, 180)
    refused = standby.ask(cmd="press")
    assert not refused["ok"]
    status = standby.status()
    assert "storage" in status["faults"] or status["storage"]["refuses"]
    report = _reports(standby)[recording]
    assert report["verdict"] == "authentic"
    assert "full" in report["end"], report["end"]
    machine.sh(f"rm {STORAGE}/filler; sync")
    standby.until(lambda now: not now["storage"]["refuses"] and "storage" not in now["faults"], 120)
    again = _record(standby)
    standby.stop_recording()
    assert _reports(standby)[again]["verdict"] == "authentic"
    results.add("card full", 1, f"closed ({report['end']}), authentic; refused: {refused['error']}; records again")


def test_the_card_is_slow(standby: Installed, results: Results) -> None:
    """Invariant 10: the backlog waits in RAM; nothing is missing."""
    recording = _record(standby)
    standby.machine.card.limit(SLOW)
    time.sleep(SLOW_S)
    standby.machine.card.limit(None)
    standby.until(lambda now: now["recording"]["seconds"] - now["recording"]["committed_s"] < 4, 120)
    peak = standby.status()["storage"]["backlog_peak_bytes"]
    standby.stop_recording()
    report = _reports(standby)[recording]
    assert report["verdict"] == "authentic"
    assert not [event for event in standby.show(recording)["events"] if event.get("cause") == "storage_slow"]
    results.add(f"card at 256 KiB/s for {SLOW_S:.0f} s", 1, f"authentic, {report['gaps']} gaps, backlog up to {peak} B")


@pytest.mark.parametrize("how", ["EIO", "pulled"])
def test_the_card_fails_and_is_mended(how: str, standby: Installed, results: Results) -> None:
    """Invariants 6 and 8: what was acknowledged before is there afterwards, whatever the file system made of it."""
    machine = standby.machine
    recording = _record(standby)
    committed_s = standby.status()["recording"]["committed_s"]
    since = machine.sh("date '+%F %T'")
    if how == "EIO":
        machine.card.break_on("write")
    else:
        machine.pull_card()
    # From the log: with the card its mount goes away, and with that the daemon.
    told_lines = f'journalctl -u bwvd -o cat --since \'{since}\' | grep \'"active":true.*"fault":"storage"\''
    machine.until(told_lines)
    told = json.loads(machine.sh(told_lines).splitlines()[0])["detail"]
    time.sleep(BROKEN_S)
    machine.card.break_on(None)
    if how == "pulled":
        machine.insert_card()  # the rest happens by itself
    else:
        # by hand, as whoever finds the camera would: the file system has given itself up
        machine.sh("systemctl stop bwvd", limit_s=200)
        machine.sh(f"umount {STORAGE}; fsck -y /dev/disk/by-label/evidence; mount {STORAGE} && systemctl start bwvd")
    standby.standby()
    report = _reports(standby)[recording]
    assert report["duration_s"] >= committed_s - 0.002, "what was acknowledged is gone"
    again = _record(standby)
    standby.stop_recording()
    assert _reports(standby)[again]["verdict"] == "authentic"
    results.add(f"card {how} while recording", 1, f"told ({told}); {report['verdict']}, nothing acknowledged lost")
    assert machine.sh(f"findmnt -no SOURCE {STORAGE}").startswith(CARD[:-1])
