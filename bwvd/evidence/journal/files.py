"""Files of a journal on the flash: the archives by their numbers, heads, contents. Blocking; writes nothing."""

from __future__ import annotations

from bwvd import hashing
from bwvd.evidence.flash.pieces import digest, pieces
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE
from bwvd.evidence.format.chain_tail import Ending, read_ending
from bwvd.evidence.format.decode import MAX_LINE, Unknown, decode
from bwvd.evidence.format.layout import ARCHIVE, JOURNAL
from bwvd.evidence.format.records import JournalHead
from bwvd.evidence.journal.totals import ASKED_FOR, JournalTotals

MOST_FILES = 899_999_999  # a larger number is not ours: behind it there is room to count on in names of nine digits


def archive_number(name: str) -> int:
    """The number in an archive's name; 0 if it is no such name, or no journal gets so far."""
    found = ARCHIVE.fullmatch(name)
    number = int(found[1]) if found else 0
    return number if number <= MOST_FILES else 0


def archives(volume: Volume) -> dict[int, str]:
    """The archived files by number. Raises OSError."""
    return {number: name for name in volume.names("") if (number := archive_number(name))}


def head_of(volume: Volume, name: str, size: int) -> JournalHead:
    """The first `size` bytes of a file, by their digest. Raises OSError, also if it is shorter."""
    return JournalHead(file=name, bytes=size, sha512=digest(hashing.sha512(), pieces(volume, name, 0, size)))


def is_there(volume: Volume, head: JournalHead) -> bool:
    """Whether a file of that name begins with what `head` says. Raises OSError."""
    if head.file not in volume.names("") or volume.size(head.file) < head.bytes:
        return False
    return head_of(volume, head.file, head.bytes).sha512 == head.sha512


def contents_of(volume: Volume, name: str, key: str) -> tuple[Ending, JournalTotals]:
    """Where a file of the journal ends, and what the entries add up to that `key` has signed. Raises OSError."""
    ending, contents = read_ending(volume, name, name, JOURNAL_NAMESPACE, JournalTotals, key=key, asked_for=ASKED_FOR)
    contents.entries += ending.skipped
    return ending, contents


def following(volume: Volume, name: str) -> JournalHead | None:
    """What the next file of the journal says of the archive `name`; None if none leads to it. Raises OSError."""
    there, at, seen = volume.names(""), JOURNAL, {""}
    while at in there:
        opening = first_record(volume, at)
        before = opening.previous if isinstance(opening, records.Journal) else None
        if before is None or before.file in seen:
            return None
        if before.file == name:
            return before
        at = before.file
        seen.add(at)
    return None


def first_record(volume: Volume, path: str) -> records.Record | Unknown | str:
    """The first line of a file of signed lines, decoded; its signature is not looked at. Raises OSError."""
    return decode(volume.read(path, 0, MAX_LINE).partition(b"\n")[0])
