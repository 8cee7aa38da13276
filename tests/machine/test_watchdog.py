"""Something hangs: the daemon, and systemd starts it again; the machine, and its own watchdog resets it."""

from __future__ import annotations

import time

from tests.machine.installed import Installed
from tests.machine.results import Results

HARD_S = 20


def test_a_daemon_that_hangs_is_started_again(standby: Installed, results: Results) -> None:
    machine = standby.machine
    pid = machine.sh("systemctl show bwvd -p MainPID --value")
    begun_s = time.monotonic()
    machine.sh(f"kill -STOP {pid}")
    machine.until(f'test "$(systemctl show bwvd -p MainPID --value)" != {pid}', 240)
    standby.standby()
    took_s = time.monotonic() - begun_s
    assert "watchdog" in machine.sh("journalctl -u bwvd -o cat --since -10min | grep -i watchdog | tail -1").lower()
    assert machine.sh("find / -xdev \\( -name core -o -name 'core.[0-9]*' \\) -type f -size +1M") == ""
    results.add("daemon hangs (SIGSTOP)", 1, f"in standby again after {took_s:.0f} s, no core")


def test_a_machine_that_hangs_is_reset(standby: Installed, results: Results) -> None:
    """Both processors are taken for good, so that systemd feeds the machine's watchdog no more."""
    machine = standby.machine
    assert standby.ask(cmd="press")["ok"]
    status = standby.until(lambda now: (now["recording"] or {}).get("segments", 0) > 3)
    recording, committed_s = status["recording"]["id"], status["recording"]["committed_s"]
    boot = machine.sh("cat /proc/sys/kernel/random/boot_id")
    machine.sh(
        f"bed watchdog hard {HARD_S}; mkdir -p /run/systemd/system.conf.d; cd /run/systemd/system.conf.d; "
        f"printf '[Manager]\\nRuntimeWatchdogSec={HARD_S}\\n' > watchdog.conf; systemctl daemon-reexec; sleep 3; "
        "sysctl -q kernel.sched_rt_runtime_us=-1"
    )
    # a reset does not end the connection, so nobody waits for this
    hang = machine.popen("for cpu in 0 1; do taskset -c $cpu chrt -f 99 sh -c 'while :; do :; done' & done; wait")
    begun_s = time.monotonic()
    time.sleep(HARD_S)
    hang.kill()
    hang.communicate()
    machine.forget_connection()
    machine.wait_up()
    assert machine.sh("cat /proc/sys/kernel/random/boot_id") != boot
    standby.standby(loop_s=0)
    took_s = time.monotonic() - begun_s
    (report,) = [report for report in standby.verify() if report["id"] == recording]
    assert report["verdict"] == "recovered"
    assert report["duration_s"] >= committed_s - 0.002
    results.add("machine hangs", 1, f"reset by its watchdog, in standby again after {took_s:.0f} s; recovered")
