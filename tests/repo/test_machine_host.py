"""A host that is too slow for the emulated machine: found out before bwvd is on it, and no fault of bwvd's."""

from __future__ import annotations

import pytest

from tests.machine.host import BOOTS, LOCKED_UP, SLOWEST_S, HostTooSlow, NoAnswer, first_boot

LOCKUP = "[  241.3] watchdog: BUG: soft lockup - CPU#1 stuck for 89s! [systemd-udevd:151]\n"


class Guest:
    """A machine that says `consoles`, one a boot, and answers where that is None."""

    def __init__(self, *consoles: str | None, took_s: float = 1.5) -> None:
        self.did: list[str] = []
        self._consoles = list(consoles)
        self._took_s = took_s
        self._said: str | None = ""

    def start(self) -> float:
        self.did.append("start")
        self._said = self._consoles.pop(0)
        if self._said is not None:
            raise NoAnswer("no answer")
        return 60.0

    def cut(self) -> None:
        self.did.append("cut")

    def renew(self) -> None:
        self.did.append("renew")

    def console(self, last: int = 3000) -> str:
        return (self._said or "")[-last:]

    def sh(self, command: str) -> str:
        assert "python3" in command
        return f"{self._took_s}\n{self._took_s / 2}"


def test_a_machine_that_comes_up_is_used() -> None:
    guest = Guest(None)
    assert first_boot(guest, guest.renew) == 1.5
    assert guest.did == ["start"]


def test_a_guest_that_locks_up_once_is_booted_again() -> None:
    guest = Guest(LOCKUP + "x" * 100_000, None)
    first_boot(guest, guest.renew)
    assert guest.did == ["start", "cut", "renew", "start"]


def test_a_guest_that_locks_up_again_is_left_out() -> None:
    guest = Guest(*[LOCKUP] * BOOTS)
    with pytest.raises(HostTooSlow, match="soft lockup"):
        first_boot(guest, guest.renew)
    assert guest.did[-1] == "cut"


def test_a_guest_that_does_not_come_up_for_another_reason_is_a_failure() -> None:
    guest = Guest("Kernel panic - not syncing: VFS: Unable to mount root fs\n")
    with pytest.raises(NoAnswer):
        first_boot(guest, guest.renew)


def test_a_machine_that_could_follow_no_camera_is_left_out() -> None:
    guest = Guest(None, took_s=SLOWEST_S + 1)
    with pytest.raises(HostTooSlow, match="million additions"):
        first_boot(guest, guest.renew)
    assert guest.did == ["start", "cut"]


@pytest.mark.parametrize(
    "line",
    [
        LOCKUP,
        "rcu: INFO: rcu_preempt self-detected stall on CPU",
        "rcu: INFO: rcu_sched detected stalls on CPUs/tasks: { 1 }",
        "INFO: task kworker/0:1:13 blocked for more than 120 seconds.",
    ],
)
def test_what_a_kernel_says_that_gets_no_time(line: str) -> None:
    assert LOCKED_UP.search(line)
