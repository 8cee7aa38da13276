"""The presence of a control: its fault while it is absent, and when it is opened again."""

from __future__ import annotations

import trio

from bwvd.clock import Clock
from bwvd.controls.ports import Report
from bwvd.messages import FaultChanged
from bwvd.service.backoff import Backoff
from bwvd.service.supervised import Supervised

# One that comes and goes does not fill the journal: the delays begin anew for a control that has been there for 10 s.
BACKOFF = Backoff(first_s=0.5, limit_s=10.0, reset_after_s=10.0)


class Presence:
    """Reports the fault "control:NAME" while a control is absent, and says how long to wait before it is opened again.

    Each new reason is reported, so that the fault's detail is what a person has to put right now.
    `task_status.started()` is called after the first attempt, whatever came of it.

    **Synchronization:** one task.
    """

    def __init__(self, name: str, clock: Clock, report: Report, task_status: trio.TaskStatus[None]) -> None:
        self.fault = f"control:{name}"
        self._clock = clock
        self._report = report
        self._task_status: trio.TaskStatus[None] | None = task_status
        self._device = Supervised(BACKOFF)

    def opened(self) -> None:
        """The control is there."""
        now_ns = self._clock.monotonic_ns()
        if self._device.opened(now_ns):
            self._report(FaultChanged(self.fault, active=False, at_ns=now_ns))
        self._say_started()

    def lost(self, error: BaseException) -> float:
        """The control is not there; returns the seconds to wait before the next attempt."""
        now_ns = self._clock.monotonic_ns()
        if self._device.lost(now_ns, str(error), new_reason_is_news=True):
            self._report(FaultChanged(self.fault, active=True, at_ns=now_ns, detail=str(error)))
        self._say_started()
        return self._device.delay_s

    def _say_started(self) -> None:
        if self._task_status is not None:
            self._task_status.started()
            self._task_status = None
