"""What capture and its devices said lately, for a recording that begins in the past. Pure; the time is an argument."""

from __future__ import annotations

from collections import deque

from bwvd.messages import NS, Device, FaultChanged, MediaGap, SourceDown

KEPT_NS = 60 * NS  # longer than the loop: a gap may reach into it


class Lately:
    """Gaps that may lie in the loop, and faults of capture and its devices that go on.

    **Synchronization:** one task.
    """

    def __init__(self, loop_ns: int) -> None:
        """loop_ns: how far back a recording may begin."""
        self.gaps: deque[MediaGap] = deque()
        self.camera_away = "camera"  # why it delivers nothing, or did not when it was away last
        self._loop_ns = loop_ns
        self._faults: dict[str, FaultChanged] = {}
        self._delivers: set[Device] = set()

    @property
    def faults(self) -> tuple[FaultChanged, ...]:
        return tuple(self._faults.values())

    def gap(self, gap: MediaGap, now_ns: int) -> None:
        """Keep a gap for as long as the loop may hold what lies around it."""
        self.gaps.append(gap)
        while self.gaps and self.gaps[0].to_ns < now_ns - self._loop_ns - KEPT_NS:
            self.gaps.popleft()

    def up(self, device: Device, now_ns: int) -> tuple[FaultChanged, bool]:
        """A device delivers. Returns that it has no fault, and whether it had one."""
        self._delivers.add(device)
        over = _fault_of(device, active=False, at_ns=now_ns)
        return over, self._faults.pop(over.name, None) is not None

    def down(self, event: SourceDown) -> FaultChanged | None:
        """A device delivers no more. Returns its fault, None if it was asked to be silent."""
        if event.device == "camera" and event.device in self._delivers:
            self.camera_away = event.reason  # the first one: later ones only say that it is still gone
        self._delivers.discard(event.device)
        if event.asked:
            return None
        fault = _fault_of(event.device, active=True, at_ns=event.at_ns, detail=event.reason)
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
