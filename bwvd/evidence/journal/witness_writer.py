"""Writer of the witness: tells it how far the journal is, and lets no disk that hangs stop the journal."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import trio

from bwvd.evidence.journal.witness import Remembered, Witness, WitnessLost, WitnessSpoilt, remembering
from bwvd.service.backoff import Backoff

ANSWER_S = 2.0  # for a few kilobytes on the system's disk; one that takes longer hangs, and the journal goes on
BACKOFF = Backoff(first_s=1.0, limit_s=60.0)  # after an error


async def read_witness(witness: Witness | None) -> tuple[list[Remembered], str]:
    """What is remembered, and "" or why that is not known: a start does not wait for a disk that never answers."""
    if witness is None:
        return [], ""
    with trio.move_on_after(ANSWER_S):
        try:
            return await witness.read(), ""
        except WitnessLost as lost:
            return [], str(lost)
    return [], _NO_ANSWER


class WitnessWriter:
    """Keeps the witness at what it was told last.

    Args:
        witness: None = there is none, and nothing is done.
        storages: what it remembers.
        unread: that could not be read at the start; it is before anything is written over it.
        fault: told why the witness does not know what it should; "" = it does.
        late: asked to judge what it remembers where that could be read only later, before it is written over.

    **Synchronization:** trio's thread.
    """

    def __init__(
        self,
        witness: Witness | None,
        storages: Sequence[Remembered],
        fault: Callable[[str], None],
        *,
        unread: bool,
        late: Callable[[Sequence[Remembered]], Awaitable[None]] | None = None,
    ) -> None:
        self._late = late
        self._witness = witness
        self._storages = list(storages)
        self._unread = unread
        self._fault = fault
        self._asked = 0
        self._settled = 0  # of what was asked for: remembered, or overtaken by what is
        self._answers = True  # it did not fail or hang the last time
        self._wake = trio.Event()
        self._progress = trio.Event()

    async def tell(self, latest: Remembered) -> None:
        """Have `latest` remembered. Returns when it is; at once where the witness failed or hangs, and after ANSWER_S
        where it begins to: it is told the newest as soon as it takes it.
        """
        await trio.lowlevel.checkpoint()
        if self._witness is None:
            return
        self._storages = remembering(self._storages, latest)
        self._asked += 1
        wanted = self._asked
        self._wake.set()
        with trio.move_on_after(ANSWER_S):
            while self._settled < wanted and self._answers:
                await self._progress.wait()
            return
        self._answers = False
        self._fault(_NO_ANSWER)

    async def run(self) -> None:
        """Write until cancelled."""
        failures = 0
        while True:
            # What failed is tried again, also where there is no news.
            with trio.move_on_after(BACKOFF.delay_s(failures) if failures else math.inf):
                await self._wake.wait()
            self._wake = trio.Event()
            failures = 0 if await self._write() else failures + 1

    async def _write(self) -> bool:
        witness = self._witness
        assert witness is not None  # noqa: S101  nothing is asked for without one
        upto = self._asked
        try:
            if self._unread:
                await self._read(witness)
                upto = self._asked
            await witness.write(self._storages)
        except WitnessLost as lost:
            self._answers = False
            self._fault(str(lost))
        else:
            self._answers = True
            self._settled = upto
            self._fault("")
        progress, self._progress = self._progress, trio.Event()
        progress.set()
        return self._answers

    async def _read(self, witness: Witness) -> None:
        """What it remembers is not to be lost before it was judged, nor what it remembers of other cards; nonsense is
        written over. Raises WitnessLost."""
        with suppress(WitnessSpoilt):
            storages = await witness.read()
            if self._late is not None:
                await self._late(storages)
            for one in self._storages:
                storages = remembering(storages, one)
            self._storages = storages
        self._unread = False


_NO_ANSWER = f"has not answered for {ANSWER_S:.0f} s"
