"""Background work: facts and verdicts of what is on the screen, found while the page is shown already."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

import trio

from bwvd.desk.facts import Listed, Memory, Row
from bwvd.desk.source import Found, Key
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.verify.files import Progress
from bwvd.evidence.verify.report import Report
from bwvd.store.errors import StoreError
from bwvd.text import clean

FAILURES = (EvidenceError, StoreError, OSError)  # of one recording, or of one source: the others go on


PAUSE_S = 1.0  # for a page that waits for its first frame


class Pause:
    """A pause that what reads behind the pages makes, while one of them waits for its first frame.

    **Synchronization:** `begin` and `end` from the thread that has made it; `wait` from any, never holding up that one.
    """

    def __init__(self) -> None:
        self._over = threading.Event()
        self._over.set()
        self._until_s = 0.0  # time.monotonic
        self._own = threading.get_ident()

    def begin(self) -> None:
        """For a second at most: who has asked may be gone."""
        self._until_s = time.monotonic() + PAUSE_S
        self._over.clear()

    def end(self) -> None:
        self._over.set()

    def wait(self, _bytes: int = 0) -> None:
        """Wait until it is over. Blocking."""
        left_s = self._until_s - time.monotonic()
        if left_s > 0 and threading.get_ident() != self._own:
            self._over.wait(left_s)


class Background:
    """Reads and verifies what pages have asked for last, one recording after the other.

    The newest page comes first, and what only an older one asked for is dropped: it asks again when it is looked at.

    **Synchronization:** trio's thread.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.pause = Pause()
        self.failed: dict[Key, str] = {}  # why there is no verdict, in one line
        self._rows: list[Row] = []
        self._first: dict[Key, Found] = {}  # recordings that are looked at
        self._anew: set[Key] = set()  # of those: what a person wants to be verified again
        self._news = trio.Event()
        self._locks: dict[Key, trio.Lock] = {}

    def want(self, rows: Iterable[Row]) -> None:
        """Find out what is not known of these rows, in their order."""
        self._rows = [row for row in rows if self.lacks(row)]
        if self._rows:
            self._news.set()

    def lacks(self, row: Row) -> bool:
        """Whether something of a row is not known and may still be found out."""
        key = row.key
        if key in self.failed:
            return False
        return not (row.verdict or key in self.memory.verdicts) or self._lacks_facts(row)

    def known(self, found: Found) -> Report | None:
        """The report on a recording that is looked at; None if there is none yet: then it is verified next."""
        if found.key in self._anew:
            return None
        if (report := self.memory.reports.get(found.key)) is None and found.key not in self.failed:
            self._first[found.key] = found
            self._news.set()
        return report

    def again(self, found: Found) -> None:
        """Verify a recording next, whatever is known of it; until then nothing is."""
        self._anew.add(found.key)
        self.memory.verdicts.pop(found.key, None)
        self.failed.pop(found.key, None)
        self._first[found.key] = found
        self._news.set()

    async def run(self) -> None:
        """Work until it is cancelled."""
        while True:
            if not await self._step():
                self._news = trio.Event()
                await self._news.wait()

    async def _step(self) -> bool:
        """Find out one thing; False where there is nothing to find out."""
        found = next(iter(self._first.values()), None)
        lacking = [] if found is not None else [row for row in self._rows if self.lacks(row)]
        row = next((row for row in lacking if self._lacks_facts(row)), lacking[0] if lacking else None)
        if found is None and row is None:
            return False
        try:
            if found is not None:
                del self._first[found.key]
                await self.report(found, self.pause.wait, again=found.key in self._anew)
            elif row is not None and self._lacks_facts(row):
                source: Listed = row.found.source  # type: ignore[assignment]  # what has given rows
                self.memory.facts[row.key] = await source.complete(row.found) or row.facts
            elif row is not None:
                await self.report(row.found, self.pause.wait)
        except FAILURES as error:
            self.failed[found.key if found is not None else row.key] = clean(str(error))  # type: ignore[union-attr]  # one of both is there
        finally:
            if found is not None:
                self._anew.discard(found.key)
        return True

    def _lacks_facts(self, row: Row) -> bool:
        return not row.facts.whole and row.key not in self.memory.facts

    async def report(self, found: Found, progress: Progress | None = None, *, again: bool = False) -> Report:
        """The report on a recording: the one that is known, or that of a verification now.

        Args:
            again: verify it in any case.

        Raises: StoreError.
        """
        key = found.key
        async with self._locks.setdefault(key, trio.Lock()):
            if again or key not in self.memory.reports:
                self.memory.take(key, await found.source.verify(found, progress))
                self.failed.pop(key, None)
            return self.memory.reports[key]
