"""A device's journals, each against what was known of it: what goes on from there, and what does not.

The camera sends its journal's head to where whoever holds the card can't change it. So the newest journal must have all
heads in it that were ever here: one that is not in it shows that the card was put back, or exchanged, or cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bwvd.custody.bridge import Bridge, StoreFolder
from bwvd.custody.findings import Finding, finding
from bwvd.custody.forged import Genuine
from bwvd.custody.shelf import JournalShelf, archive_number
from bwvd.evidence.format.layout import JOURNAL
from bwvd.evidence.format.recording_id import counted
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.journal import Head, JournalFacts, check_journal
from bwvd.evidence.verify.report import Report
from bwvd.store import names

MOST_TOLD = 20  # findings of one journal in one round; what is more follows from these
MOST_MISSING = 100  # numbers of recordings that are told


@dataclass(frozen=True, slots=True)
class KnownHead:
    """The newest head of a journal that went on from all before it."""

    number: int
    bytes: int
    sha512: str

    def row(self) -> dict[str, str | int]:
        return {"number": self.number, "bytes": self.bytes, "sha512": self.sha512}


@dataclass(slots=True)
class CheckedJournal:
    """One journal as it was read."""

    storage: str
    facts: JournalFacts
    report: Report
    findings: list[Finding] = field(default_factory=list)
    newest: KnownHead | None = None  # of the heads that are listed and in it

    def knows(self, recording: str) -> bool:
        return recording in self.facts.serials.values()


def check(
    bridge: Bridge,
    device: str,
    shelf: JournalShelf,
    signers: AllowedSigners | None,
    known: KnownHead | None,
    wanted: Iterable[Head] = (),
) -> CheckedJournal:
    """Read and verify a journal. Blocking.

    Args:
        known: the newest head that went on from all before it.
        wanted: heads that recordings name.

    Raises: StoreError.
    """
    before = {(known.bytes, known.sha512)} if known is not None else set()
    genuine = Genuine(bridge, device, signers)
    facts, report = _read(bridge, device, shelf, signers, {*before, *wanted})
    newest = shelf.newest()
    holds = not report.findings and (newest is None or (newest[0].size, newest[0].sha512) in facts.seen)
    if not holds and (ours := genuine.without_forged(shelf)) != shelf:
        shelf = ours
        facts, report = _read(bridge, device, shelf, signers, {*before, *wanted})
    checked = CheckedJournal(shelf.storage, facts, report)
    found = checked.findings
    where = f"storage {shelf.storage[:8]}"
    if facts.device not in ("", device):
        found.append(finding(device, "journal", f"{where}: the journal of {facts.device}"))
    causes = [one for one in report.findings if not one.follows]
    found += [finding(device, "journal", f"{where}: {one.where}: {one.what}") for one in causes[:MOST_TOLD]]
    for when in facts.rolled_back[-MOST_TOLD:]:
        what = f"{where}: the device found at its start of {when} that its storage was not as it had left it"
        found.append(finding(device, "rollback", what))
    if not report.findings:  # of a journal that does not hold nothing more is known
        _compare(device, shelf, checked, known, genuine)
    for one in genuine.forged[:MOST_TOLD]:
        found.append(finding(device, "stranger", f"{where}: {one}: the device has not signed it"))
    return checked


def _read(
    bridge: Bridge, device: str, shelf: JournalShelf, signers: AllowedSigners | None, wanted: set[Head]
) -> tuple[JournalFacts, Report]:
    files = dict(shelf.files())
    if JOURNAL not in files and files:
        # The file in force has not come; the newest archive stands for it.
        files[JOURNAL] = files.pop(max(files, key=archive_number))
    path = f"{names.journal_folder(device, shelf.storage).rstrip('/')}"
    report = Report(path, "storage", device)
    listed = {(head.size, head.sha512) for head, _ in shelf.heads}
    facts = check_journal(StoreFolder(bridge, files, path), report, signers, frozenset({*listed, *wanted}))
    report.device = facts.device
    return facts, report


def _compare(
    device: str, shelf: JournalShelf, checked: CheckedJournal, known: KnownHead | None, genuine: Genuine
) -> None:
    """The heads that were ever here, against the newest journal."""
    seen, where = checked.facts.seen, f"storage {shelf.storage[:8]}"
    newest: names.JournalHead | None = None
    gone: list[names.JournalHead] = []
    for head, _ in shelf.heads:
        if (head.size, head.sha512) in seen:
            newest = head
        elif known is None or (head.size, head.sha512) != (known.bytes, known.sha512):
            gone.append(head)
    if newest is not None:
        checked.newest = KnownHead(newest.number, newest.size, newest.sha512)
    if known is not None and (known.bytes, known.sha512) not in seen:
        behind = newest is None or (newest.number, newest.size) < (known.number, known.bytes)
        what = _departed(where, known.number, known.bytes, known.sha512)
        checked.findings.append(finding(device, "rollback" if behind else "fork", what))
        return  # what else is not in it follows from that
    for head in genuine.departed(gone)[:MOST_TOLD]:
        behind = known is not None and (head.number, head.size) < (known.number, known.bytes)
        what = _departed(where, head.number, head.size, head.sha512)
        checked.findings.append(finding(device, "rollback" if behind else "fork", what))


def _departed(where: str, number: int, size: int, sha512: str) -> str:
    """The same words for the same head, however it was found: so it is one finding."""
    return f"{where}: file {number} with {size} bytes was here, and the journal does not go on from it ({sha512[:16]})"


def missing(
    device: str, checked: CheckedJournal, there: Mapping[str, int | None], coming: Iterable[str]
) -> list[Finding]:
    """Recordings that the device has numbered and that are not in the store, though a later one of the journal is.

    Args:
        there: the recordings that are whole in the store, with their numbers.
        coming: those of which something is there.
    """
    facts, partly = checked.facts, set(coming)
    by_number = {serial: recording for recording, serial in there.items() if serial is not None}
    known = {serial: recording for serial, recording in facts.serials.items() if recording in there}
    newest = max(known, default=0)
    found: list[Finding] = []
    before = facts.known_from - 1
    for serial in sorted(serial for serial in facts.serials if before < serial <= newest):
        recording = facts.serials[serial]
        if counted(before, serial) != serial:
            found.append(_missing(device, checked, f"{recording} has a number that no device can have reached"))
            continue
        if serial > before + 1 and any(
            one not in by_number for one in range(before + 1, min(serial, before + MOST_MISSING))
        ):
            which = f"{before + 1}" if serial == before + 2 else f"{before + 1} to {serial - 1}"
            found.append(
                _missing(device, checked, f"number {which} is not in the store, and the journal does not know it")
            )
        before = serial
        if recording not in there and recording not in partly and recording not in facts.released:
            what = f"number {serial}, {recording}, is not in the store, and the journal knows of no release"
            found.append(_missing(device, checked, what))
    return found[:MOST_MISSING]


def _missing(device: str, checked: CheckedJournal, what: str) -> Finding:
    return finding(device, "missing_serial", f"storage {checked.storage[:8]}: {what}")


def changed(shelves: Sequence[JournalShelf], heads: Mapping[str, KnownHead]) -> bool:
    """Whether a journal has a head that is not the one that is known."""
    for one in shelves:
        newest, known = one.newest(), heads.get(one.storage)
        if newest is not None and (known is None or newest[0].sha512 != known.sha512):
            return True
    return False


def holder(journals: Sequence[CheckedJournal], head: Head | None, recording: str) -> CheckedJournal | None:
    """The journal that a recording belongs to: which has the head that it names, or knows it."""
    for one in journals:
        if head is not None and head in one.facts.seen:
            return one
    return next((one for one in journals if one.knows(recording)), None)
