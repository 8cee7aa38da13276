"""The device's log: what happened to it, signed line by line, in files that are chained to each other.

`journal.jsonl` is the one in force. When it has grown to its limit it is archived as `journal-000001.jsonl` and so on,
and the next one names its size and digest. A file always begins with a whole, synced `journal` record, because it is
made as `journal.jsonl.new` and renamed. After a power cut one of these is found, and each has one way on:

    journal.jsonl                                      go on behind the last whole record; name what is torn
    journal.jsonl, journal.jsonl.new                   the rotation had not begun: the new file is removed
    journal-N.jsonl, journal.jsonl.new                 it had: the new file is renamed
    journal.jsonl.new, or nothing                      the very first start: begin anew unless the file is whole

After an error nothing is assumed: the next `append` looks at the flash as the next start would. After a failed sync
what the file holds is not known, so it is archived with the digest of what was durable, and a new one is begun.

Whoever has held the card can have put any journal there, signed with a key of his own. So what this device's key has
not signed has no consequence: it releases nothing and counts no number. A file with such lines is archived as it is,
and the next one names them. It is no reason to stay off: the key may have been replaced, and if it was not, the
recordings on the card are still to be brought to their end, and the next ones to be made.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from bwvd.clock import Reading
from bwvd.evidence.flash.new_file import new_file
from bwvd.evidence.flash.pieces import digest, pieces
from bwvd.evidence.flash.volume import File, Volume
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE, Chain, Signer
from bwvd.evidence.format.chain_reader import Problem
from bwvd.evidence.format.chain_tail import Ending, absorb, read_ending
from bwvd.evidence.format.decode import MAX_LINE, Unknown, decode
from bwvd.evidence.format.layout import ARCHIVE, JOURNAL, MANIFEST, NEW_JOURNAL, RECORDINGS, archive_name
from bwvd.evidence.format.recording_id import device_of
from bwvd.evidence.format.records import JournalHead
from bwvd.evidence.format.utc import stamp_at
from bwvd.evidence.journal.totals import JournalTotals, storage_of
from bwvd.evidence.journal.witness import Remembered
from bwvd.log import get_logger

Detail = dict[str, str | int | float | bool | None]

_MOST_FILES = 899_999_999  # a larger number is not ours: behind it there is room to count on in names of nine digits
_STORAGE_ID_BYTES = 16
_ROTATE_AGAIN_BYTES = 65_536  # growth after which a rotation that failed is tried again


_log = get_logger("journal")


@dataclass(frozen=True, slots=True)
class Draft:
    """One thing that happened, before it has a place in the journal."""

    event: str
    detail: Detail
    reading: Reading  # of the clock, when it happened or was heard of


class Journal:
    """The journal on a volume.

    Args:
        limit_bytes: a file is archived when it has this size.

    **Synchronization:** blocking; only inside jobs of the `Storage` that the volume belongs to.
    """

    def __init__(self, volume: Volume, signer: Signer, *, device: str, limit_bytes: int) -> None:
        self._volume = volume
        self._signer = signer
        self._device = device
        self._limit_bytes = limit_bytes
        self._rotate_at = limit_bytes
        self._file: File | None = None  # None: nothing is known of the flash, look first
        self._chain = Chain(signer, JOURNAL_NAMESPACE)
        self._number = 0  # of the file in force
        self._durable: JournalHead | None = None
        self._doubtful: JournalHead | None = None  # a sync failed; this much was durable before
        self._known = JournalTotals()
        self._storage = ""  # the id of the storage; one without has no journal yet
        self.begun = False  # at this start: there was no journal of this device
        self._serials_before = 0  # the largest that was used before the file in force was begun
        self.problems: list[Problem] = []  # what no power cut explains
        self.set_aside: records.Found | None = None  # what was wrong with a file that could not be gone on with

    @classmethod
    def open(cls, volume: Volume, signer: Signer, *, device: str, limit_bytes: int) -> Journal:
        """The journal after a start: put in order, its torn end named, ready to go on.

        Where the flash takes no writes (full, read-only) that is done with the first `append` that succeeds.
        Raises OSError if it can't be read.
        """
        journal = cls(volume, signer, device=device, limit_bytes=limit_bytes)
        try:
            journal._resume()
        except OSError:
            journal._learn()
        return journal

    @property
    def last_serial(self) -> int:
        """The largest serial number of a recording that an entry names; 0 if none does."""
        return self._known.last_serial

    @property
    def released(self) -> dict[str, Detail]:
        """The recordings whose release is entered, with the entry's detail.

        Old entries go with the files that are archived, but never before the recording's folder is gone.
        """
        return {recording: entry.detail for recording, entry in self._known.released.items()}

    def said(self, recording: str, serial: int) -> records.Removed | None:
        """What the manifest of a recording must hold by an entry of this device: its beginning or its end.

        None where there is no such entry. Reads archives only as far back as the recording can have been opened in.
        Raises OSError.
        """
        found = self._known.said.get(recording)
        if found is not None or self._serials_before < serial:
            return found
        for _, name in sorted(self._archives().items(), reverse=True):
            contents = self._read(name)[1]
            if (found := contents.said.get(recording)) is not None:
                return found
            if contents.opening is not None and contents.opening.last_serial < serial:
                return None
        return None

    def remembered(self) -> Remembered | None:
        """What a witness is to remember of the journal; None as long as nothing of it is known to be durable."""
        if self._durable is None:
            return None
        return Remembered(
            storage=self._storage,
            signer=self._signer.public_key,
            number=self._number,
            bytes=self._durable.bytes,
            sha512=self._durable.sha512,
            last_serial=self.last_serial,
            last_closed=self._known.last_closed,
        )

    def continues(self, storages: Sequence[Remembered]) -> Remembered | None:
        """What a witness remembers and the journal does not go on from; None if it goes on, or is of a new storage.

        A storage without a journal that holds recordings of this device, by its key, is none that is new. Blocking;
        raises OSError.
        """
        storages = [one for one in storages if one.signer == self._signer.public_key]  # a new key begins anew
        known_as = next((one for one in storages if one.storage == self._storage), None)
        # One without an entry was begun by a start that was cut before it could say so.
        if known_as is None and (self.begun or not self._known.entries):
            folders = self._volume.names(RECORDINGS)
            return storages[-1] if storages and any(self._is_ours(name) for name in folders) else None
        if known_as is None:
            return None
        name = JOURNAL if known_as.number == self._number else archive_name(known_as.number)
        head = JournalHead(file=name, bytes=known_as.bytes, sha512=known_as.sha512)
        return None if self._leads_to(name) and self._is_there(head) else known_as

    def _is_ours(self, folder: str) -> bool:
        """Whether a recording of this device was begun under its key of today; those of an earlier key tell nothing."""
        if not folder.endswith("/") or device_of(folder) != self._device:
            return False
        try:
            opening = self._first(f"{RECORDINGS}/{folder}{MANIFEST}")
        except OSError:  # recovery names it
            return False
        return isinstance(opening, records.Open) and opening.signer == self._signer.public_key

    def _leads_to(self, name: str) -> bool:
        """Whether the file in force names the one of this name as what came before it, over however many others.

        An earlier file that was put in force again does not, though all that came after it lies beside it.
        """
        at, seen = JOURNAL, {""}
        while at != name:
            opening = self._first(at)
            before = opening.previous if isinstance(opening, records.Journal) else None
            if before is None or before.file in seen or not self._is_there(before):
                return False
            at = before.file
            seen.add(at)
        return True

    def _is_there(self, head: JournalHead) -> bool:
        if head.file not in self._volume.names("") or self._volume.size(head.file) < head.bytes:
            return False
        return self._head_of(head.file, head.bytes).sha512 == head.sha512

    def _first(self, path: str) -> records.Record | Unknown | str:
        return decode(self._volume.read(path, 0, MAX_LINE).partition(b"\n")[0])

    def head(self) -> JournalHead | None:
        """How far the journal is durable; None as long as nothing of it is known to be."""
        return self._durable

    def append(self, drafts: Sequence[Draft]) -> None:
        """Make entries of `drafts`, durable when this returns. One write and one sync for all.

        Raises OSError; then none of them is acknowledged, and `append` may be called again with them. An entry may
        then stand in the files twice, never not at all.
        """
        if self._file is None:
            self._resume()
        if self._chain.size >= self._rotate_at:
            self._try_rotation()
        chain = self._chain
        entries, lines = [], b""
        try:
            for draft in drafts:
                stamp = stamp_at(draft.reading.mono_ns, draft.reading)
                entry = records.Entry(n=chain.n, event=draft.event, stamp=stamp, detail=draft.detail)
                entries.append(entry)
                lines += chain.line(entry)
        except BaseException:
            self.close()  # the chain is ahead of the file: the next `append` looks at the file first
            raise
        self._write(lines)
        for entry in entries:
            self._known.take(entry)

    def close(self) -> None:
        """Let go of the file; everything that was appended is durable."""
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    # --- writing -----------------------------------------------------------------------------------------------------

    def _write(self, lines: bytes) -> None:
        """Append to the file in force; the chain stands behind `lines` already."""
        file = self._file
        assert file is not None  # noqa: S101  every caller has resumed
        try:
            file.write(lines)
        except OSError:
            self.close()
            raise
        try:
            file.sync()
        except OSError:
            self._doubtful = self._durable
            self.close()
            raise
        self._durable = self._chain.head(JOURNAL)

    def _try_rotation(self) -> None:
        """Rotate; where that fails go on with whatever is in force, which may grow beyond its limit."""
        self.close()
        try:
            self._rotate(self._chain.head(JOURNAL))
        except OSError:
            self._resume()
            self._rotate_at = max(self._rotate_at, self._chain.size + _ROTATE_AGAIN_BYTES)

    def _rotate(self, previous: JournalHead, torn: records.Found | None = None) -> str:
        """Archive the file in force and begin the next; returns the archive's name.

        `previous` names what of the old file is vouched for.
        """
        archives = self._archives()
        number = self._number
        while number in archives:  # a journal that was copied here from elsewhere
            number += 1
        archive = archive_name(number)
        found = msgspec.structs.replace(torn, where=archive) if torn else None
        self._begin(number + 1, msgspec.structs.replace(previous, file=archive), found)
        self._volume.rename(JOURNAL, archive)
        self._doubtful = None  # it is archived with the digest of what was durable
        # ext4 and f2fs keep two renames in order; nothing says that they must.
        self._volume.sync_dir("")
        self._put_in_force(number + 1)
        return archive

    def _begin(self, number: int, previous: JournalHead | None, torn: records.Found | None = None) -> None:
        """Write `journal.jsonl.new`, whole and durable."""
        with suppress(FileNotFoundError):
            self._volume.remove(NEW_JOURNAL)
        chain = self._chain = Chain(self._signer, JOURNAL_NAMESPACE)
        record = records.Journal(
            n=0,
            format=records.FORMAT,
            device=self._device,
            signer=self._signer.public_key,
            file_number=number,
            last_serial=self.last_serial,
            previous=previous,
            storage=self._storage,
        )
        lines = chain.line(records.padded(record))
        if torn is not None:
            lines += chain.line(records.TornTail(n=chain.n, found=torn))
        folders = {name.rstrip("/") for name in self._volume.names(RECORDINGS)} if self._known.released else set()
        self._known.released = {name: entry for name, entry in self._known.released.items() if name in folders}
        for entry in self._known.released.values():
            lines += chain.line(msgspec.structs.replace(entry, n=chain.n))
        new_file(self._volume, NEW_JOURNAL, [lines])
        self._volume.sync_dir("")

    def _put_in_force(self, number: int) -> None:
        self._volume.rename(NEW_JOURNAL, JOURNAL)
        self._volume.sync_dir("")
        self._file = self._volume.append(JOURNAL)
        self._number = number
        self._rotate_at = self._limit_bytes
        self._durable = self._chain.head(JOURNAL)
        self._known.said.clear()  # the archives know
        self._serials_before = self.last_serial

    # --- finding out -------------------------------------------------------------------------------------------------

    def _resume(self) -> None:
        """Look at the flash, after a start or an error, and stand behind the last whole record. All or nothing."""
        try:
            self._put_in_order()
        except BaseException:
            self.close()
            raise

    def _put_in_order(self) -> None:
        names = self._volume.names("")
        if NEW_JOURNAL in names and JOURNAL not in names:
            ending, contents = self._read(NEW_JOURNAL)
            if contents.opening is not None or ending.foreign_at is not None:
                self._volume.rename(NEW_JOURNAL, JOURNAL)
                self._volume.sync_dir("")
                names.append(JOURNAL)
        elif NEW_JOURNAL in names:
            self._volume.remove(NEW_JOURNAL)
        if JOURNAL not in names:
            self._start_anew()
        elif self._doubtful is not None:
            self._rotate(self._doubtful, self._rest(self._doubtful.bytes, "unsynced"))
        else:
            self._stand()

    def _start_anew(self) -> None:
        archives = self._archives()
        if not archives:
            self._name_storage()
            self._begin(1, None)
        else:
            newest = archives[max(archives)]
            self._learn_archives()
            self._name_storage()
            self._begin(max(archives) + 1, self._head_of(newest, self._volume.size(newest)))
        self._put_in_force(max(archives, default=0) + 1)

    def _name_storage(self) -> None:
        """Give the storage an id if no journal of this device's has."""
        if not self._storage:
            self._storage, self.begun = new_storage_id(), True

    def _set_aside(self, offset: int, what: str) -> None:
        """Archive the file in force, whole as it is, and name in the next one what lies in it behind `offset`."""
        self._learn_archives()
        self._name_storage()
        self._number = max(self._archives(), default=0) + 1
        whole = self._head_of(JOURNAL, self._volume.size(JOURNAL))
        found = self._rest(offset, what)
        archive = self._rotate(whole, found)
        if found is not None:
            self.set_aside = msgspec.structs.replace(found, where=archive)
            _log.error("journal_set_aside", file=archive, what=what, offset=offset, size=found.bytes)

    def _stand(self) -> None:
        ending, contents = self._read(JOURNAL)
        self._known.join(contents)
        self._serials_before = contents.opening.last_serial if contents.opening is not None else self.last_serial
        self.problems = ending.problems
        if contents.opening is not None:
            self._storage = storage_of(contents.opening)
        if ending.foreign_at is not None:
            self._set_aside(ending.foreign_at, "other_key")
            return
        if contents.opening is None:
            # Not even its first record holds: no power cut does that. It is kept, and named.
            self._set_aside(0, "unreadable")
            return
        number = contents.opening.file_number
        self._number = number if 1 <= number <= _MOST_FILES else max(self._archives(), default=0) + 1
        self._rotate_at = self._limit_bytes
        self._chain = Chain(self._signer, JOURNAL_NAMESPACE)
        absorb(self._chain, self._volume, JOURNAL, ending)
        lines = b"\n" if ending.newline_missing else b""
        if ending.named is not None:
            lines += self._chain.line(records.TornTail(n=self._chain.n, found=ending.named))
        self._durable = self._doubtful = None
        self._file = self._volume.append(JOURNAL)
        # Synced even if nothing is added: what a killed process has written is read, but not yet durable.
        self._durable = self._head_of(JOURNAL, min(ending.end, ending.size))
        try:
            self._write(lines)
        except OSError:
            self._durable = None
            raise
        self._volume.sync_dir("")

    def _learn(self) -> None:
        """Read what can be read where nothing can be written."""
        names = self._volume.names("")
        found = [self._read(name)[1] for name in (JOURNAL, NEW_JOURNAL) if name in names]
        for contents in found:
            self._known.join(contents)
        if all(contents.opening is None for contents in found):
            self._learn_archives()

    def _learn_archives(self) -> None:
        """What the newest archive knows that is ours: it repeats all that counts of those before it."""
        for _, name in sorted(self._archives().items(), reverse=True):
            contents = self._read(name)[1]
            self._known.join(contents)
            if contents.opening is not None:
                self._storage = self._storage or storage_of(contents.opening)
                return

    def _read(self, name: str) -> tuple[Ending, JournalTotals]:
        return read_ending(self._volume, name, name, JOURNAL_NAMESPACE, JournalTotals, key=self._signer.public_key)

    def _archives(self) -> dict[int, str]:
        found = ((ARCHIVE.fullmatch(name), name) for name in self._volume.names(""))
        return {number: name for match, name in found if match and (number := int(match[1])) <= _MOST_FILES}

    def _head_of(self, name: str, size: int) -> JournalHead:
        sha512 = digest(hashlib.sha512(), pieces(self._volume, name, 0, size))
        return JournalHead(file=name, bytes=size, sha512=sha512)

    def _rest(self, offset: int, what: str) -> records.Found | None:
        """What lies in the file in force behind `offset`; None if nothing does."""
        size = self._volume.size(JOURNAL)
        if size <= offset:
            return None
        sha256 = digest(hashlib.sha256(), pieces(self._volume, JOURNAL, offset, size))
        return records.Found(what=what, where=JOURNAL, offset=offset, bytes=size - offset, sha256=sha256)


def new_storage_id() -> str:
    """An id by which one storage is told apart from all others."""
    return os.urandom(_STORAGE_ID_BYTES).hex()
