"""Verification of one recording of a storage as `verify` does all: held against the storage's journal as well.

For whoever shows a storage's recordings one by one: the journal is read once, and again when it has changed.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.flash.regular_file import open_regular
from bwvd.evidence.format import records
from bwvd.evidence.format.decode import MAX_LINE, decode
from bwvd.evidence.format.file_names import harmless
from bwvd.evidence.format.layout import ARCHIVE, JOURNAL, MANIFEST, RECORDINGS
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.files import Progress
from bwvd.evidence.verify.folder import CHUNK, DirectoryFolder
from bwvd.evidence.verify.gather import is_storage
from bwvd.evidence.verify.journal import Head, JournalFacts, check_journal
from bwvd.evidence.verify.recording import verify_recording
from bwvd.evidence.verify.report import Report, Severity, unreadable
from bwvd.evidence.verify.storage import compare, verify_beside


class OneByOne:
    """Verifies recordings in folders, each when it is asked for.

    **Synchronization:** blocking; one thread at a time.
    """

    def __init__(self, signers: AllowedSigners | None) -> None:
        self._signers = signers
        self._journals: dict[Path, tuple[object, JournalFacts, bool]] = {}  # by storage, with how its files stood

    def verify(self, place: Path, progress: Progress | None = None) -> Report:
        """The report on the recording in the folder `place`. Whatever is wrong is in it."""
        storage = place.parent.parent
        try:
            if place.parent.name != RECORDINGS or not is_storage(storage):
                return verify_recording(place, self._signers, progress=progress)
            said, _ = self._journal(storage)
            check = verify_beside(place, self._signers, said, progress=progress)
            if check is None:
                return unreadable(place, "was removed while it was read")
            facts, broken = self._journal(storage)
        except OSError as error:
            return unreadable(error.filename or place, error.strerror or str(error))
        compare(harmless(place.name), check, said, facts, broken=broken)
        return check.report

    def _journal(self, storage: Path) -> tuple[JournalFacts, bool]:
        """What the journal says, and whether something is wrong with it. Raises: OSError."""
        stamp = _stamp(storage)
        known = self._journals.get(storage)
        if known is None or known[0] != stamp:
            report = Report(str(storage), "storage")
            with DirectoryFolder(storage) as folder:
                facts = check_journal(folder, report, self._signers, _heads(storage / RECORDINGS))
            broken = any(finding.severity > Severity.UNVOUCHED for finding in report.findings)
            known = self._journals[storage] = stamp, facts, broken
        return known[1], known[2]


def _stamp(storage: Path) -> object:
    """What changes when the journal, or the row of recordings, does. Raises: OSError."""
    files = [path for path in storage.iterdir() if path.name == JOURNAL or ARCHIVE.fullmatch(path.name)]
    states = [(path.name, (found := path.lstat()).st_size, found.st_mtime_ns, found.st_ino) for path in sorted(files)]
    return states, (storage / RECORDINGS).stat().st_mtime_ns


def _heads(recordings: Path) -> frozenset[Head]:
    """The states of the journal that first records name; unverified: they say what to look for. Raises: OSError."""
    found = set()
    for entry in os.scandir(recordings):
        try:
            with io.BufferedReader(open_regular(Path(entry.path) / MANIFEST), CHUNK) as file:
                record = decode(file.readline(MAX_LINE).rstrip(b"\n"))
        except (OSError, EvidenceError):
            continue
        if isinstance(record, records.Open) and record.journal is not None:
            found.add((record.journal.bytes, record.journal.sha512))
    return frozenset(found)
