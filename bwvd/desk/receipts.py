"""Receipts that the desk knows of: those that lie in folders beside the recordings, or in their store."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bwvd.evidence.flash.regular_file import read_regular
from bwvd.evidence.format.signed_document import signature_path
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.release.issue import SUFFIX
from bwvd.evidence.release.receipt import RECEIPT_BYTES, Receipt, ReceiptBad, accept_receipt, read_receipt

MOST_RECEIPTS = 200_000


@dataclass(frozen=True, slots=True)
class Taken:
    """A recording was taken over, as a receipt says. Any characters."""

    received_utc: str
    by: str
    manifest_sha512: str
    vouched: bool  # it is signed by a key that the list of signers names for receipts


def judged(data: bytes, signature: bytes | None, signers: AllowedSigners | None) -> tuple[str, Taken] | None:
    """What a receipt says, and of which recording; None for what is no receipt for one."""
    try:
        said = read_receipt(data, signature)
    except ReceiptBad:
        return None
    if not isinstance(said, Receipt):
        return None
    vouched = False
    if signers is not None:
        with suppress(ReceiptBad):
            accept_receipt(data, signature, [signers], time.time())
            vouched = True
    return said.recording, Taken(said.received_utc, said.by, said.manifest_sha512, vouched)


class ReceiptFolders:
    """What lies in folders, as `bwvd receipt` leaves it; each file is read once.

    **Synchronization:** blocking; one thread at a time.
    """

    def __init__(self, folders: Sequence[Path], signers: AllowedSigners | None) -> None:
        self._folders = folders
        self._signers = signers
        self._read: dict[Path, tuple[object, tuple[str, Taken] | None]] = {}

    def look(self) -> dict[str, Taken]:
        """The receipts that are there now, by the recording's id."""
        known = {}
        for path, stamp in self._files():
            before = self._read.get(path)
            known[path] = before if before is not None and before[0] == stamp else (stamp, self._judged(path))
            if len(known) >= MOST_RECEIPTS:
                break
        self._read = known
        return dict(said for _, said in known.values() if said is not None)

    def _files(self) -> Iterator[tuple[Path, object]]:
        for folder in self._folders:
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.endswith(SUFFIX):
                        status = entry.stat(follow_symlinks=False)
                        yield Path(entry.path), (status.st_ino, status.st_size, status.st_mtime_ns)

    def _judged(self, path: Path) -> tuple[str, Taken] | None:
        try:
            data = read_regular(path, RECEIPT_BYTES)
            beside = signature_path(path)
            signature = read_regular(beside, RECEIPT_BYTES) if os.path.lexists(beside) else None
        except OSError:
            return None
        return judged(data, signature, self._signers)
