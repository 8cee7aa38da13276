"""Whether a control is there, who is told, and when a lost one is tried again."""

from __future__ import annotations

import trio

from bwvd.clock import NS, Clock
from bwvd.controls.ports import Report
from bwvd.messages import FaultChanged

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 10.0


class Presence:
    """Says the fault "control:NAME" while a control is absent, and how long to wait before it is opened again.

    The delays double from FIRST_DELAY_S to LONGEST_DELAY_S, and start again for a control that had been there for
    LONGEST_DELAY_S: one that comes and goes does not fill the journal. `task_status.started()` is called after the
    first attempt, whatever came of it.

    **Synchronization:** one task.
    """

    def __init__(self, name: str, clock: Clock, report: Report, task_status: trio.TaskStatus[None]) -> None:
        self.fault = f"control:{name}"
        self._clock = clock
        self._report = report
        self._task_status: trio.TaskStatus[None] | None = task_status
        self._absent = ""  # why, while it is
        self._delay_s = FIRST_DELAY_S
        self._opened_ns: int | None = None

    def opened(self) -> None:
        """It is there."""
        now_ns = self._clock.monotonic_ns()
        self._opened_ns = now_ns
        if self._absent:
            self._absent = ""
            self._report(FaultChanged(self.fault, active=False, at_ns=now_ns))
        self._say_started()

    def lost(self, error: BaseException) -> float:
        """It is not; seconds to wait before the next attempt."""
        now_ns = self._clock.monotonic_ns()
        if str(error) != self._absent:
            self._absent = str(error)
            self._report(FaultChanged(self.fault, active=True, at_ns=now_ns, detail=self._absent))
        self._say_started()
        if self._opened_ns is not None and now_ns - self._opened_ns >= LONGEST_DELAY_S * NS:
            self._delay_s = FIRST_DELAY_S
        self._opened_ns = None
        delay_s = self._delay_s
        self._delay_s = min(2 * delay_s, LONGEST_DELAY_S)
        return delay_s

    def _say_started(self) -> None:
        if self._task_status is not None:
            self._task_status.started()
            self._task_status = None
