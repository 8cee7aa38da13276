"""Refusals of a start that fails: a press that was made while it ran is entered where the journal can be opened."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from bwvd.clock import Clock
from bwvd.evidence.flash.volume import Storage, Volume
from bwvd.evidence.format.chain import Signer
from bwvd.evidence.journal.events import draft_of
from bwvd.evidence.journal.journal import Journal
from bwvd.messages import Event, Pressed


async def enter_refusals(
    storage: Storage, signer: Signer, clock: Clock, events: Sequence[Event], *, device: str, journal_bytes: int
) -> None:
    """Enter the presses among `events`, as far as the flash takes them.

    A journal that is new at this start is left alone: an entry would make it one that was there before, and the next
    start has still to find out what became of the last one.
    """
    reading = clock.read()
    presses = [event for event in events if isinstance(event, Pressed)]
    drafts = [draft for event in presses if (draft := draft_of(event, reading, private=True)) is not None]

    def enter(volume: Volume) -> None:
        journal = Journal.open(volume, signer, device=device, limit_bytes=journal_bytes)
        try:
            if not journal.is_new:
                journal.append(drafts)
        finally:
            journal.close()

    if drafts:
        with suppress(OSError):
            await storage.run(enter)
