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

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import msgspec

from bwvd import hashing
from bwvd.clock import Reading
from bwvd.evidence.flash.new_file import new_file
from bwvd.evidence.flash.pieces import digest, pieces
from bwvd.evidence.flash.volume import File, Volume
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE, Chain, Signer
from bwvd.evidence.format.chain_reader import Problem
from bwvd.evidence.format.chain_tail import Ending, absorb
from bwvd.evidence.format.layout import JOURNAL, NEW_JOURNAL, RECORDINGS, archive_name
from bwvd.evidence.format.records import JournalHead
from bwvd.evidence.format.utc import stamp_at
from bwvd.evidence.journal.archived import Archived
from bwvd.evidence.journal.continuity import not_continued
from bwvd.evidence.journal.files import MOST_FILES, archives, contents_of, first_record, head_of
from bwvd.evidence.journal.totals import ARCHIVE_RELEASED, NEWEST, Detail, JournalTotals, newest_of, storage_of
from bwvd.evidence.journal.witness import Remembered
from bwvd.log import get_logger

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
        self._named = False  # at this start: there was no journal of this device
        self._archived = Archived(volume, signer.public_key)
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
    def newest(self) -> records.Before | None:
        """The recording of the largest number that has an end by an entry, however long ago that was made."""
        detail = self.latest(NEWEST)
        return None if detail is None else newest_of(detail)

    @cached_property
    def is_new(self) -> bool:
        """The storage had no journal of this device before this start, or (a start was cut) one without an entry."""
        return self._named or not self._known.entries

    @property
    def released(self) -> dict[str, Detail]:
        """The recordings whose release is entered, with the entry's detail.

        Old entries go with the files that are archived, but never before the recording's folder is gone.
        """
        return {recording: entry.detail for recording, entry in self._known.released.items()}

    def latest(self, event: str) -> Detail | None:
        """The detail of the last entry of a kind that every file repeats (`totals.LATEST`); None if there is none."""
        entry = self._known.latest.get(event)
        return None if entry is None else entry.detail

    def said(self, recording: str, serial: int) -> records.Removed | None:
        """What the manifest of a recording must hold by an entry of this device: its beginning or its end.

        None where there is no such entry; `archived.WANTING` where it may be in a file that is gone or not whole.
        Raises OSError.
        """
        found = self._known.said.get(recording)
        if found is not None or self._serials_before < serial:
            return found
        if (newest := self.newest) is not None and newest.recording == recording:
            return records.Removed(event=newest.event, segments=newest.segments, manifest_sha512=newest.manifest_sha512)
        return self._archived.said(recording, serial, self._archive_released())

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

        Blocking; raises OSError.
        """
        return not_continued(
            self._volume,
            storages,
            storage=self._storage,
            new=self.is_new,
            number=self._number,
            device=self._device,
            signer=self._signer.public_key,
            released=self._archive_released(),
            head=self._durable,
        )

    def is_forgotten(self, storages: Sequence[Remembered]) -> bool:
        """Whether a witness that remembers storages has no word of this one, which is not new."""
        return bool(storages) and not self.is_new and all(one.storage != self._storage for one in storages)

    def _archive_released(self) -> JournalHead | None:
        match self.latest(ARCHIVE_RELEASED):
            case {"file": str(file), "bytes": int(size), "sha512": str(sha512)}:
                return JournalHead(file=file, bytes=size, sha512=sha512)
            case _:
                return None

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
        there = archives(self._volume)
        number = self._number
        while number in there:  # a journal that was copied here from elsewhere
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
        for entry in (*self._known.released.values(), *self._known.latest.values()):
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
        there = archives(self._volume)
        if not there:
            self._name_storage()
            self._begin(1, None)
        else:
            newest = there[max(there)]
            self._learn_archives()
            self._name_storage()
            self._begin(max(there) + 1, head_of(self._volume, newest, self._volume.size(newest)))
        self._put_in_force(max(there, default=0) + 1)

    def _name_storage(self) -> None:
        """Give the storage an id if no journal of this device's has."""
        if not self._storage:
            self._storage, self._named = new_storage_id(), True

    def _set_aside(self, offset: int, what: str) -> None:
        """Archive the file in force, whole as it is, and name in the next one what lies in it behind `offset`."""
        self._learn_archives()
        opening = first_record(self._volume, JOURNAL)
        if not self._storage and isinstance(opening, records.Journal):
            # By whatever key: it is still the same card, of which the witness may remember more than lies here.
            self._storage = opening.storage
        self._name_storage()
        there = archives(self._volume)
        number = opening.file_number if isinstance(opening, records.Journal) else 0
        self._number = number if 1 <= number <= MOST_FILES and number not in there else max(there, default=0) + 1
        whole = head_of(self._volume, JOURNAL, self._volume.size(JOURNAL))
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
        self._number = number if 1 <= number <= MOST_FILES else max(archives(self._volume), default=0) + 1
        self._rotate_at = self._limit_bytes
        self._chain = Chain(self._signer, JOURNAL_NAMESPACE)
        absorb(self._chain, self._volume, JOURNAL, ending)
        whole = ending.end == ending.size and not ending.newline_missing
        durable = self._chain.head(JOURNAL) if whole else head_of(self._volume, JOURNAL, min(ending.end, ending.size))
        lines = b"\n" if ending.newline_missing else b""
        if ending.named is not None:
            lines += self._chain.line(records.TornTail(n=self._chain.n, found=ending.named))
        self._durable = self._doubtful = None
        self._file = self._volume.append(JOURNAL)
        # Synced even if nothing is added: what a killed process has written is read, but not yet durable.
        self._durable = durable
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
        for _, name in sorted(archives(self._volume).items(), reverse=True):
            contents = self._read(name)[1]
            self._known.follow(contents)
            if contents.opening is not None:
                self._storage = self._storage or storage_of(contents.opening)
                return

    def _read(self, name: str) -> tuple[Ending, JournalTotals]:
        return contents_of(self._volume, name, self._signer.public_key)

    def _rest(self, offset: int, what: str) -> records.Found | None:
        """What lies in the file in force behind `offset`; None if nothing does."""
        size = self._volume.size(JOURNAL)
        if size <= offset:
            return None
        sha256 = digest(hashing.sha256(), pieces(self._volume, JOURNAL, offset, size))
        return records.Found(what=what, where=JOURNAL, offset=offset, bytes=size - offset, sha256=sha256)


def new_storage_id() -> str:
    """An id by which one storage is told apart from all others."""
    return os.urandom(_STORAGE_ID_BYTES).hex()
