"""Verification of a whole storage: its journal, every recording, and whether they tell the same story."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bwvd.evidence.errors import SignersUnusable
from bwvd.evidence.format import records
from bwvd.evidence.format.file_names import harmless
from bwvd.evidence.format.layout import ALLOWED_SIGNERS, CHAIN, JOURNAL, MANIFEST, RECORDINGS, is_litter, sealed_name
from bwvd.evidence.format.recording_id import counted, serial_of
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.files import LITTER, Progress
from bwvd.evidence.verify.folder import DirectoryFolder
from bwvd.evidence.verify.journal import ATTEMPTS, Begun, JournalFacts, check_journal
from bwvd.evidence.verify.neighbours import disagreements
from bwvd.evidence.verify.officer import check_officer
from bwvd.evidence.verify.recording import Verification
from bwvd.evidence.verify.report import Archive, Report, Severity
from bwvd.evidence.verify.trust import Trust

_BEFORE_A_MANIFEST = frozenset({sealed_name(1)})  # the officer's id; its name may reach the flash first


def verify_storage(
    path: str | Path,
    signers: AllowedSigners | None = None,
    identities: Sequence[Any] = (),
    *,
    decode: bool = False,
    progress: Progress | None = None,
) -> list[Report]:
    """A report on the storage at `path`, and one on each recording in it, in order. Blocking.

    Without `signers` nobody vouches for a key: the storage's own allowed_signers counts for nothing. What the journal
    and the recordings say of each other is compared: gaps in the serial numbers, how each recording ended, and the
    journal's state that each one names, which must be in it as it is now: that is how a journal that was cut is found.
    """
    report = Report(str(path), "storage", Path(path).resolve().name)
    if os.path.lexists(Path(path) / ALLOWED_SIGNERS):
        try:
            AllowedSigners.load(Path(path) / ALLOWED_SIGNERS)
        except SignersUnusable as error:
            report.altered(ALLOWED_SIGNERS, str(error))
    found: dict[str, Verification] = {}
    try:
        with DirectoryFolder(path) as folder:
            # A daemon may write beside it. What the journal says before the recordings are listed must hold for them;
            # what it says after they were read accounts for what has come and gone meanwhile.
            said = check_journal(folder, Report(str(path), "storage"), signers)
        with DirectoryFolder(Path(path) / RECORDINGS) as folder:
            entries = folder.names()
        for name, odd in sorted(entries.items()):
            if odd in ("", "a folder") and is_litter(name):
                report.note(f"{RECORDINGS}/{name}", LITTER)
                continue
            if odd != "a folder":
                report.altered(f"{RECORDINGS}/{name}", f"{odd or 'a file'}, not a recording's folder")
                continue
            place = Path(path) / RECORDINGS / name
            check = verify_beside(place, signers, said, identities, decode=decode, progress=progress)
            if check is not None:
                found[name] = check
        heads = [check.open.journal for check in found.values() if check.open is not None and check.open.journal]
        wanted = frozenset((head.bytes, head.sha512) for head in heads)
        with DirectoryFolder(path) as folder:
            before = len(report.findings)
            facts = check_journal(folder, report, signers, wanted)
            known = len(report.findings)
            broken = any(finding.severity > Severity.UNVOUCHED for finding in report.findings)
        for name in sorted(entries.keys() - found.keys()):
            if entries[name] == "a folder" and not is_litter(name) and harmless(name) not in facts.released:
                report.altered(f"{RECORDINGS}/{name}", "was removed while the storage was read")
    except OSError as error:
        report.unreadable(str(error.filename or path), error.strerror or str(error))
        return [report, *(check.report for check in found.values())]
    report.device = facts.device
    wrong = f"{(first := report.findings[before]).where}: {first.what}" if known > before else ""
    report.archives = [Archive(name, sha512, wrong) for name, sha512 in sorted(facts.archives.items())]
    for when in facts.rolled_back:
        what = f"the device found at its start of {when} that the storage was not as it had left it: put back, or cut"
        report.altered(JOURNAL, what)
    for name in {name for name, _ in disagreements(found) if found[name].end is None}:
        # Its end may have come after it was read, and before the next one began, which was read then.
        again = verify_beside(Path(path) / RECORDINGS / name, signers, said, identities, decode=decode, progress=None)
        if again is not None:
            found[name] = again
    for name, what in disagreements(found):
        found[name].report.altered(MANIFEST, what)
    try:
        check_officer(path, facts, report, signers)
    except OSError as error:
        report.unreadable(str(error.filename or path), error.strerror or str(error))
    for name, check in found.items():
        compare(harmless(name), check, said, facts, broken=broken)
        report.segments += check.report.segments
        report.frames += check.report.frames
        report.audio_frames += check.report.audio_frames
        report.silent_frames += check.report.silent_frames
        report.bytes += check.report.bytes
        report.duration_s += check.report.duration_s
    _count(Path(path), found, said, facts, report)
    if broken:
        report.consequences(known)
    return [report, *(check.report for check in found.values())]


def verify_beside(
    place: Path,
    signers: AllowedSigners | None,
    said: JournalFacts,
    identities: Sequence[Any] = (),
    *,
    decode: bool = False,
    progress: Progress | None = None,
) -> Verification | None:
    """One recording of a storage whose journal says `said`; `compare` comes behind it.

    None if its folder is gone, as after a release.

    Where something seems wrong and the folder has changed since it was listed, it is read again: a daemon was at it.
    """
    for _ in range(ATTEMPTS):
        try:
            with DirectoryFolder(place) as folder:
                check = Verification(
                    folder,
                    Trust(signers),
                    identities=identities,
                    decode=decode,
                    acknowledged=said.begun.get(harmless(place.name), Begun()).manifest,
                    name=place.name,
                    progress=progress,
                )
                names = folder.names()
                check.run()
                if not names.keys() - _BEFORE_A_MANIFEST and not folder.names().keys() - _BEFORE_A_MANIFEST:
                    check.report.findings.clear()
                    what = "is missing, as everything is: the recording is being begun, or was cut then"
                    check.report.unfinished(MANIFEST, what)
                if check.report.verdict not in ("altered", "unreadable") or folder.names() == names:
                    return check
        except FileNotFoundError:
            return None
    return check


def compare(name: str, check: Verification, said: JournalFacts, facts: JournalFacts, *, broken: bool) -> None:
    """One recording against its folder's name and against the journal: `said` before it was read, `facts` after.

    broken: that something is wrong with the journal is said already.
    """
    report = check.report
    unvouched = [finding for finding in report.findings if finding.severity is Severity.UNVOUCHED]
    if name in facts.released and len(report.findings) > len(unvouched):
        # The journal has the receipt before the first file goes, and the power may go in between.
        report.findings[:] = unvouched
        report.unfinished(name, f"was released on {facts.released[name]}; its removal was not finished")
        return
    if (opening := check.open) is not None:
        _compare_opening(name, opening, report, facts, broken=broken)
    compare_end(name, check, said)


def compare_end(name: str, check: Verification, said: JournalFacts) -> None:
    """How a recording ended by its manifest, against what the journal says of that; findings go to its report."""
    report = check.report
    if report.verdict in ("altered", "unreadable"):
        return
    reason, segments = said.closed.get(name, ("", report.segments))
    if name in said.closed and not isinstance(check.end, records.Close):
        report.altered(
            name, f"the journal says that it was closed ({reason}) with {segments} segments: its end is gone"
        )
    elif segments != report.segments:
        report.altered(name, f"the journal says that it was closed ({reason}) with {segments} segments")
    elif name in said.recovered and check.end is None:
        report.altered(name, "the journal says that it was recovered: its end is gone")
    elif check.end is not None and said.manifests.get(name, check.manifest_sha512) != check.manifest_sha512:
        report.altered(f"{name}/{MANIFEST}", "is not the manifest that the journal says it had at its end")
    elif name in said.begun and check.open is None:
        report.altered(name, "the journal says that it was opened: its beginning is gone")
    elif not check.goes_on:
        what = f"the journal says that it had {said.begun[name].segments} segments"
        report.altered(f"{name}/{MANIFEST}", f"{what}: what was acknowledged then is gone, or is another")


def _compare_opening(name: str, opening: records.Open, report: Report, facts: JournalFacts, *, broken: bool) -> None:
    where = f"{MANIFEST} line 1 (byte 0)"
    if opening.recording != name:
        report.altered(where, f"the recording {opening.recording} in the folder {name}")
    if facts.device and opening.device != facts.device:
        report.altered(where, f"a recording of {opening.device} in the storage of {facts.device}")
    if (head := opening.journal) is not None and (head.bytes, head.sha512) not in facts.seen:
        what = f"a journal of {head.bytes} bytes that is not there: the journal was cut or exchanged"
        report.altered(where, f"names {what}")
        if broken:
            report.consequences(len(report.findings) - 1)


def _count(root: Path, found: dict[str, Verification], said: JournalFacts, facts: JournalFacts, report: Report) -> None:
    """Serial numbers have no gap: what is missing was released, or somebody took it away."""
    there: dict[int, str] = {}
    for name, check in found.items():
        serial = check.open.serial if check.open is not None else serial_of(name)
        if serial is None:
            continue
        if serial in there:
            report.altered(f"{RECORDINGS}/{name}", f"has the serial number {serial}, as {there[serial]} has")
        there[serial] = name
    if not facts.files and there:
        unpacked = ": an unpacked proof has none, name the recording in it" if os.path.lexists(root / CHAIN) else ""
        report.altered(JOURNAL, f"is missing{unpacked}")
    for serial, name in sorted(said.serials.items()):
        if serial not in there and name not in facts.released:
            report.altered(f"{RECORDINGS}/{name}", "is missing: the journal knows of no release")
    before = facts.known_from - 1
    for serial in sorted({*there, *facts.serials}):
        if serial <= before:
            continue
        if counted(before, serial) != serial:
            name = there.get(serial) or facts.serials[serial]
            report.altered(f"{RECORDINGS}/{name}", "has a serial number that this device can't have reached")
            continue
        if serial > before + 1:
            which = f"{before + 1}" if serial == before + 2 else f"{before + 1} to {serial - 1}"
            report.altered(f"{RECORDINGS}/", f"serial number {which} is missing, and the journal does not know it")
        before = serial
