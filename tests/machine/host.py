"""Whether the host is fast enough for the machine: found out with the untouched image, before bwvd is on it.

Where KVM does not boot the machine it is emulated, and on a host that does other work its kernel may lock up: a
processor that gets no time for half a minute is stuck to it. That, and a pace at which no camera could be followed,
says nothing of bwvd. What goes wrong once it is installed does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

# Such lines the guest's kernel writes to its console, whatever it was told to be quiet about.
LOCKED_UP = re.compile(
    r"soft lockup|rcu: INFO: .*(?:stall|self-detected)|rcu_\w+ (?:self-)?detected (?:expedited )?stall"
    r"|task \S+ blocked for more than \d+ seconds"
)
BOOTS = 2
# A million additions on each of two processors at once: 0.7 s emulated on two free cores, and up to 1.9 s beside other
# work, where the recorder still keeps up.
PACE = "import time;a=time.perf_counter();x=0\nfor i in range(1000000): x+=i\nprint(time.perf_counter()-a)"
PACES = 3
SLOWEST_S = 5.0


class HostTooSlow(Exception):
    """The machine does not come up here, or is no machine that could record. One line."""


class NoAnswer(AssertionError):
    """The machine was on for long enough, and no command was taken."""


class Booting(Protocol):
    """The machine, as far as it is booted here."""

    def start(self) -> float: ...

    def cut(self) -> None: ...

    def console(self, last: int = ...) -> str: ...

    def sh(self, command: str) -> str: ...


def first_boot(machine: Booting, renew: Callable[[], None]) -> float:
    """Boot the untouched image; returns the seconds that a million additions take there.

    Args:
        renew: called with the machine off: a root disk and a card as they were before.

    Raises: HostTooSlow; NoAnswer, or what else `start` raises, where the guest's kernel has not locked up.
    """
    for left in reversed(range(BOOTS)):
        try:
            machine.start()
            break
        except NoAnswer:
            said = LOCKED_UP.search(machine.console(last=1_000_000))
            machine.cut()
            if said is None:
                raise
            if not left:
                raise HostTooSlow(f"the untouched image locks up as it boots, {BOOTS} times: {said[0]}") from None
            renew()
    took_s = min(_pace_s(machine) for _ in range(PACES))
    if took_s > SLOWEST_S:
        machine.cut()
        raise HostTooSlow(f"a million additions take {took_s:.1f} s on the machine, more than {SLOWEST_S:g} s")
    return took_s


def _pace_s(machine: Booting) -> float:
    both = machine.sh(f"for one in 1 2; do python3 -c '{PACE}' & done; wait").split()
    return max(float(took_s) for took_s in both)
