"""A camera's flash, its recorder's door and its carrier, in virtual time."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import trio

from bwvd.clock import Clock
from bwvd.controls.client import Unreachable
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.format.layout import MANIFEST, RECORDINGS
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.sshsig import KeySigner, armour
from bwvd.evidence.release.archive import ArchiveRelease, finish_archive_release
from bwvd.evidence.release.handing_in import AlreadyReleased
from bwvd.evidence.release.receipt import (
    RECEIPT_NAMESPACE,
    ArchiveReceipt,
    Receipt,
    accept_archive_receipt,
    accept_receipt,
)
from bwvd.evidence.release.release import Release, finish_releases
from bwvd.evidence.startup.newest import ends_not_entered
from bwvd.evidence.startup.outcome import drafts_of
from bwvd.evidence.startup.recovery import recover
from bwvd.evidence.startup.serials import next_serial, unrecorded
from bwvd.offload.book import Book
from bwvd.offload.carrier import Carrier, Terms
from bwvd.offload.collector import Collector
from bwvd.offload.faults import Faults
from bwvd.offload.flash import Flash
from bwvd.offload.pace import Pacer
from bwvd.store import names
from bwvd.store.ports import Body, Put
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.storage import BLOCK, VirtualVolume
from bwvd.testing.store import Held, VirtualStore
from tests.support.evidence_keys import fixed_signer
from tests.support.storage_recording import SIGNER, new_volume, write_recording

T = TypeVar("T")

DEVICE = "BWV-0001"
CUSTODIAN = fixed_signer(7)
CUSTODIANS = [AllowedSigners.parse(f'desk namespaces="{RECEIPT_NAMESPACE}" {CUSTODIAN.key.line}\n'.encode(), "signers")]
JOURNAL_BYTES = 65_536


class _Flash:
    """`bwvd.offload.flash.Flash` on a virtual volume."""

    def __init__(self, volume: VirtualVolume) -> None:
        self._volume = volume
        self.names, self.sizes, self.size, self.read = volume.names, volume.sizes, volume.size, volume.read

    def settle(self, path: str) -> None:
        file = self._volume.append(path)
        try:
            file.sync()
        finally:
            file.close()
        self._volume.sync_dir(path.rpartition("/")[0])


class VirtualReader:
    """`bwvd.offload.flash.FlashReader` on a virtual volume; another one after a cut."""

    def __init__(self, volume: VirtualVolume) -> None:
        self.volume = volume
        self.reads = 0

    async def run(self, job: Callable[[Flash], T]) -> T:
        await trio.lowlevel.checkpoint()
        self.reads += 1
        return job(_Flash(self.volume))


class WatchedStore(VirtualStore):
    """A virtual store that notes which objects were there already when they were sent."""

    def __init__(self) -> None:
        super().__init__()
        self.again: list[str] = []
        self.before_put: Callable[[str], None] = lambda _: None

    async def put(
        self, name: str, body: Body, *, size: int, sha256: bytes, retain_until: datetime.datetime | None = None
    ) -> Put:
        if name in self.objects:
            self.again.append(name)
        self.before_put(name)
        return await super().put(name, body, size=size, sha256=sha256, retain_until=retain_until)


@dataclass
class Camera:
    """A flash with a journal; recordings are made by the real writer's code."""

    volume: VirtualVolume = field(default_factory=new_volume)
    clock: VirtualClock = field(default_factory=VirtualClock)
    signers: list[AllowedSigners] = field(default_factory=lambda: list(CUSTODIANS))
    journal_bytes: int = JOURNAL_BYTES  # of a file of the journal
    released: list[str] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    down: bool = False  # the recorder can't be asked

    def __post_init__(self) -> None:
        self.journal = self.open_journal()

    def open_journal(self) -> Journal:
        self.journal = Journal.open(self.volume, SIGNER, device=DEVICE, limit_bytes=self.journal_bytes)
        return self.journal

    def enter(self, event: str = "boot", **detail: str | int) -> None:
        self.journal.append([Draft(event, {**detail}, self.clock.read())])

    def record(self, serial: int, *, close: bool = True, segments: int = 3) -> str:
        """A recording, with the journal's entries of its beginning and its end."""
        recording = f"20261122T071505Z-{DEVICE}-{serial:06d}"

        def begun(index: int) -> None:
            if index == 0:
                self.enter("opened", recording=recording, serial=serial)

        write_recording(
            self.volume, serial, close=close, segments=segments, journal=self.journal.head(), before_commit=begun
        )
        if close:
            manifest = hashlib.sha512(self.volume.read(f"{RECORDINGS}/{recording}/{MANIFEST}")).hexdigest()
            self.enter(
                "closed",
                recording=recording,
                serial=serial,
                reason="stop",
                segments=segments,
                manifest_sha512=manifest,
            )
        return recording

    def boot(self, volume: VirtualVolume, boot: str) -> None:
        """The recorder's start on what a power cut has left: releases are finished, recordings brought to their end."""
        self.volume = volume
        journal = self.open_journal()
        assert finish_releases(volume, journal) == []
        assert finish_archive_release(volume, journal) == []
        results = recover(volume, SIGNER, self.clock, boot, reserve=Reserve(BLOCK), said=journal.said)
        folders, reading = volume.names(RECORDINGS), self.clock.read()
        drafts = [
            Draft("opened", {"recording": recording, "serial": serial, "found": "at_start"}, reading)
            for serial, recording in unrecorded(folders, journal.last_serial)
        ]
        drafts += drafts_of(results, reading)
        ends = ends_not_entered(volume, DEVICE, folders, results, journal.said)
        drafts += [Draft(event, detail, reading) for event, detail in ends]
        journal.append([*drafts, Draft("boot", {"boot": boot}, reading)])

    @property
    def next_serial(self) -> int:
        return next_serial(self.volume.names(RECORDINGS), self.journal.last_serial)

    def files(self, recording: str) -> dict[str, bytes]:
        """What lies in a recording's folder."""
        folder = f"{RECORDINGS}/{recording}"
        return {name: self.volume.read(f"{folder}/{name}") for name in self.volume.sizes(folder)}

    def recordings(self) -> list[str]:
        return [name.rstrip("/") for name in self.volume.names(RECORDINGS)]

    async def hand_in(self, kind: str, name: str, text: str) -> dict[str, Any]:
        """What the daemon's socket does with `release`, by the same code."""
        await trio.lowlevel.checkpoint()
        if self.down:
            raise Unreachable("s.sock: nobody answers; is the daemon running?")
        now_s = self.clock.read().utc_ns / 1e9
        release: Release | ArchiveRelease
        try:
            if kind == "journal":
                archive = accept_archive_receipt(text.encode(), None, self.signers, now_s)
                received = archive.receipt.journal
                release = ArchiveRelease(self.volume, self.journal, archive, device=DEVICE, clock=self.clock)
            else:
                accepted = accept_receipt(text.encode(), None, self.signers, now_s)
                received = accepted.receipt.recording
                release = Release(self.volume, self.journal, accepted, device=DEVICE, clock=self.clock)
            if received != name:
                answer: dict[str, Any] = {"ok": False, "error": f"the receipt is for {received}"}
            else:
                while release.step():
                    pass
                self.released.append(name)
                answer = {"ok": True, "text": f"released {name}"}
        except AlreadyReleased as error:
            answer = {"ok": True, "text": str(error)}
        except EvidenceError as error:
            answer = {"ok": False, "error": str(error)}
        self.answers.append(answer)
        return answer


def carrier_of(
    camera: Camera, clock: Clock | None = None, *, retain_days: int = 0, release: bool = True, max_mbit: float = 0
) -> Carrier:
    """A carrier as its process makes one, which has just begun."""
    clock = clock or camera.clock
    book, faults = Book(), Faults(clock)
    return Carrier(
        terms=Terms(DEVICE, retain_days),
        reader=VirtualReader(camera.volume),
        clock=clock,
        pacer=Pacer(max_mbit, clock),
        faults=faults,
        collector=Collector(DEVICE, clock, book, faults, camera.hand_in, release),
        book=book,
    )


def receipt_text(recording: str, manifest: bytes, signer: KeySigner = CUSTODIAN, **changes: str) -> bytes:
    """A receipt as a custodian puts it: the text, and behind it the signature."""
    fields = {
        "recording": recording,
        "device": DEVICE,
        "manifest_sha512": hashlib.sha512(manifest).hexdigest(),
        "received_utc": "2026-11-22T19:02:11Z",
        "by": "desk",
        **changes,
    }
    text = msgspec.json.encode(Receipt(format=1, **fields)) + b"\n"
    return text + armour(signer.sign(hashlib.sha512(text).digest(), RECEIPT_NAMESPACE)).encode()


def archive_receipt_text(archive: str, content: bytes) -> bytes:
    """The same for an archive of the journal."""
    receipt = ArchiveReceipt(
        format=1,
        journal=archive,
        device=DEVICE,
        sha512=hashlib.sha512(content).hexdigest(),
        received_utc="2026-11-22T19:02:11Z",
        by="desk",
    )
    text = msgspec.json.encode(receipt) + b"\n"
    return text + armour(CUSTODIAN.sign(hashlib.sha512(text).digest(), RECEIPT_NAMESPACE)).encode()


def give_receipts(store: VirtualStore) -> list[str]:
    """What a custodian does, made small: a receipt for each recording that is whole. Returns those that got one now."""
    given = []
    for name in list(store.objects):
        parsed = names.parsed(name)
        if not isinstance(parsed, names.RecordingFile) or parsed.file != "SHA256SUMS.sig":
            continue
        target = names.receipt(parsed.device, parsed.recording)
        if target not in store.objects and not wrong_with(store, parsed.recording):
            manifest = store.objects[names.recording_file(DEVICE, parsed.recording, "manifest.jsonl")].content
            store.objects[target] = Held(receipt_text(parsed.recording, manifest))
            given.append(parsed.recording)
    return given


def wrong_with(store: VirtualStore, recording: str) -> list[str]:
    """What is wrong with a recording whose signature of the sums is in the store."""
    folder = names.recording_folder(DEVICE, recording)
    held = {name.removeprefix(folder): one.content for name, one in store.objects.items() if name.startswith(folder)}
    listed = dict(line.split("  ", 1)[::-1] for line in held["SHA256SUMS"].decode().splitlines())
    wrong = [f"{name} is missing" for name in listed if name not in held]
    wrong += [
        f"{name} has other bytes"
        for name, sha256 in listed.items()
        if name in held and hashlib.sha256(held[name]).hexdigest() != sha256
    ]
    return wrong
