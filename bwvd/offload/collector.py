"""The collector of receipts: asks the store for each that is due, and hands it to the recorder, which judges it.

It judges nothing and deletes nothing: a receipt for something else, or by a key that may sign none, the recorder
refuses, and the next one is asked for (invariants 8 and 16).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bwvd.clock import Clock
from bwvd.controls.client import Unreachable
from bwvd.log import get_logger
from bwvd.offload.book import ASK_AGAIN, TRY_AGAIN, Book, Standing, Turn
from bwvd.offload.faults import Faults
from bwvd.offload.receipts import HandIn, NoReceiptText, fetch_receipt
from bwvd.store import names
from bwvd.store.errors import ClockSkewed, StoreMisbehaved, StoreRefused
from bwvd.store.ports import EveryPage, Store

MOST_PAGES = 100  # of a listing of our own receipts

_log = get_logger("offload")


@dataclass(slots=True)
class Collector:
    """One device's receipts.

    Args:
        hand_in: gives a receipt to the recorder.
        release: whether receipts are handed in at all, or only looked for.

    **Synchronization:** one task.
    """

    device: str
    clock: Clock
    book: Book
    faults: Faults
    hand_in: HandIn
    release: bool = True
    archives: dict[str, Turn] = field(default_factory=dict)  # of the journal, stored; by name
    _may_list: bool = True  # as far as this process knows

    async def collect(self, store: Store) -> None:
        """Ask for every receipt that is due, and hand in what has come. Raises StoreError, of the store as a whole."""
        await self._list(store)
        while (row := self.book.to_ask_for(self.clock.monotonic_ns())) is not None:
            text = await self._fetch(store, names.receipt(self.device, row.recording), row.turn)
            if text is None:
                continue
            if row.standing is not Standing.RECEIPT:
                row.move(Standing.RECEIPT)
            answer = await self._give("recording", row.recording, text, row.turn)
            if answer is None:
                return
            if answer:
                row.move(Standing.RELEASED)
                self.book.released += 1
        await self._collect_archives(store)

    async def _list(self, store: Store) -> None:
        """Where several receipts are due, ask by one listing which there are; the others are asked for later."""
        now_ns = self.clock.monotonic_ns()
        due = {row.recording: row for row in self.book.due(now_ns) if row.standing is Standing.STORED}
        if len(due) < 2 or not self._may_list:
            return
        folder = names.receipts_folder(self.device)
        there, pages, last = set[str](), 0, names.receipt(self.device, max(due))
        try:
            async for page in EveryPage(store, folder, after=f"{folder}{min(due)}", folders=True):
                there |= {one.name for one in page.objects}
                pages += 1
                if pages == MOST_PAGES or (page.objects and page.objects[-1].name >= last):
                    break
        except ClockSkewed:
            raise
        except (StoreRefused, StoreMisbehaved) as error:
            self._may_list = False
            _log.info("receipts_not_listed", error=str(error))
            return
        if pages < MOST_PAGES:
            for recording, row in due.items():
                if names.receipt(self.device, recording) not in there:
                    row.turn.later(now_ns, ASK_AGAIN)

    async def _collect_archives(self, store: Store) -> None:
        """The oldest archive of the journal goes first; the recorder keeps it while it tells of what is still here."""
        for archive, turn in sorted(self.archives.items()):
            if turn.next_ns > self.clock.monotonic_ns():
                return
            text = await self._fetch(store, names.archive_receipt(self.device, turn.storage, archive), turn)
            if text is None or not await self._give("journal", archive, text, turn):
                return
            del self.archives[archive]

    async def _fetch(self, store: Store, name: str, turn: Turn) -> str | None:
        """The receipt of that name; None if there is none that could be one. Asks for it again later."""
        now_ns = self.clock.monotonic_ns()
        try:
            text = await fetch_receipt(store, name)
        except NoReceiptText as error:
            turn.later(now_ns, TRY_AGAIN, str(error), refused=True)
            return None
        except ClockSkewed:
            raise
        except StoreRefused as error:
            # Whether credentials may not list or not read, AWS says the same of an object that is not there: no fault,
            # as it is the custodian who may not have put it yet. What may not be put either, a put tells.
            turn.later(now_ns, ASK_AGAIN, str(error))
            return None
        if text is None:
            turn.later(now_ns, ASK_AGAIN)
        return text

    async def _give(self, kind: str, name: str, text: str, turn: Turn) -> bool | None:
        """Whether the recorder has let go of it; None if it can't be asked now, and the others needn't be tried."""
        now_ns = self.clock.monotonic_ns()
        if not self.release:
            turn.later(now_ns, TRY_AGAIN)
            return False
        try:
            answer = await self.hand_in(kind, name, text)
        except Unreachable as error:
            self.faults.report("offload:recorder", True, str(error))
            turn.later(now_ns, ASK_AGAIN)
            return None
        self.faults.report("offload:recorder", False)
        if answer.get("retry"):  # the socket's pace: each release leaves a line in the journal
            turn.later(now_ns, ASK_AGAIN)
            return None
        if not answer.get("ok"):
            turn.later(now_ns, TRY_AGAIN, f"{name}: {answer.get('error') or 'refused'}", refused=True)
            return False
        _log.info("released", **{kind: name})
        return True
