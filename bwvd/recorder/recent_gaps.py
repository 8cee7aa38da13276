"""Recent gaps and absences of the devices, for a recording that begins in the past. Pure; the time is an argument."""

from __future__ import annotations

from collections import deque

from bwvd.clock import NS
from bwvd.messages import Device, FaultChanged, MediaGap, SourceDown

KEPT_NS = 60 * NS  # longer than the loop: a gap may reach into it
UNKNOWN_CAUSE = "camera"


class RecentGaps:
    """Gaps and absences of the camera that may lie in the loop, and faults of capture and its devices that go on.

    **Synchronization:** one task.
    """

    def __init__(self, loop_ns: int) -> None:
        """loop_ns: how far back a recording may begin."""
        self.gaps: deque[MediaGap] = deque()
        self._loop_ns = loop_ns
        self._faults: dict[str, FaultChanged] = {}
        self._absences: deque[tuple[int, int, str]] = deque()  # of the camera: when it went, was back, and why it went
        self._away: tuple[int, str] | None = None  # since when the camera is away, and why; None while it delivers

    @property
    def faults(self) -> tuple[FaultChanged, ...]:
        return tuple(self._faults.values())

    def gap(self, gap: MediaGap, now_ns: int) -> None:
        """Keep a gap for as long as the loop may hold what lies around it."""
        self.gaps.append(gap)
        while self.gaps and self.gaps[0].to_ns < now_ns - self._loop_ns - KEPT_NS:
            self.gaps.popleft()

    def why_missing(self, from_ns: int, to_ns: int) -> str:
        """Why there is no video between the two: because the camera was away, or is; or nobody knows."""
        for went_ns, back_ns, reason in self._absences:
            if went_ns <= to_ns and back_ns > from_ns:
                return reason
        return self._away[1] if self._away and self._away[0] <= to_ns else UNKNOWN_CAUSE

    def back(self, device: Device, now_ns: int) -> None:
        """A device delivers again, whether or not that is the end of its fault."""
        if device == "camera" and self._away:
            went_ns, reason = self._away
            self._absences.append((went_ns, now_ns, reason))
            self._away = None
            while self._absences[0][1] < now_ns - self._loop_ns - KEPT_NS:
                self._absences.popleft()

    def up(self, device: Device, now_ns: int) -> tuple[FaultChanged, bool]:
        """A device delivers as it should. Returns that it has no fault, and whether it had one."""
        self.back(device, now_ns)
        over = _fault_of(device, active=False, at_ns=now_ns)
        return over, self._faults.pop(over.name, None) is not None

    def down(self, event: SourceDown) -> FaultChanged | None:
        """A device delivers no more. Returns its fault, None if that is told already or it was asked to be silent."""
        if event.device == "camera" and not self._away:
            self._away = event.at_ns, event.reason  # the first one: later ones only say that it is still gone
        if event.asked:
            return None
        fault = _fault_of(event.device, active=True, at_ns=event.at_ns, detail=event.reason)
        told = self._faults.get(fault.name)
        if told is not None and told.detail == fault.detail:
            return None
        self._faults[fault.name] = fault
        return fault

    def fault(self, fault: FaultChanged) -> None:
        """Keep a fault of capture until it is over."""
        if fault.active:
            self._faults[fault.name] = fault
        else:
            self._faults.pop(fault.name, None)

    def forget_gaps(self) -> None:
        """The loop is empty: none of them lies in it."""
        self.gaps.clear()


def _fault_of(device: Device, *, active: bool, at_ns: int, detail: str = "") -> FaultChanged:
    return FaultChanged("camera" if device == "camera" else "audio", active, at_ns, detail)
