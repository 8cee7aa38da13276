"""The actor that writes the journal: it groups entries into one append and one sync, and outlives a sick flash."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

import trio

from bwvd.clock import Clock
from bwvd.evidence.flash.volume import Storage
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.journal.witness import Remembered
from bwvd.log import get_logger
from bwvd.service.backoff import Backoff

# Entries that wait. A hand, a clock and a few devices make one a second, so this is a quarter of an hour without a
# flash, and half a megabyte. The oldest are kept: they say how it began. How many were lost is entered.
QUEUE_BOUND = 1024
# Of these, room that only presses and what they did may take: no flood of anything else loses one of them.
PRESS_ROOM = 256
GROUP_BOUND = 256  # entries to one append
BACKOFF = Backoff(first_s=0.5, factor=4.0, limit_s=5.0)  # after an error
ATTEMPTS_AT_THE_END = 3
ROUNDS_AT_THE_END = 3  # for what is put while the last entries are written: a flood must not keep a device from ending

_log = get_logger("journal")


class JournalActor:
    """The journal's queue and its writer.

    Args:
        durable: run after each append that was made durable, with what a witness is to remember of it.
        first: entries that are written before any that is put, however many these are: a start has one for each
            recording that the journal does not know, and none may be lost for want of room in the queue.
        fault: told that the flash does not take the journal (True and why), and that it does again (False, "").

    **Synchronization:** trio's thread.
    """

    def __init__(
        self,
        storage: Storage,
        journal: Journal,
        clock: Clock,
        fault: Callable[[bool, str], None],
        durable: Callable[[Remembered | None], Awaitable[None]] | None = None,
        first: Iterable[Draft] = (),
    ) -> None:
        self._durable = durable
        self._storage = storage
        self._journal = journal
        self._clock = clock
        self._fault = fault
        self._send, self._receive = trio.open_memory_channel[Draft](QUEUE_BOUND)
        self._group: list[Draft] = []  # taken from the queue, not yet durable
        self._ahead = deque(first)
        self._accepted = len(self._ahead)
        self._settled = 0  # of the accepted ones: durable, or given up at the end
        self._progress = trio.Event()
        self._failing = False
        self._last = False
        self._unsaid = 0  # lost entries that no entry tells of yet
        self.lost = 0  # entries for which there was no room, since the start

    @property
    def waiting(self) -> int:
        """Entries that are not durable yet."""
        return self._accepted - self._settled

    def put(self, draft: Draft, *, press: bool = False) -> None:
        """Enter `draft` soon. Never blocks; what finds no room is counted, and so is what comes after `close`.

        press: it is a press, or what came of one, and may take the room that is kept for these.
        """
        if press or self._receive.statistics().current_buffer_used < QUEUE_BOUND - PRESS_ROOM:
            with suppress(trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
                self._send.send_nowait(draft)
                self._accepted += 1
                return
        self.lost += 1
        self._unsaid += 1

    async def flush(self) -> None:
        """Wait until all that was put so far is durable, or was given up at the end."""
        target = self._accepted
        while self._settled < target:
            await self._progress.wait()

    async def drain(self) -> None:
        """At the end: wait until nothing waits any more; a dead flash is tried a few times from here on."""
        self._last = True
        for _ in range(ROUNDS_AT_THE_END):
            if not self.waiting:
                return
            await self.flush()

    def close(self) -> None:
        """No more entries: `run` returns when those that wait are durable, or a dead flash was tried often enough."""
        self._send.close()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write entries until `close`.

        **Cancellation:** what waits is still written, in one attempt.
        """
        task_status.started()
        with self._receive:
            try:
                while await self._take():
                    await self._write()
            finally:
                with trio.CancelScope(shield=True):
                    await self._write_at_the_end()

    async def _take(self) -> bool:
        """Wait for an entry, and take what else is there; False when the queue has ended."""
        if not self._ahead:
            try:
                self._group.append(await self._receive.receive())
            except trio.EndOfChannel:
                return False
        self._top_up()
        return True

    def _top_up(self) -> None:
        with suppress(trio.WouldBlock, trio.EndOfChannel):
            while len(self._group) < GROUP_BOUND:
                self._group.append(self._ahead.popleft() if self._ahead else self._receive.receive_nowait())

    async def _write(self) -> None:
        """Make the group durable, however many attempts that takes; at the end only a few."""
        failures = 0
        while not await self._attempt():
            failures += 1
            if self._ending and failures >= ATTEMPTS_AT_THE_END:
                self._give_up()
                return
            await trio.sleep(BACKOFF.delay_s(failures))
            self._top_up()

    async def _write_at_the_end(self) -> None:
        self._top_up()
        while self._group:
            if not await self._attempt():
                self._give_up()
                return
            self._top_up()

    @property
    def _ending(self) -> bool:
        return self._last or self._receive.statistics().open_send_channels == 0

    async def _attempt(self) -> bool:
        group, unsaid = list(self._group), self._unsaid
        if unsaid:
            group.append(Draft("lost", {"entries": unsaid}, self._clock.read()))
        try:
            latest = await self._storage.run(lambda _: self._append(group))
        except OSError as error:
            if not self._failing:
                self._failing = True
                _log.error("journal_not_written", error=str(error))
                self._fault(True, str(error))
            return False
        self._unsaid -= unsaid
        if self._failing:
            self._failing = False
            _log.info("journal_written_again")
            self._fault(False, "")
        self._settle()
        if self._durable is not None:
            await self._durable(latest)
        return True

    def _append(self, group: list[Draft]) -> Remembered | None:
        """In the storage's job, as all that asks the journal."""
        self._journal.append(group)
        return self._journal.remembered()

    def _give_up(self) -> None:
        """Of all that waits: where the flash takes none of these, it is not asked for each group."""
        with suppress(trio.WouldBlock, trio.EndOfChannel):
            while True:
                self._group.append(self._ahead.popleft() if self._ahead else self._receive.receive_nowait())
        _log.error("journal_entries_given_up", entries=len(self._group))
        self.lost += len(self._group)
        self._settle()

    def _settle(self) -> None:
        self._settled += len(self._group)
        self._group.clear()
        progress, self._progress = self._progress, trio.Event()
        progress.set()
