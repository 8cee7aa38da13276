"""A store as a carrier fills it from a device's storage, and a custodian over it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from bwvd.clock import NS, Reading
from bwvd.custody.custodian import Custodian, Pass
from bwvd.custody.device import Post, Round
from bwvd.custody.index import Index
from bwvd.custody.judge import State
from bwvd.custody.log import CustodyLog
from bwvd.custody.receipts import Desk
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.format.decode import decode
from bwvd.evidence.format.layout import ARCHIVE, JOURNAL, RECORDINGS, SUMS_SIGNATURE
from bwvd.evidence.format.records import Journal as JournalRecord
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.keys.age import Sealer
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.sshsig import KeySigner
from bwvd.store import names
from bwvd.store.body import bytes_body
from bwvd.store.ports import Store
from bwvd.testing.clock import VirtualClock
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer

CUSTODIAN = fixed_signer(40)  # its key
OTHER = fixed_signer(41)  # another custodian's


def recording_id(serial: int, device: str = "BWV-0001") -> str:
    return f"20261122T071505Z-{device}-{serial:06d}"


def draft(event: str, **detail: str | int) -> Draft:
    return Draft(event, dict(detail), Reading(1000 * NS, 1_795_331_700 * NS, "synchronised", 500))


@dataclass
class Camera:
    """A device's storage that is being written to, by the real writer's parts, and carried into a store."""

    root: Path
    device: str = "BWV-0001"
    signer: KeySigner = field(default_factory=fixed_signer)
    limit_bytes: int = 1_000_000
    serial: int = 0
    sealer: Sealer | None = None  # its recordings are encrypted

    def __post_init__(self) -> None:
        make_storage(self.root, self.signer, self.device)
        self.enter(draft("boot", boot="boot-1"))

    def enter(self, *drafts: Draft) -> None:
        """Add to the journal."""
        with PosixVolume(self.root) as volume:
            journal = Journal.open(volume, self.signer, device=self.device, limit_bytes=self.limit_bytes)
            journal.append(drafts)
            self.head = journal.head()
            journal.close()

    def record(self, count: int = 1, *, seconds: int = 1, label: str = "a door", officer: str = "4711") -> list[str]:
        """Make recordings; returns their ids."""
        made = []
        for _ in range(count):
            self.serial += 1
            path = make_recording(
                self.root,
                self.serial,
                seconds=seconds,
                signer=self.signer,
                sealer=self.sealer,
                device=self.device,
                journal=self.head,
                label=label if seconds > 1 else "",
                officer=officer,
            )
            self.enter(
                draft("opened", recording=path.name, serial=self.serial),
                draft("closed", recording=path.name, serial=self.serial, reason="stop", segments=seconds),
            )
            made.append(path.name)
        return made

    @property
    def storage(self) -> str:
        """The id of the storage."""
        first = decode((self.root / JOURNAL).read_bytes().partition(b"\n")[0])
        assert isinstance(first, JournalRecord)
        return first.storage

    def objects(self, *, but: tuple[str, ...] = ()) -> dict[str, bytes]:
        """What a carrier puts, in its order; `but` without these recordings."""
        found: dict[str, bytes] = {}
        for path in sorted((self.root / RECORDINGS).iterdir()):
            if path.name in but:
                continue
            files = sorted(path.iterdir(), key=lambda file: (file.name == SUMS_SIGNATURE, file.name))
            for file in files:
                found[names.recording_file(self.device, path.name, file.name)] = file.read_bytes()
        for path in sorted(self.root.iterdir()):
            if ARCHIVE.fullmatch(path.name):
                found[names.journal_archive(self.device, self.storage, path.name)] = path.read_bytes()
        data = (self.root / JOURNAL).read_bytes()
        first = decode(data.partition(b"\n")[0])
        assert isinstance(first, JournalRecord)
        sha512 = hashlib.sha512(data).hexdigest()
        found[names.journal_head(self.device, self.storage, first.file_number, len(data), sha512)] = data
        return found


async def put(store: Store, name: str, data: bytes) -> None:
    await store.put(name, bytes_body(data), size=len(data), sha256=hashlib.sha256(data).digest())


async def carry(store: Store, *cameras: Camera, but: tuple[str, ...] = ()) -> None:
    """Put all that the cameras have and the store has not."""
    for camera in cameras:
        for name, data in camera.objects(but=but).items():
            await put(store, name, data)


def list_of(*lines: str) -> AllowedSigners:
    return AllowedSigners.parse("".join(lines).encode(), "the custodian's list")


def device_line(signer: KeySigner | None = None, principals: str = "*") -> str:
    return (signer or fixed_signer()).allowed_signers(principals)


def custodian_line(signer: KeySigner, name: str) -> str:
    return f'{name} namespaces="bwvd-receipt,bwvd-custody" {signer.public_key}\n'


@dataclass
class Working:
    """A custodian and what it works with."""

    post: Post
    custodian: Custodian
    rounds: list[Round]

    async def once(self) -> Pass:
        return await self.custodian.once()

    @property
    def count(self) -> int:
        """Recordings that have got a receipt."""
        return sum(one.state is State.RECEIVED for each in self.rounds for one in each.outcomes)

    async def received(self, count: int) -> None:
        """Wait until so many recordings have a receipt."""
        while self.count < count:  # noqa: ASYNC110  in virtual time, which goes on with each look
            await trio.sleep(0.1)


@asynccontextmanager
async def custody(
    store: Store,
    index: str | Path,
    *,
    signer: KeySigner = CUSTODIAN,
    name: str = "evidence-server",
    signers: AllowedSigners | None = None,
    signers_sha256: str = "list-1",
    jobs: int = 2,
) -> AsyncIterator[Working]:
    opened = Index.open(str(index), "virtual:")
    try:
        yield at_work(
            store, opened, signer, name, signers or list_of(device_line()), signers_sha256=signers_sha256, jobs=jobs
        )
    finally:
        opened.close()


def at_work(
    store: Store,
    index: Index,
    signer: KeySigner,
    name: str,
    signers: AllowedSigners,
    *,
    signers_sha256: str = "list-1",
    jobs: int = 2,
) -> Working:
    """A custodian's process that has just begun."""
    clock = VirtualClock(seconds=trio.current_time)
    log = CustodyLog(store, signer, name, clock)
    desk = Desk(signer, name, signers)
    post = Post(store, index, log, desk, clock, signers_sha256, trio.CapacityLimiter(jobs))
    rounds: list[Round] = []
    return Working(post, Custodian(post, jobs=jobs, told=rounds.append), rounds)
