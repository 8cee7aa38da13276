"""Devices go and come, in standby and while recording: the faults are told and taken back, the gaps are named."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.machine.installed import SLOW, Installed
from tests.machine.results import Results

AWAY_S = 5.0


def _fault(name: str, active: bool) -> Any:
    def told(status: Any) -> bool:
        return any(fault.startswith(name) for fault in status["faults"]) is active

    return told


def _record(subject: Installed) -> str:
    assert subject.ask(cmd="press")["ok"]
    status = subject.until(lambda now: (now["recording"] or {}).get("segments", 0) > 3)
    return str(status["recording"]["id"])


def _finished(subject: Installed, recording: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The report and the events of a recording that is stopped now."""
    subject.until(lambda now: (now["recording"] or {}).get("id") == recording)
    time.sleep(3)
    subject.stop_recording()
    (report,) = [report for report in subject.verify() if report["id"] == recording]
    assert report["verdict"] == "authentic"
    return report, [event for event in subject.show(recording)["events"] if event.get("cause") != SLOW]


def _journalled_faults(subject: Installed, name: str) -> int:
    """How often a fault has begun or ended."""
    faults = [entry["detail"] for entry in subject.journal() if entry["event"] == "fault"]
    return sum(fault["name"] == name for fault in faults)


def test_the_camera_is_pulled_in_standby(standby: Installed, results: Results) -> None:
    machine = standby.machine
    machine.sh("bed camera unplug")
    standby.until(_fault("camera", active=True))
    time.sleep(AWAY_S)
    machine.sh("bed camera plug")
    standby.standby()
    results.add("camera pulled and back, standby", 1, "fault told and cleared, the loop turns again")


def test_the_camera_is_pulled_while_recording(standby: Installed, results: Results) -> None:
    """Invariant 4: the recording goes on, and names what the camera did not see."""
    machine = standby.machine
    recording = _record(standby)
    machine.sh("bed camera unplug")
    standby.until(_fault("camera", active=True))
    time.sleep(AWAY_S)
    machine.sh("bed camera plug")
    standby.until(_fault("camera", active=False), 90)
    _report, events = _finished(standby, recording)
    gaps = [event for event in events if event["type"] == "gap" and event["track"] in ("video", "both")]
    assert gaps
    gap_s = sum(event["to_ns"] - event["from_ns"] for event in gaps) / 1e9
    assert gap_s >= AWAY_S - 1.5
    assert [event["type"] for event in events if event["type"] == "fault"]
    results.add("camera pulled and back, recording", 1, f"authentic, {gap_s:.1f} s without pictures named")


@pytest.mark.parametrize("fault", ["inject_fatal_streaming_error", "percentage_of_dropped_buffers=40"])
def test_the_camera_errs(fault: str, standby: Installed, results: Results) -> None:
    machine = standby.machine
    recording = _record(standby)
    known = _journalled_faults(standby, "camera")
    machine.sh(f"bed camera fault {fault}")
    if "=" in fault:
        time.sleep(6)
        machine.sh(f"bed camera fault {fault.split('=')[0]}=0")
    else:
        # It may be opened again so soon that nobody sees the fault in the status.
        until_s = time.monotonic() + 120
        while _journalled_faults(standby, "camera") < known + 2:
            assert time.monotonic() < until_s, standby.status()
    standby.until(_fault("camera", active=False), 120)
    report, events = _finished(standby, recording)
    missing = sum(event["frames"] for event in events if event["type"] == "gap")
    assert [event for event in events if event["type"] == "gap"]
    results.add(f"vivid: {fault}", 1, f"authentic, {report['gaps']} gaps named, {missing} frames counted missing")


def test_the_microphone_is_pulled_while_recording(standby: Installed, results: Results) -> None:
    machine = standby.machine
    machine.sh("bed mic tone 1000")
    recording = _record(standby)
    machine.sh("bed mic unplug")
    standby.until(_fault("audio", active=True), 90)
    time.sleep(AWAY_S)
    machine.sh("bed mic plug && bed mic tone 1000")
    standby.until(_fault("audio", active=False), 120)
    report, events = _finished(standby, recording)
    machine.sh("bed mic silence")
    assert [event for event in events if event["type"] in ("gap", "audio")]
    results.add("microphone pulled and back, recording", 1, f"authentic, {report['audio_frames']} frames of sound")


def test_the_gpio_chip_goes_and_comes(standby: Installed, results: Results) -> None:
    """It comes back as another device file, because Linux 6.1 does not forget a chip that was in use."""
    machine = standby.machine
    machine.sh("bed gpio unload")
    standby.until(_fault("control:gpio", active=True))
    machine.sh("bed gpio load")
    standby.standby()
    machine.sh("bed gpio click 400")
    standby.until(lambda now: now["state"] == "recording")
    standby.stop_recording()
    results.add("GPIO chip gone and back", 1, "fault told and cleared; the button records again")


def test_the_serial_line_goes_and_comes(standby: Installed, results: Results) -> None:
    machine = standby.machine
    device = machine.sh("realpath /sys/class/tty/ttyS1/device")
    driver = machine.sh(f"realpath {device}/driver")
    name = device.rsplit("/", 1)[1]
    machine.sh(f"echo {name} > {driver}/unbind")
    standby.until(_fault("control:serial", active=True))
    machine.sh(f"echo {name} > {driver}/bind; udevadm settle")
    standby.standby()
    with machine.serial() as sock:
        sock.settimeout(60)
        sock.sendall(b"PING\n")
        answer = b""
        while b"OK" not in answer:
            answer += sock.recv(4096)
    results.add("serial line gone and back", 1, "fault told and cleared; it answers again")
