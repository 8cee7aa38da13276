"""Forged heads and archives of a journal, by whoever has a camera's credentials and not its key: told, and passed over.

A name says which file of the journal it is, and how far; a thief may put any bytes under any. What the device has not
signed to its last line is none of its journal, so it stands for no file in force, and departs from nothing.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field, replace

from bwvd.custody.bridge import Bridge, read_small
from bwvd.custody.shelf import JournalShelf, archive_number
from bwvd.evidence.errors import SignatureBad
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE
from bwvd.evidence.format.chain_reader import ChainReader
from bwvd.evidence.format.utc import unix_s
from bwvd.evidence.keys.allowed_signers import DEFAULT_PRINCIPAL, AllowedSigners
from bwvd.store import names

MOST_TRIED = 100  # objects that are read in one look: what is behind them is taken for what its name says
MOST_BYTES = 67_108_864  # of one: no journal of ours has files as large


@dataclass(slots=True)
class Genuine:
    """A journal's shelf without what the device has not signed.

    **Synchronization:** inside a bridge's thread.
    """

    bridge: Bridge
    device: str
    signers: AllowedSigners | None
    forged: list[str] = field(default_factory=list)  # names in the journal's folder, printable
    _tried: int = 0

    def without_forged(self, shelf: JournalShelf) -> JournalShelf:
        """With the newest head that the device has signed as the newest, and no forged archive behind that; the same
        where there is none. Raises: StoreError.
        """
        heads = list(shelf.heads)
        while heads and not self.is_head(heads[-1][0]):
            if self._tried >= MOST_TRIED:
                return shelf
            heads.pop()
        if not heads:
            return shelf
        in_force = heads[-1][0].number
        archives = {
            archive: stored
            for archive, stored in shelf.archives.items()
            if archive_number(archive) <= in_force or self._is_archive(shelf.storage, archive)
        }
        left_out = [_shown(head) for head, _ in shelf.heads[len(heads) :]]
        self.forged += left_out + [archive for archive in shelf.archives if archive not in archives]
        return replace(shelf, heads=heads, archives=archives)

    def is_head(self, head: names.JournalHead) -> bool:
        """Whether a head's bytes are those that its name says, signed to the end; also where too many were tried."""
        if self._tried >= MOST_TRIED:
            return True
        data = self._read(names.journal_head(head.device, head.storage, head.number, head.size, head.sha512), head.size)
        return hashlib.sha512(data).hexdigest() == head.sha512 and self._signed(data, head.number, whole=True)

    def departed(self, heads: list[names.JournalHead]) -> list[names.JournalHead]:
        """Those of these that the device has signed. Raises: StoreError."""
        genuine = [head for head in heads if self.is_head(head)]
        self.forged += [_shown(head) for head in heads if head not in genuine]
        return genuine

    def _is_archive(self, storage: str, archive: str) -> bool:
        if self._tried >= MOST_TRIED:
            return True
        data = self._read(names.journal_archive(self.device, storage, archive), MOST_BYTES)
        return self._signed(data, archive_number(archive), whole=False)

    def _read(self, name: str, limit: int) -> bytes:
        self._tried += 1
        return self.bridge.call(read_small, self.bridge.store, name, min(limit, MOST_BYTES)) or b""

    def _signed(self, data: bytes, number: int, *, whole: bool) -> bool:
        """Whether it is this file of the device's, by a key that is listed for it; `whole`: to its last byte."""
        reader = ChainReader(io.BytesIO(data), "journal", JOURNAL_NAMESPACE)
        signed = list(reader)
        first = signed[0].record if signed else None
        if not isinstance(first, records.Journal) or (first.device, first.file_number) != (self.device, number):
            return False
        if self.signers is None or (whole and reader.end != len(data)):
            return False
        stamps = (one.record.stamp.utc for one in signed if isinstance(one.record, records.Entry))
        at_s = next((at for stamp in stamps if (at := unix_s(stamp)) is not None), None)
        try:
            self.signers.check(signed[-1].key, JOURNAL_NAMESPACE, (self.device, DEFAULT_PRINCIPAL), at_s)
        except SignatureBad:
            return False
        return True


def _shown(head: names.JournalHead) -> str:
    return f"{names.HEADS}/{head.number:06d}-{head.size:012d}-{head.sha512[:16]}…"
