"""Release of a journal's archive for which a receipt is held: the policy by which a journal does not grow for ever.

A file of the journal may go when a custodian has taken it over and says so, signed, and nothing on the storage needs
it any more. It must be an archive, not the file in force; the oldest that is here, so that what is left has no hole; to
the byte what the receipt says, and what the next file says of it. And no recording may be here that was begun or ended
while it was in force, for then it is what that one is held against. Then comes the journal's `archive_released` entry
(`handing_in`), then the file goes. The next file goes on naming it by its digest, and every later one repeats the
entry, so that the chain holds across what is gone, and a verifier finds it taken over, not missing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bwvd import hashing
from bwvd.evidence.flash.pieces import digest, pieces
from bwvd.evidence.flash.steps import Steps, digest_steps
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE
from bwvd.evidence.format.chain_tail import ending_steps
from bwvd.evidence.format.decode import Unknown
from bwvd.evidence.format.file_names import harmless
from bwvd.evidence.format.layout import JOURNAL, MANIFEST, RECORDINGS
from bwvd.evidence.format.recording_id import serial_of
from bwvd.evidence.format.records import JournalHead
from bwvd.evidence.journal.files import archive_number, first_record, following, is_there
from bwvd.evidence.journal.journal import Journal
from bwvd.evidence.journal.totals import ARCHIVE_RELEASED, Detail
from bwvd.evidence.release.handing_in import AlreadyReleased, HandingIn, ReleaseRefused
from bwvd.evidence.release.receipt import ArchiveReceipt


@dataclass(slots=True)
class _Recordings:
    """The recordings that a file of the journal names (a fold)."""

    names: set[str] = field(default_factory=set)

    def take(self, record: records.Record | Unknown) -> None:
        if isinstance(record, records.Entry) and isinstance(name := record.detail.get("recording"), str):
            self.names.add(name)


class ArchiveRelease(HandingIn[ArchiveReceipt]):
    """The release of one archive. Args, **Synchronization:** as `HandingIn`."""

    EVENT = ARCHIVE_RELEASED

    def _judge(self) -> Steps[Detail]:
        head = self._known()
        yield from self._check_content(head)
        yield from self._check_recordings()
        return {
            "file": self._receipt.journal,
            "bytes": head.bytes,
            "sha512": head.sha512,
            "file_sha512": self._receipt.sha512,
        }

    def _remove(self) -> Steps[None]:
        _remove(self._volume, self._receipt.journal, self._receipt.sha512)
        yield

    def _known(self) -> JournalHead:
        """What the next file says of this one, if it is the oldest archive here."""
        name = self._receipt.journal
        if name == JOURNAL:
            raise ReleaseRefused(f"{name} is in force")
        if not archive_number(name):
            raise ReleaseRefused(f"the receipt is for {name[:80]!r}, which is no archive of the journal")
        self._require_own()
        if name not in self._volume.names(""):
            released = self._journal.latest(ARCHIVE_RELEASED)
            if released is not None and archive_number(name) <= archive_number(str(released.get("file"))):
                raise AlreadyReleased(f"{name} is not here any more: it has been released")
            raise ReleaseRefused(f"{name} is not here")
        head = following(self._volume, name)
        if head is None:
            raise ReleaseRefused(f"no later file of the journal names {name}; it stays")
        opening = first_record(self._volume, name)
        before = opening.previous if isinstance(opening, records.Journal) else None
        if before is not None and before.file in self._volume.names(""):
            raise ReleaseRefused(f"{before.file} comes before {name}, and goes first")
        return head

    def _check_content(self, head: JournalHead) -> Steps[None]:
        name = self._receipt.journal
        whole = yield from digest_steps(hashing.sha512(), self._volume, name)
        if whole != self._receipt.sha512:
            raise ReleaseRefused(f"the receipt is for another file than the {name} that is here")
        vouched = ""
        if self._volume.size(name) >= head.bytes:
            vouched = yield from digest_steps(hashing.sha512(), self._volume, name, 0, head.bytes)
        if vouched != head.sha512:
            raise ReleaseRefused(f"{name} has been altered: the next file says so; it stays")

    def _check_recordings(self) -> Steps[None]:
        """No recording is here that was begun or ended while the file was in force."""
        name = self._receipt.journal
        _, named = yield from ending_steps(self._volume, name, name, JOURNAL_NAMESPACE, _Recordings)
        here = {folder.rstrip("/"): serial_of(folder) for folder in self._volume.names(RECORDINGS)}
        for recording in here:
            if harmless(recording) in named.names:
                raise ReleaseRefused(f"{harmless(recording)} is still here, and {name} says how it went; it stays")
        for recording in sorted(here, key=lambda folder: here[folder] or 0):
            yield
            opening = first_record(self._volume, f"{RECORDINGS}/{recording}/{MANIFEST}")
            if not isinstance(opening, records.Open) or opening.journal is None:
                continue
            # Its entry may have come as late as in the next file; what began after it names a later one too.
            if not is_there(
                self._volume,
                records.JournalHead(file=name, bytes=opening.journal.bytes, sha512=opening.journal.sha512),
            ):
                return
            raise ReleaseRefused(f"{harmless(recording)} is still here, and began with {name}; it stays")


def finish_archive_release(volume: Volume, journal: Journal) -> list[str]:
    """At start-up: remove the archive that the journal says is released and a power cut has kept here.

    Returns a line if it could not be. Blocking. Raises OSError if the storage can't be read.
    """
    detail = journal.latest(ARCHIVE_RELEASED)
    name = str(detail.get("file")) if detail is not None else ""
    if detail is None or not archive_number(name) or name not in volume.names(""):
        return []
    try:
        _remove(volume, name, str(detail.get("file_sha512")))
    except (ReleaseRefused, OSError) as error:
        return [f"{name} is released, but not removed: {error}"]
    return []


def _remove(volume: Volume, name: str, sha512: str) -> None:
    if digest(hashing.sha512(), pieces(volume, name)) != sha512:
        raise ReleaseRefused("another file than the one that was released; it stays")
    volume.remove(name)
    volume.sync_dir("")
