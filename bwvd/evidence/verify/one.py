"""Verification of one recording of a storage as `verify` does all: held against the storage's journal as well.

For whoever shows a storage's recordings one by one: the journal is read once, and again when it has changed.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.flash.regular_file import open_regular
from bwvd.evidence.format import records
from bwvd.evidence.format.decode import MAX_LINE, decode
from bwvd.evidence.format.file_names import harmless
from bwvd.evidence.format.layout import ARCHIVE, JOURNAL, MANIFEST, RECORDINGS
from bwvd.evidence.format.recording_id import serial_of
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.files import Progress
from bwvd.evidence.verify.folder import CHUNK, DirectoryFolder
from bwvd.evidence.verify.gather import is_storage
from bwvd.evidence.verify.journal import Head, JournalFacts, check_journal
from bwvd.evidence.verify.recording import verify_recording
from bwvd.evidence.verify.report import Report, Severity, unreadable
from bwvd.evidence.verify.storage import compare, verify_beside


@dataclass(frozen=True, slots=True)
class Known:
    """What a storage's journal says."""

    stamp: object  # how its files stood
    facts: JournalFacts
    wrong: Sequence[str]  # a line each
    broken: bool


class OneByOne:
    """Verifies recordings in folders, each when it is asked for.

    **Synchronization:** blocking; one thread at a time.
    """

    def __init__(self, signers: AllowedSigners | None) -> None:
        self._signers = signers
        self._journals: dict[Path, Known] = {}  # by storage

    def verify(self, place: Path, progress: Progress | None = None) -> Report:
        """The report on the recording in the folder `place`. Whatever is wrong is in it."""
        storage = place.parent.parent
        try:
            if place.parent.name != RECORDINGS or not is_storage(storage):
                return verify_recording(place, self._signers, progress=progress)
            said = self._journal(storage).facts
            check = verify_beside(place, self._signers, said, progress=progress)
            if check is None:
                return unreadable(place, "was removed while it was read")
            now = self._journal(storage)
        except OSError as error:
            return unreadable(error.filename or place, error.strerror or str(error))
        compare(harmless(place.name), check, said, now.facts, broken=now.broken)
        return check.report

    def told(self, place: Path) -> list[str]:
        """What is wrong with the storage that the recording in the folder `place` lies in, a line each.

        Its journal, and recordings that it knows and that are gone: no report on a recording can say that.
        """
        return self.told_of(place.parent.parent) if place.parent.name == RECORDINGS else []

    def told_of(self, storage: Path) -> list[str]:
        """The same of a storage, which may have no recording left."""
        try:
            if not is_storage(storage):
                return []
            said = self._journal(storage).facts
            there = _serials(storage / RECORDINGS)
            now = self._journal(storage)
        except OSError:
            return []  # the recordings' own reports say it
        gone = [name for serial, name in sorted(said.serials.items()) if serial not in there]
        missing = [f"{RECORDINGS}/{name}" for name in gone if name not in now.facts.released]
        wrong = [*now.wrong, *(f"{where}: is missing: the journal knows of no release" for where in missing)]
        return [f"{storage}/{line}" for line in wrong]

    def _journal(self, storage: Path) -> Known:
        """What the journal says, and what is wrong with it. Raises: OSError."""
        stamp = _stamp(storage)
        known = self._journals.get(storage)
        if known is None or known.stamp != stamp:
            report = Report(str(storage), "storage")
            with DirectoryFolder(storage) as folder:
                facts = check_journal(folder, report, self._signers, _heads(storage / RECORDINGS))
            grave = [finding for finding in report.findings if finding.severity > Severity.UNVOUCHED]
            wrong = [f"{finding.where}: {finding.what}" for finding in grave if not finding.follows]
            known = self._journals[storage] = Known(stamp, facts, wrong, broken=bool(grave))
        return known


def _serials(recordings: Path) -> frozenset[int | None]:
    """The serial numbers that are there, by first records or else by names. Raises: OSError."""
    opened = {entry.name: _opening(Path(entry.path)) for entry in os.scandir(recordings)}
    return frozenset(one.serial if one is not None else serial_of(name) for name, one in opened.items())


def _opening(folder: Path) -> records.Open | None:
    """The first record of a recording; unverified."""
    try:
        with io.BufferedReader(open_regular(folder / MANIFEST), CHUNK) as file:
            record = decode(file.readline(MAX_LINE).rstrip(b"\n"))
    except (OSError, EvidenceError):
        return None
    return record if isinstance(record, records.Open) else None


def _stamp(storage: Path) -> object:
    """What changes when the journal, or the row of recordings, does. Raises: OSError."""
    files = [path for path in storage.iterdir() if path.name == JOURNAL or ARCHIVE.fullmatch(path.name)]
    states = [(path.name, (found := path.lstat()).st_size, found.st_mtime_ns, found.st_ino) for path in sorted(files)]
    return states, (storage / RECORDINGS).stat().st_mtime_ns


def _heads(recordings: Path) -> frozenset[Head]:
    """The states of the journal that first records name; unverified: they say what to look for. Raises: OSError."""
    found = set()
    for entry in os.scandir(recordings):
        record = _opening(Path(entry.path))
        if record is not None and record.journal is not None:
            found.add((record.journal.bytes, record.journal.sha512))
    return frozenset(found)
