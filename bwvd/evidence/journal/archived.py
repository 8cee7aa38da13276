"""What archives of the journal say of recordings, and whether all of them are there to say it. Blocking; reads only.

An end is entered once, in one file. Whoever takes that file away, or changes a bit of it before the entry, could cut
the end off its recording too, and what is left would look like a power cut's doing. So the files are asked in their
row, from the newest back, each by the digest that the next one has of it. Where one is wanting, or is not what it was,
nobody can tell whether the recording had come to an end, and that is the answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format import records
from bwvd.evidence.format.layout import JOURNAL, RECORDINGS
from bwvd.evidence.format.records import JournalHead
from bwvd.evidence.journal.files import archive_number, archives, contents_of, first_record, is_there
from bwvd.evidence.journal.totals import ENDS, UNKNOWN

WANTING = records.Removed(event=UNKNOWN, segments=0)


@dataclass(frozen=True, slots=True)
class _File:
    """What one archive says."""

    said: dict[str, records.Removed]  # by recording, of those that are here
    serials_before: float  # the largest number that was used before it
    previous: JournalHead | None  # what it names as the file before, by whatever key


class Archived:
    """Asks the archives. Each is read once: whoever asks for one recording after the other, as after a change of the
    key, must not read megabytes for each.

    Args:
        key: the device's; what another one has signed says nothing.
    """

    def __init__(self, volume: Volume, key: str) -> None:
        self._volume = volume
        self._key = key
        self._files: dict[str, _File] = {}
        self._as_named: dict[JournalHead, bool] = {}

    def said(self, recording: str, serial: int, released: JournalHead | None) -> records.Removed | None:
        """What the manifest of a recording must hold; None if no file of the row says anything of it.

        WANTING where a file is wanting that may have told of its end. Reads only as
        far back as the recording can have been opened in.

        released: the newest archive that was taken over; it and older ones are not missing. Raises OSError.
        """
        left = [name for _, name in sorted(archives(self._volume).items(), reverse=True)]
        named = self._named_by_the_one_in_force()
        whole = True
        while left:
            of_row = named is not None and named.file in left
            name = named.file if named is not None and of_row else left[0]
            if named is not None and not _is_released(named, released):
                whole = whole and of_row and self._is_as_named(named)
            left.remove(name)
            file = self._read(name)
            found = file.said.get(recording)
            if found is not None and (whole or found.event in ENDS):
                return found
            if found is not None or file.serials_before < serial:
                return None if whole else WANTING
            named = file.previous if of_row else None
        return WANTING if not whole or (named is not None and not _is_released(named, released)) else None

    def _named_by_the_one_in_force(self) -> JournalHead | None:
        if JOURNAL not in self._volume.names(""):
            return None  # it could not be begun: there is no room, or nothing can be written
        opening = first_record(self._volume, JOURNAL)
        return opening.previous if isinstance(opening, records.Journal) else None

    def _is_as_named(self, named: JournalHead) -> bool:
        if named not in self._as_named:
            self._as_named[named] = is_there(self._volume, named)
        return self._as_named[named]

    def _read(self, name: str) -> _File:
        if (known := self._files.get(name)) is None:
            contents = contents_of(self._volume, name, self._key)[1]
            here = {folder.rstrip("/") for folder in self._volume.names(RECORDINGS)}
            said = {recording: removed for recording, removed in contents.said.items() if recording in here}
            before = math.inf if contents.opening is None else contents.opening.last_serial
            opening = first_record(self._volume, name)
            previous = opening.previous if isinstance(opening, records.Journal) else None
            known = self._files[name] = _File(said, before, previous)
        return known


def _is_released(named: JournalHead, released: JournalHead | None) -> bool:
    """Older ones went before the newest that was taken over."""
    return released is not None and archive_number(named.file) <= archive_number(released.file)
