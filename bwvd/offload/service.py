"""The carrier as a service: waits for power and for the store, makes rounds, and tells how things stand."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import trio

from bwvd.clock import NS, Clock
from bwvd.log import get_logger
from bwvd.offload.book import NEEDS_A_PERSON, Standing
from bwvd.offload.carrier import Carrier
from bwvd.offload.faults import Faults
from bwvd.offload.power_gate import PowerGate
from bwvd.offload.stamping import LOOK_EVERY_S as LOOK_FOR_CLOSED_S
from bwvd.offload.stamping import Stamping
from bwvd.offload.state import WRITE_EVERY_S, Sending, State, Waiting, Witness, remove_state, write_state
from bwvd.service.backoff import Backoff
from bwvd.service.notify import Notifier
from bwvd.service.pulse import Ledger, Pulse, Stuck
from bwvd.service.watchdog import run_watchdog
from bwvd.store.errors import LockMissing, StoreError
from bwvd.store.ports import Lock, Store, StoreFacts

LOOK_EVERY_S = 10.0  # at the flash, while there is nothing to do
TRY_STORE = Backoff(first_s=5.0, limit_s=300.0)
# The recorder reads a recording of hours before it lets go of it, and says nothing meanwhile; a piece takes less.
PROGRESS_WITHIN_S = 900.0
STAMPED_WITHIN_S = 7200.0  # a first round over years of recordings, with authorities that hang
TELL_EVERY_S = 1.0
CLOSE_WITHIN_S = 5.0

_log = get_logger("offload")


@dataclass(slots=True)
class Service:
    """What goes on beside the rounds.

    Args:
        address: of the store, as it is shown; "" = nothing is carried, only stamped.
        connect: opens the store. Raises StoreError.
        manual: nothing is to be done but to say so: `bwvd offload --once` does the work.
        state: the file; None = none is written.
        stamping: asks authorities for time-stamps, whatever is carried, and by which power; None = nobody is asked.
    """

    address: str
    connect: Callable[[], Awaitable[Store]]
    carrier: Carrier
    clock: Clock
    faults: Faults
    gate: PowerGate
    news: News
    manual: bool = False
    state: Path | None = None
    stamping: Stamping | None = None
    notifier: Notifier = field(default_factory=lambda: Notifier(None))
    _doing: str = "idle"
    _losses: int = 0

    async def run(self) -> None:
        """Work until cancelled. Whatever is wrong with store, flash or recorder is a fault, and tried again."""
        ledger = Ledger(self.clock.monotonic_ns)
        with ledger.pulse("carrier", vital=True) as pulse:
            self.news.pulse = pulse
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.gate.run)
                nursery.start_soon(run_watchdog, self.notifier, ledger, self._stuck)
                nursery.start_soon(self._tell)
                if self.stamping is not None:
                    nursery.start_soon(self._stamp, self.stamping, ledger)
                self.notifier.ready(self._doing)
                await self._work(pulse)

    def _stuck(self, one: Stuck, active: bool) -> None:
        if active:
            _log.error("stuck", task=one.name, overdue_s=round(one.overdue_s, 1))

    async def _stamp(self, stamping: Stamping, ledger: Ledger) -> None:
        """A request is some hundred bytes, so it waits neither for the power nor for the store."""
        with ledger.pulse("stamping") as pulse:
            while True:
                pulse.busy(STAMPED_WITHIN_S)
                await stamping.round()
                pulse.idle()
                await trio.sleep(LOOK_FOR_CLOSED_S)

    async def _work(self, pulse: Pulse) -> None:
        if self.manual or not self.address:
            self._now("manual" if self.address else "no store")
            await trio.sleep_forever()
        while True:
            if not self.gate.is_open:
                self._now("waiting for external power")
                pulse.idle()
                await self.gate.wait_open()
            async with self.gate.while_open():
                await self._with_store(pulse)

    async def _with_store(self, pulse: Pulse) -> None:
        """From opening the store to its loss, and the wait after that."""
        store: Store | None = None
        try:
            pulse.busy(PROGRESS_WITHIN_S)
            self._now("waiting for the store")
            store = await self.connect()
            lock_trouble(await store.facts(), self.faults)
            await self._rounds(store, pulse)
        except StoreError as error:
            self.faults.report("offload:lock" if isinstance(error, LockMissing) else "offload:store", True, str(error))
        finally:
            if store is not None:
                with trio.move_on_after(CLOSE_WITHIN_S) as scope:
                    scope.shield = True
                    await store.aclose()
        self._losses += 1
        self._now("waiting for the store")
        pulse.idle()
        await trio.sleep(TRY_STORE.delay_s(self._losses))

    async def _rounds(self, store: Store, pulse: Pulse) -> None:
        while True:
            pulse.busy(PROGRESS_WITHIN_S)
            self._now("carrying")
            await self.carrier.round(store)
            self._losses = 0
            self.faults.report("offload:store", False)
            self._now("idle")
            pulse.idle()
            due_ns = self.carrier.book.next_ns()
            wait_s = LOOK_EVERY_S
            if due_ns is not None:
                wait_s = min(wait_s, max(0.1, (due_ns - self.clock.monotonic_ns()) / NS))
            await trio.sleep(wait_s)

    def _now(self, doing: str) -> None:
        if doing != self._doing:
            self._doing = doing
            self.news.ring()

    # --- what is told ---

    async def _tell(self) -> None:
        """Write the state file when there is news, once a second at the most, and every 15 s."""
        try:
            while True:
                await self._write()
                await trio.sleep(TELL_EVERY_S)
                with trio.move_on_after(WRITE_EVERY_S - TELL_EVERY_S):
                    await self.news.wait()
        finally:
            if self.state is not None:
                remove_state(self.state)

    async def _write(self) -> None:
        state = self.snapshot()
        self.notifier.status(f"{state.doing}; {state.waiting.recordings} waiting, {state.stored} stored")
        if self.state is None:
            return
        try:
            await trio.to_thread.run_sync(write_state, self.state, state)
        except OSError as error:
            self.faults.report("offload:state", True, f"{self.state}: {error.strerror}")
        else:
            self.faults.report("offload:state", False)

    def snapshot(self) -> State:
        """How things stand. Quick."""
        book, sent = self.carrier.book, self.carrier.sent
        waiting = (row for row in book.rows.values() if row.standing is Standing.WAITING)
        under_way = next((row for row in waiting if row.sent_files), None)
        sending = None
        if under_way is not None:
            sending = Sending(
                recording=under_way.recording,
                files=under_way.closed.files,
                sent_files=under_way.sent_files,
                bytes=under_way.closed.size,
                sent_bytes=under_way.sent_bytes,
            )
        slowly = sending is not None and self._doing == "carrying" and self.carrier.pacer.beside_a_recording
        return State(
            store=self.address,
            pid=os.getpid(),
            written_ns=self.clock.monotonic_ns(),
            doing=f"{self._doing}, slowly: something is recorded" if slowly else self._doing,
            power=self.gate.supply,
            faults={name: detail for name, (detail, _) in sorted(self.faults.active.items())},
            sending=sending,
            waiting=Waiting(recordings=book.count(Standing.WAITING), bytes=book.size(Standing.WAITING)),
            stored=book.count(Standing.STORED),
            receipts=book.count(Standing.RECEIPT),
            released=book.released,
            unfit=book.count(*NEEDS_A_PERSON),
            sent_objects=sent.objects,
            sent_bytes=sent.bytes,
            witness=Witness(**dataclasses.asdict(self.stamping.told)) if self.stamping is not None else None,
        )


class News:
    """Rung whenever there is something to tell; whoever gets on says so to the watchdog by the same.

    **Synchronization:** trio's thread.
    """

    def __init__(self) -> None:
        self.pulse: Pulse | None = None
        self._rung = trio.Event()

    def ring(self) -> None:
        self._rung.set()

    def progress(self) -> None:
        """Something was sent, read or found."""
        if self.pulse is not None:
            self.pulse.busy(PROGRESS_WITHIN_S)
        self.ring()

    async def wait(self) -> None:
        """Until it is rung; returns at once if it was since the last wait."""
        await self._rung.wait()
        self._rung = trio.Event()


def lock_trouble(facts: StoreFacts, faults: Faults) -> None:
    """Say of a bucket that it locks nothing, or not for all; of a folder everybody knows."""
    bucket = facts.address.startswith("s3:")
    # A bucket whose lock somebody may go round says so in its detail; credentials that may not ask are not told.
    missing = bucket and (facts.lock is Lock.NONE or (facts.lock is Lock.OFFERED and bool(facts.detail)))
    detail = facts.detail or f"{facts.address} locks nothing: who may write to it may overwrite and delete"
    faults.report("offload:lock", missing, detail if missing else "")
