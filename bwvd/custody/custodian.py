"""Custodian: goes round the devices of a store again and again, or once, and lets no fault of the store stop it.

It asks the store what is new, as no store of ours can tell: soon again while there is something, later and later while
there is nothing. Most rounds look only at what is behind the newest settled recording; now and then, and at a start, at
all of it. A device that fails then is looked at so again in the next rounds, and no other.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import trio

from bwvd.custody import index as at
from bwvd.custody import shelf, strangers
from bwvd.custody.device import DeviceRound, Post, Round
from bwvd.custody.index import IndexLost
from bwvd.custody.judge import State
from bwvd.custody.log import LogBroken
from bwvd.custody.part import takes
from bwvd.custody.schema import LIVE_S
from bwvd.log import get_logger
from bwvd.service.backoff import Backoff
from bwvd.store.errors import StoreError, StoreMisbehaved, StoreRefused
from bwvd.store.names import DEVICES
from bwvd.store.ports import EveryPage
from bwvd.text import clean

POLL = Backoff(first_s=1.0, factor=2.0, limit_s=60.0)  # while there is nothing
AGAIN = Backoff(first_s=0.2, factor=3.0, limit_s=10.0)  # after an error, for one device in one pass
ATTEMPTS = 6
EVERYTHING_S = 3600.0  # from one look at all of it to the next
# From one look for versions of everything to the next: a request for each thousand objects, however old they are.
VERSIONS_S = 86_400.0
BEAT_S = 5.0
QUEUE = 4  # devices that wait for a worker: the listing goes on while they work

_log = get_logger("custody")


@dataclass(slots=True)
class Pass:
    """What came of one pass over the devices."""

    devices: int = 0
    received: int = 0
    waiting: int = 0
    held: int = 0
    findings: int = 0  # new ones
    bytes: int = 0  # verified
    failed: dict[str, str] = field(default_factory=dict)  # device ("" = the store) -> why; the first MOST_FAILED
    idle: bool = True
    listed: bool = True  # the store has told all its devices
    broken: LogBroken | None = None  # nothing more may be done

    def add(self, done: Round) -> None:
        self.devices += 1
        for one in done.outcomes:
            self.bytes += one.bytes
            self.received += one.state is State.RECEIVED
            self.waiting += one.state is State.WAITS
            self.held += one.state is State.HELD
        self.findings += len(done.findings)
        self.idle = self.idle and done.idle

    def fail(self, device: str, why: str) -> None:
        self.idle = False
        if len(self.failed) < MOST_FAILED:
            self.failed[device] = why


MOST_FAILED = 1000


class Custodian:
    """One custodian at work.

    Args:
        jobs: devices at once.
        told: gets each round that did something.

    **Synchronization:** trio's thread.
    """

    def __init__(self, post: Post, *, jobs: int, told: Callable[[Round], None] = lambda _: None) -> None:
        self._post = post
        self._jobs = jobs
        self._told = told
        self._instance = f"{post.desk.name}/{secrets.token_hex(6)}"
        self._at_work: list[str] = []
        # Devices ("" = what lies beside them) at which all has still to be looked, and whether for versions as well.
        self._again: dict[str, bool] = {}

    async def once(self) -> Pass:
        """Look at all devices, whoever else is at work.

        Raises: LogBroken. What the store or the index could not answer after some attempts is in the result.
        """
        return await self._pass(everything=True, versions=True, share=False)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Go on for ever, sharing the devices with whoever else is at work by the index.

        **Cancellation:** at once; the next start goes on. Raises: LogBroken.
        """
        async with trio.open_nursery() as nursery:
            await nursery.start(self._beat)
            task_status.started()
            try:
                await self._forever()
            except LogBroken as error:
                broken = error
            nursery.cancel_scope.cancel()
        raise broken

    async def _forever(self) -> NoReturn:
        everything_s, versions_s, idle = -EVERYTHING_S, -VERSIONS_S, 0  # when all of it was looked at last
        while True:
            began_s = trio.current_time()
            everything = began_s - everything_s >= EVERYTHING_S
            versions = everything and began_s - versions_s >= VERSIONS_S
            done = await self._pass(everything=everything, versions=versions, share=True)
            if everything:
                self._again = {one: of_it for one, of_it in self._again.items() if one in done.failed}
            if everything and done.listed and len(done.failed) < MOST_FAILED:
                everything_s = began_s
                versions_s = began_s if versions else versions_s
            idle = idle + 1 if done.idle or done.failed else 0
            await trio.sleep(POLL.delay_s(idle) if idle else 0)

    async def _pass(self, *, everything: bool, versions: bool, share: bool) -> Pass:
        done = Pass()
        strange: list[str] = []
        send, receive = trio.open_memory_channel[str](QUEUE)
        async with trio.open_nursery() as nursery:
            for _ in range(self._jobs):
                nursery.start_soon(self._work, receive.clone(), done, everything, versions)
            receive.close()
            with send:
                try:
                    async for page in EveryPage(self._post.store, DEVICES, folders=True):
                        strange += strangers.in_page(page)[: shelf.MOST_STRANGE - len(strange)]
                        for device in shelf.devices_of(page):
                            if not share or takes(self._instance, device, self._at_work):
                                await send.send(device)
                except StoreError as error:
                    done.listed = False
                    done.fail("", clean(str(error)))
                    _log.error("store_not_listed", error=str(error))
                except trio.BrokenResourceError:  # the workers have ended: see below
                    pass
        if done.broken is not None:
            raise done.broken
        beside = (everything or "" in self._again) and done.listed
        if beside and (not share or takes(self._instance, "", self._at_work)):
            await self._beside_devices(strange, done)
        await self._remember()
        return done

    async def _beside_devices(self, strange: Sequence[str], done: Pass) -> None:
        """Enter what lies where devices do and is none. Raises: LogBroken."""
        try:
            found = await strangers.enter(self._post.store, self._post.index, self._post.log, strange)
        except (StoreError, IndexLost) as error:
            self._again[""] = False
            done.fail("", clean(str(error)))
            _log.error("store_not_listed", error=str(error))
            return
        self._again.pop("", None)
        if found:
            round_ = Round("", findings=found)
            done.findings += len(found)
            done.idle = False
            self._told(round_)

    async def _work(
        self, receive: trio.MemoryReceiveChannel[str], done: Pass, everything: bool, versions: bool
    ) -> None:
        with receive:
            async for device in receive:
                attempt = 0
                everything_of_it = everything or device in self._again
                versions_of_it = versions or self._again.get(device, False)
                while done.broken is None:
                    attempt += 1
                    try:
                        round_ = DeviceRound(self._post, device, everything=everything_of_it, versions=versions_of_it)
                        found = await round_.run()
                    except LogBroken as error:
                        done.broken = error
                        return
                    except (StoreError, IndexLost) as error:
                        final = isinstance(error, (StoreRefused, StoreMisbehaved)) or attempt >= ATTEMPTS
                        _log.warning("round_failed", device=device, attempt=attempt, error=str(error))
                        if final:
                            done.fail(device, clean(str(error)))
                            if everything_of_it and device in done.failed:
                                self._again[device] = versions_of_it
                            break
                        await trio.sleep(AGAIN.delay_s(attempt))
                    else:
                        self._again.pop(device, None)
                        done.add(found)
                        if not found.idle:
                            self._told(found)
                        if not found.unblocked:
                            break
                        attempt = 0

    async def _remember(self) -> None:
        """How far the log is, so that the next start need not list all of it."""
        name, newest = f"log {self._post.desk.name}", str(self._post.log.newest)
        try:
            await self._post.index.run(lambda db: at.set_fact(db, name, newest))
        except IndexLost as error:
            _log.warning("index_lost", error=str(error))

    async def _beat(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Say again and again that this one is at work, and hear who else is."""
        index, name = self._post.index, self._post.desk.name
        started = False
        try:
            while True:
                try:
                    self._at_work = await index.run(lambda db: at.beat(db, self._instance, name, LIVE_S))
                except IndexLost as error:
                    self._at_work = []  # takes all: two receipts can't come of it
                    _log.warning("index_lost", error=str(error))
                if not started:
                    started = True
                    task_status.started()
                await trio.sleep(BEAT_S)
        finally:
            with trio.move_on_after(2, shield=True):
                try:
                    await index.run(lambda db: at.leave(db, self._instance))
                except IndexLost as error:
                    _log.warning("index_lost", error=str(error))
