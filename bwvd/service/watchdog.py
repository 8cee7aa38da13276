"""The actor that feeds the service manager's watchdog while every actor is alive, and stops when one is not.

Feeding happens on trio's loop: a loop that is blocked starves the watchdog without anybody having to notice it, and an
actor that is stuck while the loop turns is found in the ledger. Either way the manager ends this process and starts it
again, and recovery makes good what was being written.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from bwvd.clock import NS
from bwvd.service.notify import Notifier
from bwvd.service.pulse import Ledger, Stuck

LOOK_EVERY_S = 5.0  # where no watchdog is set up, the ledger is still looked at


async def run_watchdog(
    notifier: Notifier,
    ledger: Ledger,
    stuck: Callable[[Stuck, bool], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Look at the ledger and feed, at the interval that the manager asks for, until cancelled.

    Args:
        stuck: called when an actor is first found stuck (True), and when it is not any more (False); one call a change.
            Never blocks.
    """
    interval_s = LOOK_EVERY_S if notifier.watchdog_ns is None else notifier.watchdog_ns / NS
    known: dict[str, Stuck] = {}
    task_status.started()
    while True:
        now = {one.name: one for one in ledger.stuck()}
        for name, one in now.items():
            if name not in known:
                stuck(one, True)
        for name, one in known.items():
            if name not in now:
                stuck(one, False)
        known = now
        if not now:
            notifier.watchdog()
        await trio.sleep(interval_s)
