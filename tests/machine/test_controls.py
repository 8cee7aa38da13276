"""Each control of a real kernel makes a recording, and the journal holds the kernel's own time of the press."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from bwvd.clock import NS
from tests.machine.installed import Installed
from tests.machine.machine import Machine
from tests.machine.results import Results

TICK_NS = 20_000_000  # /proc/uptime counts hundredths
HELD_S = 3.0  # the daemon sleeps so long while the hand presses


def _line(machine: Machine, text: bytes) -> bytes:
    """One line to the serial port, and what comes back."""
    with machine.serial() as sock:
        sock.settimeout(30)
        sock.sendall(text + b"\n")
        answer = b""
        while b"\n" not in answer.replace(b"\r\n", b"\n").split(b"OK")[-1] or b"OK" not in answer:
            try:
                answer += sock.recv(4096)
            except TimeoutError:
                break
        return answer


BOUNCE = "bed gpio bounce 9 2; sleep 0.2; bed gpio bounce 9 2"  # down and up

PRESSES: dict[str, tuple[str, Callable[[Machine], object]]] = {
    "GPIO button, bouncing": (
        "gpio:bwv-buttons:17",
        lambda m: m.sh(BOUNCE),
    ),
    "GPIO slide switch": ("gpio:bwv-buttons:5", lambda m: m.sh("LINE=5 bed gpio press")),
    "input key": ("input:button:KEY_RECORD", lambda m: m.sh("bed key click KEY_RECORD")),
    "serial line": ("serial:/dev/ttyS1", lambda m: _line(m, b"RECORD")),
    "socket": ("socket:uid=0", lambda m: m.sh("bwvd record")),
}


def _uptime_ns(machine: Machine) -> int:
    return int(float(machine.sh("cut -d' ' -f1 /proc/uptime")) * NS)


def _presses(subject: Installed, since_ns: int) -> list[dict[str, Any]]:
    return [entry for entry in subject.journal() if entry["event"] == "press" and entry["mono_ns"] >= since_ns]


@dataclass(frozen=True, slots=True)
class Made:
    """A recording that a control has made, and when, by the machine's clock."""

    control: str
    recording: str
    before_ns: int
    after_ns: int


def _make(control: str, subject: Installed) -> Made:
    machine = subject.machine
    before_ns = _uptime_ns(machine) - TICK_NS
    PRESSES[control][1](machine)
    after_ns = _uptime_ns(machine) + TICK_NS
    status = subject.until(lambda now: now["state"] == "recording" and (now["recording"] or {}).get("segments", 0) > 1)
    if control == "GPIO slide switch":
        machine.sh("LINE=5 bed gpio release")  # which asks to stop
        subject.until(lambda now: now["state"] == "standby")
    else:
        subject.stop_recording()
    return Made(control, status["recording"]["id"], before_ns, after_ns)


def test_each_control_makes_a_recording(standby: Installed, results: Results) -> None:
    """Invariants 3, 5 and 11: exactly one press each, at the time at which the hand moved."""
    made = [_make(control, standby) for control in PRESSES]
    journal = _presses(standby, made[0].before_ns)
    reports = {report["id"]: report for report in standby.verify()}
    for one in made:
        found = [entry for entry in journal if entry["detail"].get("recording") == one.recording]
        press = found[0]["detail"]
        assert press["source"].startswith(PRESSES[one.control][0])
        assert press["outcome"] == "recording"
        assert one.before_ns <= found[0]["mono_ns"] <= one.after_ns
        assert [entry["detail"]["outcome"] for entry in found[1:]] in ([], ["stop_asked"], ["post_roll"]), found
        assert reports[one.recording]["verdict"] == "authentic"
        late_ms = (press["handled_mono_ns"] - found[0]["mono_ns"]) / 1e6
        results.add(f"record by {one.control}", 1, f"authentic; one press, heard {late_ms:.0f} ms after it")


@pytest.mark.parametrize(("control", "press"), [("GPIO", "bed gpio click 400"), ("input", "bed key click KEY_RECORD")])
def test_the_time_of_a_press_is_the_kernels(control: str, press: str, standby: Installed, results: Results) -> None:
    """A daemon that could not look for seconds still knows when the hand moved: the kernel stamps the edge."""
    machine = standby.machine
    pid = machine.sh("systemctl show bwvd -p MainPID --value")
    before_ns = _uptime_ns(machine) - TICK_NS
    machine.sh(f"kill -STOP {pid}; {press}")
    after_ns = _uptime_ns(machine) + TICK_NS
    time.sleep(HELD_S)
    machine.sh(f"kill -CONT {pid}")
    standby.until(lambda now: (now["recording"] or {}).get("segments", 0) > 2)
    standby.stop_recording()
    entry = _presses(standby, before_ns)[0]
    assert before_ns <= entry["mono_ns"] <= after_ns
    late_s = (entry["detail"]["handled_mono_ns"] - entry["mono_ns"]) / NS
    assert late_s >= HELD_S
    results.add(f"{control} press while the daemon can't look", 1, f"handled {late_s:.1f} s later, with its own time")
