"""What all files of the journal know of recordings, and whether the files lead to each other as they must. In steps.

From the file in force back, each file is the one that the next one names, by length and digest; what lies behind that
(an append whose sync failed) is named by the next one too. Archives that a custodian has taken over, and that were then
released, are the end of the row: the journal has the entry. A file is read by the key that its first record names. So
the row goes on over a change of the device's key, and a line that another key has put behind counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from bwvd import hashing
from bwvd.evidence.flash.steps import Steps, digest_steps
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE
from bwvd.evidence.format.chain_tail import ending_steps
from bwvd.evidence.format.decode import Unknown
from bwvd.evidence.format.layout import ARCHIVE, JOURNAL
from bwvd.evidence.format.recording_id import counted, known
from bwvd.evidence.format.records import JournalHead
from bwvd.evidence.journal.files import first_record
from bwvd.evidence.journal.totals import ARCHIVE_RELEASED, ENDS, WITH_SERIAL

MISSING = "evidence_missing"  # the fault and the entry of what is gone
CHANGED = "evidence_changed"  # and of what is not as it was signed, or was put there by somebody else


_ASKED_FOR = WITH_SERIAL | ENDS | {ARCHIVE_RELEASED}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as this device has left it."""

    where: str  # a recording's folder, or a file of the journal
    what: str  # one line
    fault: str  # MISSING or CHANGED
    serial: int | None = None  # of a recording


@dataclass(slots=True)
class Known:
    """What the journal says, all files together."""

    opened: dict[str, int] = field(default_factory=dict)  # each recording that must be there or released: its number
    released: set[str] = field(default_factory=set)
    manifests: dict[str, str] = field(default_factory=dict)  # recording -> SHA-512 of its manifest at its end
    keys: set[str] = field(default_factory=set)  # whose files these are
    known_from: int = 1  # entries about smaller numbers are in files that are not here
    whole: bool = True  # every file of the row is here and as it was
    taken_over: bool = False  # the row ends where a custodian has the rest
    findings: list[Finding] = field(default_factory=list)

    def gone(self, there: set[str], serials: set[int]) -> Iterator[Finding]:
        """Recordings that must be there and are not.

        there: names of folders as entries write them; serials: the numbers of these.
        """
        for recording, serial in sorted(self.opened.items(), key=lambda one: one[1]):
            if recording not in there and recording not in self.released:
                yield Finding(recording, "is missing: the journal knows of no release", MISSING, serial)
        if not self.whole:
            return
        before = self.known_from - 1
        for serial in sorted({*serials, *self.opened.values()}):
            if counted(before, serial) != serial or serial <= before:
                continue
            if serial > before + 1:
                which = f"{before + 1}" if serial == before + 2 else f"{before + 1} to {serial - 1}"
                yield Finding(f"number {which}", "is missing: the journal does not know it", MISSING, before + 1)
            before = serial


@dataclass(slots=True)
class _Lines:
    """What one file says (a fold)."""

    opening: records.Journal | None = None
    opened: dict[str, int] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)
    manifests: dict[str, str] = field(default_factory=dict)
    torn: list[records.Found] = field(default_factory=list)
    taken: list[JournalHead] = field(default_factory=list)

    def take(self, record: records.Record | Unknown) -> None:
        match record:
            case records.Journal():
                self.opening = self.opening or record
            case records.TornTail():
                self.torn.append(record.found)
            case records.Entry(event=event, detail={"recording": str(recording), "serial": int(serial)}):
                if event == "released":
                    self.released.add(recording)
                if event in WITH_SERIAL | ENDS:
                    self.opened[recording] = serial
                if event in ENDS and isinstance(sha512 := record.detail.get("manifest_sha512"), str):
                    self.manifests[recording] = sha512
            case records.Entry(event=event, detail={"file": str(file), "bytes": int(size), "sha512": str(digest)}):
                if event == ARCHIVE_RELEASED:
                    self.taken.append(JournalHead(file=file, bytes=size, sha512=digest))


def known_steps(volume: Volume) -> Steps[Known]:
    """Read all of the journal. Raises OSError."""
    known_, taken = Known(), set[JournalHead]()
    names = volume.names("")
    left = {name for name in names if ARCHIVE.fullmatch(name)}
    name = JOURNAL if JOURNAL in names else max(left, default="")
    following: _Lines | None = None  # what names the file
    while name:
        left.discard(name)
        lines = yield from _file_steps(volume, name, following, known_)
        taken.update(lines.taken)
        previous = None
        if lines.opening is not None:
            known_.known_from = known(lines.opening.last_serial) + 1
            previous = lines.opening.previous
        if previous is not None and previous.file in left:
            following, name = lines, previous.file
            continue
        if previous is not None and previous in taken:
            known_.taken_over = True
        elif previous is not None:
            known_.whole = False
            what = f"is missing: {name} names it as the file before"
            known_.findings.append(Finding(previous.file, what, MISSING))
        # What others say counts; that the row is broken is said.
        following, name = None, max(left, default="")
        known_.whole = known_.whole and not name
        yield
    return known_


def _file_steps(volume: Volume, name: str, following: _Lines | None, known_: Known) -> Steps[_Lines]:
    """One file; `following` is what the one says that names it."""
    first, size = first_record(volume, name), volume.size(name)
    if not isinstance(first, records.Journal):
        known_.whole = False
        known_.findings.append(Finding(name, "does not begin as a journal does", CHANGED))
        return _Lines()
    ending, lines = yield from ending_steps(
        volume, name, name, JOURNAL_NAMESPACE, _Lines, key=first.signer, asked_for=_ASKED_FOR
    )
    if lines.opening is not None:
        known_.keys.add(first.signer)
    known_.released |= lines.released
    known_.manifests = {**lines.manifests, **known_.manifests}  # files are read from the newest back
    what = ""
    head = following.opening.previous if following is not None and following.opening is not None else None
    if following is not None and head is not None:
        what = yield from _not_as_named(volume, name, size, head, following)
    # What lies behind a failed sync is nobody's line.
    if not what and (head is None or size == head.bytes):
        if ending.foreign_at is not None:
            what = f"has lines of another key behind this device's, from byte {ending.foreign_at} on"
        elif ending.problems or lines.opening is None:
            what = "has lines that are not as they were signed"
    if what:
        known_.whole = False
        known_.findings.append(Finding(name, what, CHANGED))
    if known_.whole:
        # What was opened before a file that is gone, or in one that was changed, may have been released there.
        known_.opened.update(lines.opened)
    return lines


def _not_as_named(volume: Volume, name: str, size: int, head: JournalHead, following: _Lines) -> Steps[str]:
    """What of an archive is not as the next file says; "" if it is."""
    if size < head.bytes:
        return f"has {size} bytes of the {head.bytes} that the next file of the journal names"
    sha512 = yield from digest_steps(hashing.sha512(), volume, name, 0, head.bytes)
    if sha512 != head.sha512:
        return "is not what the next file of the journal says that it was"
    if size == head.bytes:
        return ""
    sha256 = yield from digest_steps(hashing.sha256(), volume, name, head.bytes, size)
    rest = (name, head.bytes, size - head.bytes, sha256)
    if any((found.where, found.offset, found.bytes, found.sha256) == rest for found in following.torn):
        return ""
    return f"has {size - head.bytes} bytes at its end that the next file of the journal does not name"
