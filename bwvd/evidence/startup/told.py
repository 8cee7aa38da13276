"""What a storage lacks or holds that it should not: told as a fault each, and entered in the journal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from bwvd.clock import Clock
from bwvd.evidence.format.file_names import harmless
from bwvd.evidence.journal.journal import Draft
from bwvd.evidence.startup.known import CHANGED, MISSING, Finding
from bwvd.evidence.startup.outcome import RecoveryResult, drafts_of, evidence_missing

UNREAD = "evidence_unread"  # the fault of what can't be read


class _Bus(Protocol):
    def fault(self, name: str, detail: str) -> None: ...

    def report(self, name: str, active: bool, detail: str) -> None: ...


class Told:
    """The faults `evidence_missing` and `evidence_changed`, which last until the device is started again, and
    `evidence_unread`, which lasts until all was read.

    **Synchronization:** trio's thread.
    """

    def __init__(self, bus: _Bus, put: Callable[[Draft], None], clock: Clock) -> None:
        self._bus = bus
        self._put = put
        self._clock = clock
        self._told: dict[str, dict[str, str]] = {MISSING: {}, CHANGED: {}}  # what, by recording or file
        self._findings: set[Finding] = set()

    def holds(self, where: str) -> bool:
        """Whether something is told of a recording, or a file of the journal."""
        return any(where in told for told in self._told.values())

    def results(self, results: Sequence[RecoveryResult], *, entered: bool = False) -> None:
        """What became of recordings. entered: the journal has it, or will have."""
        for draft in [] if entered else drafts_of(results, self._clock.read()):
            self._put(draft)
        if missing := {one.recording: text for one in results if (text := evidence_missing(one))}:
            self._raise(MISSING, missing)

    def finding(self, finding: Finding, *, entered: bool = False) -> None:
        """One thing that the inspection has found; the same again is no news."""
        if finding in self._findings:
            return
        self._findings.add(finding)
        if not entered:
            named = {"recording": harmless(finding.where), "serial": finding.serial}
            detail = {"file": finding.where} if finding.serial is None else named
            self._put(Draft(finding.fault, {**detail, "what": finding.what}, self._clock.read()))
        self._raise(finding.fault, {finding.where: finding.what})

    def unread(self, unread: Mapping[str, str]) -> None:
        """What can't be read now, all of it, by recording, folder or file, and why; nothing: all was read."""
        self._bus.report(UNREAD, bool(unread), _summary(unread) if unread else "")

    def _raise(self, fault: str, more: dict[str, str]) -> None:
        told = self._told[fault]
        told |= more
        self._bus.fault(fault, _summary(told))


def _summary(told: Mapping[str, str]) -> str:
    """The first, and how many more."""
    where, text = next(iter(told.items()))
    rest = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
    return f"{harmless(where)}: {text}{rest}"
