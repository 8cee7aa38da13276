"""The carrier's work, one round of it: what lies closed on the flash goes to the store, and receipts to the recorder.

In a round: look at the flash; the journal's archives, then its head, so that whoever receives a recording has the
journal that it began with; then each recording, oldest first, its signature of the sums last: whoever sees that sees a
whole recording. Four files go at once, the last three of a recording one after the other. Whatever ends a round, the
next one finds out in the store what is there, and goes on behind it.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import trio

from bwvd.clock import NS, Clock
from bwvd.log import get_logger
from bwvd.offload.book import TRY_AGAIN, Book, Closed, Row, Standing, Turn
from bwvd.offload.collector import Collector
from bwvd.offload.faults import Faults
from bwvd.offload.flash import Flash, FlashReader, flash_body
from bwvd.offload.pace import AT_ONCE, Pacer
from bwvd.offload.parts import (
    ONE_AFTER_THE_OTHER,
    OnFlash,
    Part,
    Unfit,
    archive_part,
    head_part,
    look,
    parts_of,
    witness_part,
)
from bwvd.store import names
from bwvd.store.errors import (
    BodyDiffers,
    ClockSkewed,
    LockMissing,
    NameRefused,
    ObjectDiffers,
    StoreMisbehaved,
    StoreRefused,
)
from bwvd.store.ports import EveryPage, Put, Store, StoredObject

HEAD_EVERY_S = 300.0  # the journal's head, while nothing else is sent
FIRST_ASK_S = 10.0  # for the receipt of what was sent just now: nobody has verified it before
MOST_PAGES = 100  # of a listing of our own recordings: what has more is not ours alone

_log = get_logger("offload")


@dataclass(frozen=True, slots=True)
class Terms:
    """What the configuration says of the work."""

    device: str
    retain_days: int = 0


@dataclass(slots=True)
class Sent:
    """What the process has sent since it began."""

    objects: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Carrier:
    """One device's carrier.

    Args:
        collector: asks for receipts, with the same book.
        changed: called whenever something is to be told anew; never blocks.

    **Synchronization:** one task calls `round`.
    """

    terms: Terms
    reader: FlashReader
    clock: Clock
    pacer: Pacer
    faults: Faults
    collector: Collector
    book: Book
    sent: Sent = field(default_factory=Sent)
    changed: Callable[[], None] = lambda: None
    journal_stored: bool = False  # the journal's newest head, as of the last round
    _store: Store = field(init=False)
    _archives: set[str] = field(default_factory=set)  # stored
    _witness: set[str] = field(default_factory=set)  # lists of digests and tokens, stored
    _head: str = ""  # the name of the head that was stored last
    _head_ns: int | None = None  # when that was
    _unlocked: str = ""  # an object that is stored without the lock that was asked for
    _locked_before: bool = False  # an object of an earlier process was looked at for its lock
    _begun: set[str] | None = None  # recordings of which something may be stored; None = the store was not asked

    async def round(self, store: Store) -> None:
        """Do all there is to do now.

        Raises: StoreError, when the store as a whole can't be used: nothing more is to be tried now. What is wrong with
        one recording is noted in the book, and what is wrong with the flash, the journal or the recorder is a fault.
        **Cancellation:** at any checkpoint; the next round goes on.
        """
        try:
            self._store = store
            on_flash = await self.look()
            if on_flash is None:
                return
            waits = self.book.to_send(self.clock.monotonic_ns()) is not None
            await self._journal(on_flash, now=waits)
            begun = await self._ask_what_is_begun() if waits else set[str]()
            while (row := self.book.to_send(self.clock.monotonic_ns())) is not None:
                if await self._carry(row, begun):
                    await self.collector.collect(store)
            await self.collector.collect(store)
        finally:
            self._tell()

    async def look(self) -> OnFlash | None:
        """Look at the flash: the book has a row for each recording then. None if it can't be read, which is a fault."""
        known = {name: row.closed for name, row in self.book.rows.items()}
        try:
            on_flash = await self.reader.run(lambda flash: look(flash, self.terms.device, known))
        except OSError as error:
            self.faults.report("offload:storage", True, f"{error.filename or 'the storage'}: {error.strerror}")
            return None
        self.faults.report("offload:storage", False)
        self.book.take(on_flash.closed)
        self.changed()
        return on_flash

    # --- the journal ---

    async def _journal(self, on_flash: OnFlash, *, now: bool) -> None:
        """Archives that are not stored, the head of the file that grows, at once or when it is due; and time-stamps."""
        due = self._head_ns is None or self.clock.monotonic_ns() - self._head_ns >= HEAD_EVERY_S * NS
        trouble: list[str] = []
        for archive in on_flash.archives:
            if archive not in self._archives:
                part = await self._journal_part(
                    partial(archive_part, device=self.terms.device, archive=archive), trouble
                )
                if part is not None:
                    self._archives.add(archive)
                    self.collector.archives[archive] = Turn(storage=part.name.split("/")[3])
        for archive in self._archives - set(on_flash.archives):
            self._archives.discard(archive)
            self.collector.archives.pop(archive, None)
        if on_flash.journal and (now or due):
            part = await self._journal_part(partial(head_part, device=self.terms.device), trouble)
            if part is not None:
                self._head, self._head_ns = part.name, self.clock.monotonic_ns()
        self._witness.intersection_update(on_flash.witness)
        for file in on_flash.witness:
            if file not in self._witness:
                part = await self._journal_part(partial(witness_part, device=self.terms.device, file=file), trouble)
                if part is not None:
                    self._witness.add(file)
        self.faults.report("offload:journal", bool(trouble), trouble[0] if trouble else "")
        self.journal_stored = not trouble

    async def _journal_part(self, make: Callable[[Flash], Part | None], trouble: list[str]) -> Part | None:
        """Store a file of the journal, or its beginning; None if it is not there, or could not be stored."""
        try:
            part = await self.reader.run(make)
            if part is not None and part.name != self._head:
                await self._ensure(part)
        except (NameRefused, ObjectDiffers, BodyDiffers) as error:
            trouble.append(str(error))
        except FileNotFoundError:
            pass  # rotated or let go of just now: the next round sees it
        except OSError as error:
            trouble.append(f"{error.filename or 'the journal'}: {error.strerror}")
        else:
            return part
        return None

    # --- recordings ---

    async def _ask_what_is_begun(self) -> set[str]:
        """The recordings of which the store may have something, by one listing for the process.

        It decides nothing: what is left out is put, and the put finds what is there; what is told is asked for first.
        What is closed later nobody has sent, but another process of ours, whose objects the first put finds.
        """
        if self._begun is None:
            maybe = {row.recording for row in self.book.rows.values() if row.standing is Standing.WAITING}
            folder = names.recordings_folder(self.terms.device)
            pages, listed = 0, set[str]()
            try:
                async for page in EveryPage(self._store, folder, after=f"{folder}{min(maybe)}", folders=True):
                    listed |= maybe.intersection(name.removeprefix(folder).rstrip("/") for name in page.folders)
                    if (pages := pages + 1) == MOST_PAGES:
                        listed = maybe
                        break
            except ClockSkewed:
                raise
            except (StoreRefused, StoreMisbehaved):  # each is asked for by its name
                listed = maybe
            self._begun = listed
        return self._begun

    async def _carry(self, row: Row, begun: set[str]) -> bool:
        """Send what is missing of one recording; False if the store had it.

        Raises: StoreError, for what is wrong with the store as a whole.
        """
        recording, sent = row.recording, True
        new = recording not in begun
        begun.add(recording)  # whatever ends this
        try:
            parts = await self.reader.run(lambda flash: parts_of(flash, self.terms.device, recording))
            row.closed = Closed(recording, len(parts), sum(part.size for part in parts))
            objects = self.sent.objects
            if new or not await self._is_there(parts[-1]):
                await self._send(row, parts, new=new)
            elif self.terms.retain_days and not self._locked_before:
                # What an earlier process has sent is to be locked as well; a put of what is there reads its lock back.
                await self._put(parts[-1])
                self._locked_before = True
            row.move(Standing.STORED)
            if sent := self.sent.objects > objects:
                row.turn.next_ns = self.clock.monotonic_ns() + round(FIRST_ASK_S * NS)
            begun.discard(recording)
            _log.info("stored", recording=recording, files=row.closed.files, bytes=row.closed.size)
        except (Unfit, NameRefused) as error:
            row.move(Standing.UNFIT, str(error))
        except BodyDiffers as error:
            # It was read twice, and is not what the recorder has signed: a person has to look at the card.
            row.move(Standing.UNFIT, f"{recording}: {error.name.rpartition('/')[2]} is not what SHA256SUMS says")
        except ObjectDiffers as error:
            row.move(Standing.DIFFERS, str(error))
        except FileNotFoundError:
            row.turn.later(self.clock.monotonic_ns(), TRY_AGAIN)  # let go of meanwhile, or finished anew
        except OSError as error:
            detail = f"{error.filename or recording}: {error.strerror}"
            row.turn.later(self.clock.monotonic_ns(), TRY_AGAIN, detail)
        self.changed()
        return sent

    async def _send(self, row: Row, parts: list[Part], *, new: bool) -> None:
        # The first file goes alone: where it is missing, nothing was begun. Where it is there, another process has
        # begun, or this one before a cut: each is asked for before it is sent.
        begun = None if new else await self._looks_taken(parts[0])
        if begun is None:  # nobody knows of it, or these credentials are not told: the put of the first one shows it
            begun = await self._put(parts[0]) is not Put.NEW
            if begun and new and await self._is_there(parts[-1]):
                return
            parts = parts[1:]
        row.sent_files = row.sent_bytes = 0
        failures: list[Exception] = []
        together = iter(parts[:-ONE_AFTER_THE_OTHER])

        async def work(scope: trio.CancelScope, todo: Iterator[Part]) -> None:
            for part in todo:
                try:
                    if begun:
                        await self._ensure(part)
                    else:
                        await self._put(part)
                except Exception as error:  # noqa: BLE001  raised below, once the others have ended
                    failures.append(error)
                    scope.cancel()
                    return
                row.sent_files += 1
                row.sent_bytes += part.size
                self.changed()

        with trio.CancelScope() as scope:
            await work(scope, itertools.islice(together, 1))
        if not failures:
            async with trio.open_nursery() as nursery:
                for _ in range(AT_ONCE):
                    nursery.start_soon(work, nursery.cancel_scope, together)
        if not failures:
            with trio.CancelScope() as scope:
                await work(scope, iter(parts[-ONE_AFTER_THE_OTHER:]))
        if failures:
            raise failures[0]

    async def _is_there(self, part: Part) -> bool:
        """True if the object is in the store. Raises ObjectDiffers if another one has its name."""
        found = await self._head_of(part)
        if found is None:
            return False
        _require_same(found, part)
        if found.sha256 is None:  # a folder tells no digest: a put of the same compares, and sends nothing
            await self._put(part)
        return True

    async def _looks_taken(self, part: Part) -> bool | None:
        """Whether an object has that name; None where these credentials are not told."""
        try:
            return await self._store.head(part.name) is not None
        except ClockSkewed:
            raise
        except StoreRefused:
            return None

    async def _ensure(self, part: Part) -> None:
        if not await self._is_there(part):
            await self._put(part)

    async def _head_of(self, part: Part) -> StoredObject | None:
        """What the store tells of an object; None also where these credentials may not ask: a put finds out."""
        try:
            return await self._store.head(part.name)
        except ClockSkewed:
            raise
        except StoreRefused:
            return None

    async def _put(self, part: Part) -> Put:
        async with self.pacer.place():
            return await self._put_now(part)

    async def _put_now(self, part: Part) -> Put:
        body = flash_body(self.reader, part.path, part.size, self.pacer)
        for again in (True, False):
            try:
                put = await self._store.put(
                    part.name, body, size=part.size, sha256=part.sha256, retain_until=self._retain_until()
                )
            except BodyDiffers:
                if not again:
                    raise
            except LockMissing as error:
                if not error.stored:
                    raise
                self._unlocked = str(error)
                put = Put.NEW
                break
            else:
                break
        if put is Put.NEW:
            self.sent.objects += 1
            self.sent.bytes += part.size
        return put

    def _retain_until(self) -> datetime.datetime | None:
        if not self.terms.retain_days:
            return None
        now = datetime.datetime.fromtimestamp(self.clock.read().utc_ns / NS, tz=datetime.UTC)
        return now + datetime.timedelta(days=self.terms.retain_days)

    # --- what is told ---

    def _tell(self) -> None:
        book = self.book
        archives = [turn.detail for turn in self.collector.archives.values() if turn.refused]
        for name, details in (
            ("offload:flash", book.details(Standing.WAITING)),
            ("offload:differs", book.details(Standing.DIFFERS)),
            ("offload:unfit", book.details(Standing.UNFIT)),
            ("offload:receipt", book.refused() + archives),
        ):
            more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
            self.faults.report(name, bool(details), f"{details[0]}{more}" if details else "")
        if self._unlocked:
            self.faults.report("offload:lock", True, self._unlocked)
        self.changed()


def _require_same(found: StoredObject, part: Part) -> None:
    if found.size != part.size or found.sha256 not in (None, part.sha256):
        raise ObjectDiffers(part.name, f"{part.name}: is in the store already, with another content")
