"""Verification of a device's journal: every file of it, from the newest back, each vouched for by the next one.

A file that is not the newest counts as far as the next file's first record says, by length and digest. What lies behind
that (an append whose sync failed) must be named by a `torn` record of the next file.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from bwvd import hashing
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE
from bwvd.evidence.format.chain_reader import ChainReader, Signed
from bwvd.evidence.format.decode import Unknown
from bwvd.evidence.format.layout import ARCHIVE, JOURNAL, NEW_JOURNAL
from bwvd.evidence.format.recording_id import parts_of
from bwvd.evidence.format.records import JournalHead
from bwvd.evidence.format.utc import unix_s
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.folder import CHUNK, Folder, HashedFile, Part
from bwvd.evidence.verify.report import Report
from bwvd.evidence.verify.trust import Trust
from bwvd.text import clean, printable

_NUMBERS = ("serial", "segments", "bytes", "manifest_bytes")  # of an entry's detail
_UTC_CHARACTERS = 64
ATTEMPTS = 3  # to read files that are renamed meanwhile, which happens once in megabytes of journal

Head = tuple[int, str]  # bytes and SHA-512 of a file's beginning: the journal's, as an `open` record names it


class Begun(NamedTuple):
    """What the journal says of a recording before its end."""

    segments: int = 0  # that were acknowledged
    manifest: Head = (0, "")  # up to there; (0, ""): its first record was


@dataclass(slots=True)
class JournalFacts:
    """What the journal says about recordings."""

    wanted: frozenset[Head] = frozenset()  # heads that recordings name
    seen: set[Head] = field(default_factory=set)  # those of them that are in some file
    files: int = 0
    entries: int = 0
    device: str = ""
    serials: dict[int, str] = field(default_factory=dict)  # used numbers, each with its recording
    known_from: int = 1  # entries about smaller serial numbers are in files that are not here
    closed: dict[str, tuple[str, int]] = field(default_factory=dict)  # recording -> how it ended, segments
    manifests: dict[str, str] = field(default_factory=dict)  # recording -> SHA-512 of its manifest when it had its end
    begun: dict[str, Begun] = field(default_factory=dict)  # recording -> how far it had come
    recovered: set[str] = field(default_factory=set)
    rolled_back: list[str] = field(default_factory=list)  # when the device found its storage so
    released: dict[str, str] = field(default_factory=dict)  # recording -> when
    officer: str = ""  # SHA-256 of the file of the officer's id, by the newest file of the journal; "" = there is none
    officer_exchanged: list[str] = field(default_factory=list)  # when the device found another one
    archives: dict[str, str] = field(default_factory=dict)  # SHA-512 of each whole file that the next one names
    taken_over: dict[JournalHead, tuple[str, str]] = field(default_factory=dict)  # archive -> by whom, when

    def take(self, entry: records.Entry) -> None:
        """Learn from one entry. One of a recording that no id of this device's names says nothing."""
        self.entries += 1
        detail, utc = entry.detail, clean(entry.stamp.utc, _UTC_CHARACTERS)
        if any(isinstance(detail.get(name), bool) for name in _NUMBERS):  # which Python counts with, and no database
            return
        if entry.event == "storage_rolled_back":
            self.rolled_back.append(utc)
        elif entry.event == "officer_kept" and not self.files:  # every file repeats it, and the newest is read first
            self.officer = str(detail.get("sha256", ""))
        elif entry.event == "officer_refused" and detail.get("exchanged"):
            self.officer_exchanged.append(utc)
        elif entry.event == "archive_released":
            match detail:
                case {"file": str(file), "bytes": int(size), "sha512": str(digest)}:
                    head = JournalHead(file=file, bytes=size, sha512=digest)
                    self.taken_over[head] = (str(detail.get("by", "")), str(detail.get("received_utc", "")))
        recording, serial, segments = detail.get("recording"), detail.get("serial"), detail.get("segments")
        if not isinstance(recording, str) or not isinstance(serial, int):
            return
        if parts_of(recording) != (self.device, serial):
            return
        if entry.event in ("opened", "closed", "recovered", "released"):
            self.serials[serial] = recording
        if entry.event == "opened" and "found" not in detail:  # one that was found at a start may never have begun
            self.begun.setdefault(recording, Begun())
        elif entry.event == "progress":
            self._progressed(recording, detail)
        if entry.event == "closed" and isinstance(segments, int):
            self.closed[recording] = (str(detail.get("reason", "")), segments)
        elif entry.event == "recovered":
            self.recovered.add(recording)
        elif entry.event == "released":
            self.released[recording] = utc
        if entry.event in ("closed", "recovered") and isinstance(sha512 := detail.get("manifest_sha512"), str):
            self.manifests[recording] = sha512

    def _progressed(self, recording: str, detail: Mapping[str, object]) -> None:
        match detail:
            case {"segments": int(segments), "manifest_bytes": int(size), "manifest_sha512": str(sha512)}:
                if self.begun.get(recording, Begun()).manifest[0] < size:
                    self.begun[recording] = Begun(segments, (size, sha512))


def check_journal(
    folder: Folder,
    report: Report,
    signers: AllowedSigners | None,
    wanted: frozenset[Head] = frozenset(),
) -> JournalFacts:
    """Verify the journal in a storage; findings go to `report`. Blocking.

    A daemon may write to it meanwhile: where one of its files has got another name since they were listed, and
    something seems wrong, it is read again.
    """
    for _ in range(ATTEMPTS):
        seen = Report(report.path, report.kind, report.id)
        names = _names(folder)
        facts = _check_files(folder, names, seen, signers, wanted)
        if not seen.findings or _names(folder) == names:
            break
    report.findings += seen.findings
    report.notes += seen.notes
    report.signer = report.signer or seen.signer
    return facts


def _names(folder: Folder) -> frozenset[str]:
    """The journal's files."""
    return frozenset(name for name in folder.names() if name in (JOURNAL, NEW_JOURNAL) or ARCHIVE.fullmatch(name))


def _check_files(
    folder: Folder,
    names: frozenset[str],
    report: Report,
    signers: AllowedSigners | None,
    wanted: frozenset[Head],
) -> JournalFacts:
    facts = JournalFacts(wanted)
    left = {name for name in names if ARCHIVE.fullmatch(name)}
    name = JOURNAL
    if JOURNAL not in names:
        if NEW_JOURNAL in names:
            name = NEW_JOURNAL
            report.note(JOURNAL, "is missing: the power went while the journal was begun anew")
        elif left:
            report.altered(JOURNAL, "is missing")
            name = max(left)
        else:
            return facts
    following: _File | None = None
    while name:
        left.discard(name)
        this = _check_file(folder, name, following, report, facts, signers)
        facts.known_from = (this.last_serial or 0) + 1
        before = this.previous.file if this.previous is not None else ""
        if before in left:
            following, name = this, before
            continue
        if this.previous is not None and (taken := facts.taken_over.get(this.previous)) is not None:
            what = f"is not here, nor is what came before it: taken over by {taken[0]} on {taken[1]}, and then released"
            report.note(before, what)
        elif before:
            report.altered(before, f"is missing: {name} names it as the file before")
        following, name = None, max(left, default="")
        if name:
            report.altered(name, "no later file of the journal names it")
    return facts


@dataclass(slots=True)
class _File:
    """What one journal file says about the one before it."""

    name: str
    previous: records.JournalHead | None = None
    torn: list[records.Found] = field(default_factory=list)
    last_serial: int | None = None


def _check_file(
    folder: Folder,
    name: str,
    following: _File | None,
    report: Report,
    facts: JournalFacts,
    signers: AllowedSigners | None,
) -> _File:
    """One file; `following` is the newer one, which vouches for it."""
    this = _File(name)
    head = following.previous if following is not None else None
    try:
        size = folder.size(name)  # what is written from here on belongs to no line that is whole here
        with folder.open(name) as raw:
            part = Part(raw, head.bytes if head is not None else size)
            hashed = HashedFile(part, hashing.sha512())
            buffered = io.BufferedReader(hashed, CHUNK)
            reader = ChainReader(buffered, name, JOURNAL_NAMESPACE)
            trust = Trust(signers, JOURNAL_NAMESPACE)
            _read(reader, this, trust, report, facts)
            while buffered.read(CHUNK):  # to the end, for the digest, where the reader stopped before
                pass
            rest, sha256 = part.rest(whole := hashed.hash.copy())
    except OSError as error:
        report.unreadable(name, error.strerror or str(error))
        return this
    facts.files += 1
    for problem in reader.problems:
        report.altered(problem.where, problem.what)
    signatory = trust.judge(report)
    report.signer = report.signer or signatory
    if head is None:
        if reader.torn is not None or reader.newline_missing:
            report.note(f"{name} byte {reader.end}", "an unfinished line: the power went while it was written")
        return this
    assert following is not None  # noqa: S101  it is where the head came from
    if hashed.hash.hexdigest() != head.sha512 or part.taken != head.bytes:
        report.altered(name, f"is not what {following.name} says that it was")
    elif rest and not any(
        (f.where, f.offset, f.bytes, f.sha256) == (name, head.bytes, rest, sha256) for f in following.torn
    ):
        report.altered(f"{name} byte {head.bytes}", f"{rest} bytes that {following.name} does not name")
    facts.archives[name] = whole.hexdigest()
    return this


def _read(reader: ChainReader, this: _File, trust: Trust, report: Report, facts: JournalFacts) -> None:
    dated = False
    for signed in reader:
        where = reader.where(signed.line, signed.offset)
        record = signed.record
        if this.last_serial is None and not _begin(signed, where, this, trust, report, facts):
            return
        trust.saw(signed, where)
        if (head := (signed.end, signed.sha512.hex())) in facts.wanted:
            facts.seen.add(head)
        match record:
            case records.Entry():
                if not dated and record.stamp.quality != "not_set":
                    dated = True
                    trust.at(unix_s(record.stamp.utc))
                facts.take(record)
            case records.TornTail():
                this.torn.append(record.found)
                report.note(where, f"{record.found.what.replace('_', ' ')}: {record.found.bytes} bytes, named here")


def _begin(signed: Signed, where: str, this: _File, trust: Trust, report: Report, facts: JournalFacts) -> bool:
    """The first record says whose journal this is, in which format, and which file came before."""
    record = signed.record
    if isinstance(record, Unknown) and record.type == "journal":
        version: object = record.fields.get("format")
    elif isinstance(record, records.Journal):
        version = record.format
    else:
        report.altered(where, "the first record does not begin a journal")
        return False
    if version != records.FORMAT or not isinstance(record, records.Journal):
        report.unreadable(where, f"format {version}; this version of bwvd knows {records.FORMAT}")
        return False
    trust.claimed(record.device, record.signer, None)
    if facts.device not in ("", record.device):
        report.altered(where, f"the journal of {printable(record.device)}, among those of {printable(facts.device)}")
    facts.device = facts.device or record.device
    this.previous, this.last_serial = record.previous, record.last_serial
    return True
