"""The file of the officer's id against the journal, which has the digest of the one that counts."""

from __future__ import annotations

from pathlib import Path

from bwvd import hashing
from bwvd.evidence.format.layout import NEW, OFFICER
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.folder import DirectoryFolder, Folder, read_file
from bwvd.evidence.verify.journal import ATTEMPTS, JournalFacts, check_journal
from bwvd.evidence.verify.report import Report

_FILE_BYTES = 4096  # more than the file of an officer's id can have


def check_officer(path: str | Path, facts: JournalFacts, report: Report, signers: AllowedSigners | None) -> None:
    """Find a file that was exchanged or taken away, since a start or before one. Blocking; raises OSError.

    Whose id it is nobody but the device can read. A daemon may keep another officer meanwhile: its journal is then read
    again.
    """
    for when in facts.officer_exchanged:
        what = (
            f"the device found at its start of {when} that this was not the file that it had kept: exchanged, or gone"
        )
        report.altered(OFFICER, what)
    for _ in range(ATTEMPTS):
        with DirectoryFolder(path) as folder:
            if not facts.officer or facts.officer in _digests(folder):
                return
            again = check_journal(folder, Report(str(path), "storage"), signers)
        if again.officer == facts.officer:
            report.altered(OFFICER, "is not the file that the journal names: exchanged, or gone")
            return
        facts = again


def _digests(folder: Folder) -> set[str]:
    """Of the file, and of one that a power cut has kept from its name."""
    found = set()
    names = folder.names()
    for name in (OFFICER, OFFICER + NEW):
        if names.get(name) == "":
            try:
                found.add(hashing.sha256(read_file(folder, name, _FILE_BYTES)).hexdigest())
            except FileNotFoundError:
                continue  # it has got its name since it was listed
            except OSError:  # larger than any of ours
                continue
    return found
