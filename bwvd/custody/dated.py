"""Journals in a store against the time-stamps over their heads: before when each had come how far, and if it goes on.

A token says that a journal began so before a moment that an authority vouches for. A journal in the store that has come
as far, and does not begin so, is another one.
"""

from __future__ import annotations

from collections.abc import Sequence

from bwvd.custody.journals import CheckedJournal
from bwvd.custody.shelf import JournalShelf, archive_number
from bwvd.evidence.format.digest_list import Head
from bwvd.evidence.format.layout import JOURNAL
from bwvd.evidence.verify.existence import Tokens, beginning_of
from bwvd.evidence.verify.report import Existed, Report


def wanted(tokens: Tokens, storage: str) -> list[tuple[int, str]]:
    """The stamped heads of one storage's journal, as `check_journal` takes them."""
    return [(head.bytes, head.sha512) for head, _ in tokens.heads if head.storage == storage]


def date_journal(report: Report, one: CheckedJournal, shelf: JournalShelf, tokens: Tokens, *, judged: bool) -> None:
    """Say in the report on a journal before when it went how far, and what of it is not as it was stamped.

    Args:
        one: as it was read, with the heads of `wanted` looked for.
        judged: as `roots` were given to `read_tokens`.
    """
    if not judged:
        tokens.note_unjudged(report)
        return
    report.existed = []
    if report.findings:
        return  # of a journal that does not hold nothing more is known
    told: set[Head] = set()
    for head, existed in sorted(tokens.heads, key=lambda token: token[1].utc):
        if head.storage != one.storage:
            continue
        part = beginning_of(head)
        if (head.bytes, head.sha512) in one.facts.seen:
            report.existed.append(Existed(existed.utc, existed.by, existed.token, f"{part}, and all before them"))
        elif head not in told:
            told.add(head)
            when = f"it was so before {existed.utc}, by {existed.by} ({existed.token})"
            if _has_come_to(shelf, head):
                report.altered(JOURNAL, f"{part} are not what they were; {when}")
            else:
                report.note(JOURNAL, f"does not reach to {part}, which have not come yet, or were cut; {when}")


def note_strange(reports: Sequence[Report], journals: Sequence[CheckedJournal], tokens: Tokens) -> None:
    """Say once of each storage that a token vouches for, and whose journal is not in the store, that it is not."""
    if not reports:
        return
    known = {one.storage for one in journals}
    for storage in sorted({head.storage for head, _ in tokens.heads} - known):
        token = next(existed.token for head, existed in tokens.heads if head.storage == storage)
        reports[0].note(token, f"vouches for the journal of storage {storage}, which is not in the store")


def _has_come_to(shelf: JournalShelf, head: Head) -> bool:
    """Whether the store has that file of the journal as far as it went when it was stamped."""
    archives = map(archive_number, shelf.archives)
    newest = shelf.newest()
    reached = (0, 0) if newest is None else (newest[0].number, newest[0].size)
    return head.number <= max(archives, default=0) or (head.number, head.bytes) <= reached
