"""What the kernel and systemd say of a unit's sandbox while it runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.machine.machine import Machine

# What a sandbox that is too tight leaves behind: in the kernel's log, and in what a program says of its error.
REFUSED = re.compile(
    r"type=1326|seccomp|SIGSYS|Bad system call|Operation not permitted|EPERM|Permission denied", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Sandboxed:
    """A process as /proc shows it."""

    user: str
    confined: bool  # no capability, no new rights, system calls filtered


def sandboxed(machine: Machine, pid: str) -> Sandboxed:
    """A process of a unit."""
    lines = (line.split(":", 1) for line in machine.sh(f"cat /proc/{pid}/status").splitlines())
    state = {name: value.strip() for name, value in lines}
    confined = (state["CapEff"], state["CapBnd"], state["NoNewPrivs"], state["Seccomp"]) == (
        "0" * 16,
        "0" * 16,
        "1",
        "2",
    )
    return Sandboxed(machine.sh(f"ps -o user:20= -p {pid}"), confined)


def main_pid(machine: Machine, unit: str) -> str:
    """The process of a unit that runs."""
    pid = machine.sh(f"systemctl show {unit} -p MainPID --value")
    assert pid != "0", machine.run(f"systemctl status {unit}; journalctl -u {unit} -o cat -n 30").stdout
    return pid


def exposure(machine: Machine, unit: str) -> str:
    """By `systemd-analyze security`: from 0.0, closed, to 10.0."""
    said = machine.sh(f"systemd-analyze security --no-pager {unit} 2>&1").splitlines()[-1]
    return str(re.findall(r"\d+\.\d", said)[0])


@contextmanager
def nothing_refused(machine: Machine, unit: str) -> Iterator[None]:
    """What runs in here says nothing of a refusal, nor does the kernel."""
    cursor = machine.sh("journalctl -n 0 --show-cursor").rpartition("cursor: ")[2].strip()
    yield
    told = machine.sh(f"journalctl -q -o cat --after-cursor='{cursor}' -u {unit}")
    assert told, "nothing was said at all"
    told += "\n" + machine.sh(f"journalctl -q -k -o cat --after-cursor='{cursor}'")
    assert [line for line in told.splitlines() if REFUSED.search(line)] == []
