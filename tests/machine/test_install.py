"""Installed by the commands of bwvd/docs/install.md on a machine that never saw it; what systemd, udev and the kernel
then say."""

from __future__ import annotations

import re

import pytest

from tests.machine.installed import COMMAND, STORAGE, Installed
from tests.machine.results import Results

pytestmark = pytest.mark.short

MOST_EXPOSURE = 15  # tenths


def test_the_page_installs_it(installed: Installed, results: Results) -> None:
    """It reaches READY as a service of its own, and in standby has no fault."""
    machine = installed.machine
    shown = machine.sh("systemctl show bwvd -p Type -p ActiveState -p NRestarts").splitlines()
    assert sorted(shown) == ["ActiveState=active", "NRestarts=0", "Type=notify"]
    security = machine.sh(f"systemd-analyze security --no-pager --threshold={MOST_EXPOSURE} bwvd").splitlines()[-1]
    assert machine.sh("systemd-analyze verify bwvd.service 2>&1") == ""
    status = installed.standby()
    names = ("gpio:bwv-buttons:17", "gpio:bwv-buttons:5", "input:button:KEY_RECORD", "serial:/dev/ttyS1", "socket")
    assert status["controls"] == list(names)
    assert (status["video"]["width"], status["video"]["height"]) == (320, 180)
    exposure = re.findall(r"\d+\.\d", security)[0]
    results.add("install by the page's commands", 1, f"READY, exposure {exposure}, verify clean, no fault")


def test_it_has_a_user_of_its_own_and_keeps_its_memory(installed: Installed, results: Results) -> None:
    """Invariant 1, as the kernel sees it: no swap, no core, nobody looks in."""
    machine = installed.machine
    pid = machine.sh("systemctl show bwvd -p MainPID --value")
    assert machine.sh(f"ps -o user= -p {pid}") == "bwvd"
    groups = set(machine.sh("id -nG bwvd").split())
    assert groups == {"bwvd", "video", "audio", "input", "dialout", "gpio"}
    lines = (line.split(":", 1) for line in machine.sh(f"cat /proc/{pid}/status").splitlines())
    state = {name: value.strip() for name, value in lines}
    assert state["CapEff"] == state["CapBnd"] == "0" * 16
    assert state["NoNewPrivs"] == "1"
    assert state["Seccomp"] == "2"
    assert state["VmSwap"] == "0 kB"
    locked_kb, resident_kb = int(state["VmLck"].split()[0]), int(state["VmRSS"].split()[0])
    assert locked_kb >= resident_kb, "memory that is not locked"
    limits = machine.sh(f"cat /proc/{pid}/limits")
    assert re.search(r"Max core file size +0 +0", limits), limits
    assert machine.sh("cat /sys/fs/cgroup/system.slice/bwvd.service/memory.swap.max") == "0"
    # what shows memory belongs to root: not dumpable, so not to be traced by its own user either
    assert machine.sh(f"stat -c %U /proc/{pid}/mem /proc/{pid}/environ").split() == ["root", "root"]
    for file in ("environ", "maps"):
        assert "Permission denied" in machine.run(f"sudo -u bwvd cat /proc/{pid}/{file}").stderr
    results.add("the process", 1, f"user bwvd, no capability, {locked_kb // 1024} MB locked, no swap, core, ptrace")


def test_names_and_rights(installed: Installed, results: Results) -> None:
    machine = installed.machine
    for name, kind, group in (("camera", "video", "video"), ("button", "input/event", "input")):
        node = machine.sh(f"realpath /dev/bwvd/{name}")
        assert node.startswith(f"/dev/{kind}")
        assert f"bwvd/{name}" in machine.sh(f"udevadm info --query=symlink --name={node}").split()
        assert machine.sh(f"stat -c '%G %a' {node}") == f"{group} 660"
    assert machine.sh("stat -c '%G %a' /dev/gpiochip0") == "gpio 660"
    assert machine.sh("stat -c '%U:%G %a' /etc/bwvd /etc/bwvd/device_key").splitlines() == [
        "root:bwvd 750",
        "root:bwvd 640",
    ]
    assert machine.sh(f"stat -c '%U:%G %a' {STORAGE}") == "bwvd:bwvd 750"
    assert machine.sh("stat -c '%U:%G %a' /run/bwvd/control.sock") == "bwvd:bwvd 660"
    results.add("udev's names, users, rights", 1, "as the rules, sysusers and tmpfiles say")


def test_installing_again_changes_nothing(installed: Installed) -> None:
    machine = installed.machine
    before = machine.sh("sha256sum /etc/bwvd/bwvd.toml /etc/systemd/system/bwvd.service")
    said = machine.sh("bwvd install")
    assert "kept" in said
    assert "replaced" not in said
    assert machine.sh("sha256sum /etc/bwvd/bwvd.toml /etc/systemd/system/bwvd.service") == before
    assert f"ExecStart={COMMAND} run" in machine.sh("systemctl cat bwvd")
