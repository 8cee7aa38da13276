"""What capture said lately, for a recording that begins in the past. Pure; the time is an argument."""

from __future__ import annotations

from collections import deque

from bwvd.messages import NS, FaultChanged, MediaGap

KEPT_NS = 60 * NS  # longer than the loop: a gap may reach into it


class Lately:
    """Gaps that may lie in the loop, and faults of capture that go on.

    **Synchronization:** one task.
    """

    def __init__(self, loop_ns: int) -> None:
        """loop_ns: how far back a recording may begin."""
        self.gaps: deque[MediaGap] = deque()
        self._loop_ns = loop_ns
        self._faults: dict[str, FaultChanged] = {}

    @property
    def faults(self) -> tuple[FaultChanged, ...]:
        return tuple(self._faults.values())

    def gap(self, gap: MediaGap, now_ns: int) -> None:
        """Keep a gap for as long as the loop may hold what lies around it."""
        self.gaps.append(gap)
        while self.gaps and self.gaps[0].to_ns < now_ns - self._loop_ns - KEPT_NS:
            self.gaps.popleft()

    def fault(self, fault: FaultChanged) -> None:
        """Keep a fault until it is over."""
        if fault.active:
            self._faults[fault.name] = fault
        else:
            self._faults.pop(fault.name, None)

    def forget_gaps(self) -> None:
        """The loop is empty: none of them lies in it."""
        self.gaps.clear()
