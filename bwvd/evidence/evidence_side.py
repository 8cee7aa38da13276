"""The evidence side, from the first look at the flash on: recovery, the journal, serial numbers, the reserve, the room.

Everything that a power cut left is named and signed before anything new is written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import trio

from bwvd import __version__
from bwvd.clock import Clock
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.flash.space_gauge import StorageGauge
from bwvd.evidence.flash.volume import Storage, Volume
from bwvd.evidence.format.chain import Signer
from bwvd.evidence.format.file_names import harmless
from bwvd.evidence.format.layout import RECORDINGS
from bwvd.evidence.format.records import JournalHead
from bwvd.evidence.journal.actor import JournalActor
from bwvd.evidence.journal.events import draft_of
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.journal.totals import SETTLED, Detail
from bwvd.evidence.journal.witness import Remembered, Witness
from bwvd.evidence.journal.witness_writer import WitnessWriter, read_witness
from bwvd.evidence.release.archive import ArchiveRelease, finish_archive_release
from bwvd.evidence.release.receipt import Accepted, ArchiveReceipt, Receipt
from bwvd.evidence.release.release import Release, finish_releases
from bwvd.evidence.startup.admission import strays
from bwvd.evidence.startup.inspection import Inspection
from bwvd.evidence.startup.look import Look, Settled, settled, settling, sort_out
from bwvd.evidence.startup.newest import ends_not_entered, newest
from bwvd.evidence.startup.officer import Kept, load_officer, save_officer
from bwvd.evidence.startup.outcome import RecoveryResult, drafts_of, not_remembered, rollback
from bwvd.evidence.startup.recovery import recover, recover_one, recover_steps
from bwvd.evidence.startup.serials import next_serial, unrecorded
from bwvd.evidence.startup.told import Told
from bwvd.evidence.startup.vouch import vouch
from bwvd.evidence.write.numbering import RecordingNumbers
from bwvd.evidence.write.room_watch import GAUGE_PERIOD_S, Free, RoomWatch
from bwvd.evidence.write.row import Row
from bwvd.messages import Assigned, Event, Pressed, Recorded, StateChanged
from bwvd.text import printable

STRAYS_SHOWN = 8  # names of what is no evidence, in the status and in the journal
STRAY_TEXT = 400  # characters of them


class EventBus(Protocol):
    """Takes events and faults and passes them on: `bwvd.daemon.event_bus.Hub`."""

    def publish(self, event: Event) -> None: ...

    def fault(self, name: str, detail: str) -> None: ...

    def clear(self, name: str) -> None: ...

    def report(self, name: str, active: bool, detail: str) -> None: ...

    def sink(self, take: Callable[[Event], None]) -> None: ...


@dataclass(frozen=True, slots=True)
class EvidenceSettings:
    """What of the configuration concerns the evidence side."""

    device: str
    private: bool  # there are recipients: the officer's id is not written in the clear
    reserve_bytes: int
    journal_bytes: int
    bits_per_s: int  # as configured, of video and audio
    loop_s: float
    segment_s: float
    config_sha256: str  # of the configuration file, for the journal


@dataclass(frozen=True, slots=True)
class _Found:
    """What the first job found and did."""

    volume: Volume
    journal: Journal
    last_serial: int
    row: Row
    officer: Kept
    drafts: list[Draft]
    storages: list[Remembered]
    rolled_back: str  # what is not as the witness remembers it, in one line
    witness_lost: str  # why the witness could not be asked
    recovered: list[RecoveryResult]
    left: list[str]  # recordings that the look is for
    strays: list[str]  # that are no evidence
    free: Free
    total_bytes: int


class EvidenceSide:
    """The journal, the reserve and the gauge of a storage that has been put in order.

    **Synchronization:** trio's thread.
    """

    def __init__(
        self,
        storage: Storage,
        settings: EvidenceSettings,
        signer: Signer,
        clock: Clock,
        boot: str,
        bus: EventBus,
        found: _Found,
        room: Reserve,
        numbers: RecordingNumbers,
        witness: Witness | None,
    ) -> None:
        self.officer = found.officer.officer  # when the device was last switched off
        self.row = found.row
        self.room = room
        self.gauge = StorageGauge(bits_per_s=settings.bits_per_s, loop_s=settings.loop_s, segment_s=settings.segment_s)
        self._storage = storage
        self._settings = settings
        self._clock = clock
        self._bus = bus
        self._signer = signer
        self._boot = boot
        self._journal = found.journal
        self._volume = found.volume
        self._numbers = numbers
        self._mended: list[RecoveryResult] = []
        self._unmended: dict[str, str] = {}  # why, by recording
        self._total_bytes = found.total_bytes
        self._strays = found.strays[:STRAYS_SHOWN]
        self._room_watch = RoomWatch(storage, room, self.gauge, clock, bus)
        self._witness = WitnessWriter(
            witness,
            found.storages,
            lambda why: bus.report("witness", bool(why), why),
            unread=bool(found.witness_lost),
            late=self._witnessed_late,
        )
        fault = partial(bus.report, "journal")
        self._actor = JournalActor(storage, found.journal, clock, fault, self._remember, found.drafts)
        self._ended = trio.Event()
        self._officer_changed = trio.Event()
        bus.sink(self._journalled)
        if found.officer.refused:
            bus.fault("wearer", found.officer.refused)
        if found.rolled_back:
            bus.fault("storage_rolled_back", found.rolled_back)
        if found.witness_lost:
            bus.fault("witness", found.witness_lost)
        self._told = Told(bus, self._actor.put, clock)
        self._told.results(found.recovered, entered=True)
        self._looking = Look(
            storage,
            found.left,
            lambda volume, recording: recover_steps(
                volume, signer, clock, boot, recording, reserve=room, said=found.journal.said
            ),
            lambda: found.journal.released,
            lambda outcome: self._told.results([outcome]),
        )
        self._inspection = Inspection(
            storage,
            found.volume,
            found.journal,
            settings.device,
            self._told,
            lambda event, detail: self._actor.put(Draft(event, detail, clock.read())),
        )
        bus.sink(self._inspection.heard)
        self._room_watch.level(found.free)

    async def wait_looked(self) -> None:
        """Return when all that lay on the storage at the start has been read since, and what was found is told: raised
        as a fault, and in the journal's queue. Also where the daemon ends before."""
        await self._inspection.wait_done()

    def refuse(self) -> str:
        """Why no recording may begin now; "" if one may."""
        return self.gauge.refusal

    def journal_head(self) -> JournalHead | None:
        """How far the journal is durable, for a recording's `open` record."""
        return self._journal.head()

    def release(self, accepted: Accepted[Receipt], in_progress: Callable[[], str]) -> Release:
        """A release that `bwvd.evidence.release.handing_in.run_release` can run, for a receipt that was accepted."""
        return Release(
            self._volume,
            self._journal,
            accepted,
            device=self._settings.device,
            clock=self._clock,
            in_progress=in_progress,
        )

    def release_archive(self, accepted: Accepted[ArchiveReceipt]) -> ArchiveRelease:
        """The same for an archive of the journal."""
        return ArchiveRelease(self._volume, self._journal, accepted, device=self._settings.device, clock=self._clock)

    def mend(self, volume: Volume, broken: Collection[str]) -> dict[str, str]:
        """Bring recordings to their end that an I/O error broke off; returns why some are not. In a storage's job."""
        volume.sync_dir(RECORDINGS)  # an attempt that broke off may have left a folder in the cache alone
        # One may have been released meanwhile.
        there = frozenset(broken) & {name.removesuffix("/") for name in volume.names(RECORDINGS)}
        signer, clock, boot = self._signer, self._clock, self._boot
        said = self._journal.said
        outcomes = [
            recover_one(volume, signer, clock, boot, name, reserve=self.room, said=said) for name in sorted(there)
        ]
        results = [result for result in outcomes if result is not None]
        failed = {result.recording: result.error for result in results if result.error}
        for one in results:
            if one.manifest_sha512:
                self.row.ended(one.recording, "recovered", one.segments, one.manifest_sha512)
        # An attempt that fails as the last one did is no news for the journal.
        news = [one for one in results if not one.error or one.error != self._unmended.get(one.recording)]
        self._mended += news
        self._unmended = {**{name: why for name, why in self._unmended.items() if name not in broken}, **failed}
        return failed

    def mended(self) -> None:
        """Enter into the journal what `mend` did, and tell what it found to be gone."""
        results, self._mended = self._mended, []
        self._told.results(results)

    def was_full(self) -> None:
        """A commit found no room: the fault stays until a look at the flash finds some."""
        self._room_watch.was_full()

    def measured(self, size: int, media_ns: int) -> None:
        """A commit of so many bytes held so much media."""
        self.gauge.measured(size, media_ns)

    def storage_status(self) -> dict[str, Any]:
        """The storage's part of `status --json`."""
        return {
            "free_bytes": self.gauge.free_bytes,
            "total_bytes": self._total_bytes,
            "minutes_left": self.gauge.minutes_left,
            "free_files": self.gauge.free_files,
            "reserved": self.room.held,
            "strays": list(self._strays),
            "refuses": self.gauge.refusal,
            "journal_waiting": self._actor.waiting,
            "journal_lost": self._actor.lost,
        }

    def enter(self, event: str, **detail: str | int | float | bool | None) -> None:
        """One entry for the journal. Never waits."""
        self._actor.put(Draft(event, dict(detail), self._clock.read()))

    # --- the actors --------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Write the journal and watch the room until `finish`."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._room_watch.run)
            nursery.start_soon(self._keep_officer)
            nursery.start_soon(self._looking.run)
            nursery.start_soon(self._inspection.run, self._looking.wait_done)
            nursery.start_soon(self._witness.run)
            await self._actor.run(task_status=task_status)
            nursery.cancel_scope.cancel()
        self._ended.set()

    async def drain(self, reason: str) -> None:
        """Enter the end, and wait until the journal is durable or a dead flash was tried often enough.

        What happens until `finish`, a press that is refused, is entered behind it.
        """
        self._looking.stop()
        self._inspection.stop()
        self._actor.put(Draft("shutdown", {"reason": reason}, self._clock.read()), press=True)
        await self._actor.drain()

    async def finish(self) -> None:
        """Close the journal, after `drain`."""
        self._actor.close()
        await self._ended.wait()
        with suppress(OSError):
            await self._storage.run(lambda _: self._journal.close())

    async def _keep_officer(self) -> None:
        """Keep the officer's id whenever it changes; a flash that does not take it is tried again."""
        while True:
            await self._officer_changed.wait()
            self._officer_changed = trio.Event()
            await self._actor.flush()  # what a start has to say of the officer comes before
            try:
                await self._remember(await self._storage.run(self._save_officer))
            except OSError as error:
                self._bus.fault("wearer", f"the wearer's id is not kept over a restart: {error}")
                await trio.sleep(GAUGE_PERIOD_S)
                self._officer_changed.set()
            else:
                self._bus.clear("wearer")

    def _save_officer(self, volume: Volume) -> Remembered | None:
        """In the storage's job, as all that asks the journal."""
        save_officer(volume, self._signer, self._journal, self.officer, self._clock.read())
        return self._journal.remembered()

    # --- the journal -------------------------------------------------------------------------------------------------

    def _journalled(self, event: Event) -> None:
        if isinstance(event, Assigned):
            self.officer = event.officer
            self._officer_changed.set()
        draft = draft_of(event, self._clock.read(), private=self._settings.private)
        if draft is not None:
            self._actor.put(draft, press=isinstance(event, Pressed | StateChanged | Recorded))

    async def _remember(self, latest: Remembered | None) -> None:
        """Tell the witness how far the journal is durable."""
        if latest is not None:
            await self._witness.tell(latest)

    async def _witnessed_late(self, storages: Sequence[Remembered]) -> None:
        """It did not answer at the start: whether the journal goes on from what it remembers is asked now."""
        with suppress(OSError):  # a storage that does not answer is the writer's fault to raise
            if (gone := await self._storage.run(lambda _: self._journal.continues(storages))) is not None:
                self._numbers.skip_to(gone.last_serial)
                text, draft = rollback(gone, self._journal, self._clock.read())
                self._actor.put(draft, press=True)
                self._bus.fault("storage_rolled_back", text)
            if self._journal.is_forgotten(storages):
                self._actor.put(not_remembered(storages, self._clock.read()))


async def start_evidence(
    storage: Storage,
    settings: EvidenceSettings,
    signer: Signer,
    clock: Clock,
    boot: str,
    bus: EventBus,
    numbers: RecordingNumbers,
    witness: Witness | None = None,
) -> EvidenceSide:
    """Put the storage in order, begin its journal, let `numbers` go on. Raises OSError where it can't be read."""
    storages, lost = await read_witness(witness)
    room = Reserve(settings.reserve_bytes)
    found = await storage.run(lambda volume: _put_in_order(volume, settings, signer, clock, boot, room, storages, lost))
    numbers.skip_to(found.last_serial)
    return EvidenceSide(storage, settings, signer, clock, boot, bus, found, room, numbers, witness)


def _put_in_order(
    volume: Volume,
    settings: EvidenceSettings,
    signer: Signer,
    clock: Clock,
    boot: str,
    room: Reserve,
    storages: list[Remembered],
    witness_lost: str,
) -> _Found:
    reading = clock.read()
    with suppress(FileExistsError):
        volume.make_dir(RECORDINGS)
        volume.sync_dir("")
    vouch(volume, signer.allowed_signers(settings.device))
    journal = Journal.open(volume, signer, device=settings.device, limit_bytes=settings.journal_bytes)
    drafts = [
        Draft("boot", {"boot": boot, "software": f"bwvd {__version__}", "device": settings.device}, reading),
        Draft("config", {"sha256": settings.config_sha256}, reading),
    ]
    rolled_back = ""
    if (gone := journal.continues(storages)) is not None:
        rolled_back, draft = rollback(gone, journal, reading)
        drafts.append(draft)
    if forgotten := journal.is_forgotten(storages):
        drafts.append(not_remembered(storages, reading))
    if (aside := journal.set_aside) is not None:
        detail: Detail = {"file": aside.where, "what": aside.what, "offset": aside.offset, "bytes": aside.bytes}
        drafts.append(Draft("journal_set_aside", detail, reading))
    folders = volume.names(RECORDINGS)
    complaints = finish_releases(volume, journal, folders) + finish_archive_release(volume, journal)
    drafts += [Draft("release_unfinished", {"reason": complaint}, reading) for complaint in complaints]
    # Before anything new is recorded, and before the journal says what there is: whatever has no end gets one.
    before = settled(journal) if gone is None and not forgotten else Settled()
    released = journal.released
    found = sort_out(folders, settings.device, before, journal.last_serial, released, all_at_start=gone is not None)
    if stray := [printable(harmless(name)) for name in strays(volume, found.others)]:
        named: Detail = {"count": len(stray), "names": ", ".join(stray[:STRAYS_SHOWN])[:STRAY_TEXT]}
        drafts.append(Draft("strays", named, reading))
    recovered = recover(
        volume,
        signer,
        clock,
        boot,
        reserve=room,
        said=journal.said,
        leave=frozenset(released).union(found.others, found.left),
        folders=folders,
        rolled_back=bool(gone),
    )
    # In order of their numbers, and first: a start after a power cut goes on from the last one that is entered.
    drafts += [
        Draft("opened", {"recording": harmless(recording), "serial": serial, "found": "at_start"}, reading)
        for serial, recording in unrecorded(found.newer, journal.last_serial)
    ]
    drafts += drafts_of(recovered, reading)
    ends = ends_not_entered(volume, settings.device, found.newer, recovered, journal.said)
    drafts += [Draft(event, detail, reading) for event, detail in ends]
    officer = load_officer(volume, signer, journal, rolled_back=gone is not None)
    drafts += officer.drafts(reading)
    if (remember := settling(before, found.newer, recovered)) is not None:
        drafts.append(Draft(SETTLED, remember, reading))  # last: what a cut keeps of them must not say that all is told
    room.restore(volume)
    last = next_serial(found.newer, max(journal.last_serial, gone.last_serial if gone is not None else 0)) - 1
    row = Row()
    row.is_known(newest(volume, settings.device, last, recovered, journal.newest))
    return _Found(
        volume=volume,
        journal=journal,
        last_serial=last,
        row=row,
        officer=officer,
        drafts=drafts,
        storages=storages,
        rolled_back=rolled_back,
        witness_lost=witness_lost,
        recovered=recovered,
        left=found.left,
        strays=stray,
        free=Free.of(volume),
        total_bytes=volume.total_bytes(),
    )
