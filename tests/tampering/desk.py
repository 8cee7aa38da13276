"""The desk that is given a card: what `verify` says of it with the device's keys listed, and what a start has added."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bwvd.evidence.format import records
from bwvd.evidence.format.layout import MANIFEST
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.recording import verify_recording
from bwvd.evidence.verify.report import Report
from bwvd.evidence.verify.storage import verify_storage
from bwvd.testing.flash.medium import Tree
from tests.faults.recorded import entries_of
from tests.support.evidence_keys import fixed_signer
from tests.tampering.life import CONFIG, SECOND_KEY

KEYS: Final = "".join(fixed_signer(seed).allowed_signers(CONFIG.device.id) for seed in (1, SECOND_KEY))
SIGNERS: Final = AllowedSigners.parse(KEYS.encode(), "the device's keys, before and after a change")

_END: Final = re.compile(rb'^\{"type":"(close|recovered)"', re.MULTILINE)

BAD: Final = frozenset({"altered", "unreadable", "unvouched"})  # verdicts that no power cut is the cause of


@dataclass(frozen=True)
class Verdict:
    """What `verify --signers` says of a whole card."""

    reports: list[Report]

    @property
    def exit(self) -> int:
        return 0 if all(report.good for report in self.reports) else 1

    @property
    def told(self) -> bool:
        """Somebody has been at it."""
        return self.exit == 1 and any(report.verdict in BAD for report in self.reports)

    @property
    def verdicts(self) -> Counter[str]:
        """How many recordings have which, and the storage."""
        return Counter(report.verdict for report in self.reports)

    def words(self) -> str:
        """The verdicts, and the gravest finding."""
        found = [
            (finding.severity, f"{report.id}: {finding.where}: {finding.what}")
            for report in self.reports
            for finding in report.findings
        ]
        worst = max(found, default=(0, ""), key=lambda one: one[0])[1]
        return ", ".join(f"{count} {verdict}" for verdict, count in self.verdicts.items()) + (
            f" ({worst})" if worst else ""
        )


def verify(tree: Tree, folder: Path) -> Verdict:
    """Put the card into `folder` and verify it there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in sorted(tree):
        content = tree[path]
        if content is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(content)
    return Verdict(verify_storage(folder, SIGNERS))


def laundered(before: Tree, after: Tree, folder: Path) -> Iterator[str]:
    """The recordings that have lost their end and are good by themselves, as whoever gets one alone finds them.

    folder: where `after` lies.
    """
    for path, whole in before.items():
        now = after.get(path)
        if not path.endswith(f"/{MANIFEST}") or not whole or not now or now.startswith(whole):
            continue
        if now.partition(b"\n")[0] != whole.partition(b"\n")[0] or not _END.search(whole):
            continue  # another one lies there; or it had no end
        report = verify_recording((folder / path).parent, SIGNERS)
        if report.good:
            yield f"{report.id} has lost its end, and is {report.verdict} by itself"


def new_entries(before: Tree, after: Tree) -> list[records.Entry]:
    """The entries that a start has made."""
    known = Counter((entry.event, entry.stamp.mono_ns, entry.stamp.utc) for entry in entries_of(before))
    found = []
    for entry in entries_of(after):
        key = (entry.event, entry.stamp.mono_ns, entry.stamp.utc)
        if known[key]:
            known[key] -= 1
        else:
            found.append(entry)
    return found
