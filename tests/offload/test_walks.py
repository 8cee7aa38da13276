"""Random walks of recording, carrying, cuts, custody and release: nothing is lost, altered, or let go of too early.

A walk is its seed: `pytest tests/offload/test_walks.py -k "[17]"` walks the same one each time.
"""

from __future__ import annotations

import hashlib
import random
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.format.layout import archive_name
from bwvd.evidence.release.release import finish_releases
from bwvd.evidence.startup.recovery import recover
from bwvd.offload.carrier import Carrier
from bwvd.store import names
from bwvd.store.errors import StoreError
from bwvd.testing.flash.crash import crash_states
from bwvd.testing.flash.faults import PowerCut
from bwvd.testing.flash.storage import BLOCK, VirtualVolume
from bwvd.testing.store import FAULTS, VirtualStore
from tests.support.carried import DEVICE, Camera, carrier_of, give_receipts
from tests.support.storage_recording import SIGNER, new_volume

STEPS = 14
ALL_FAULTS = sorted({fault for faults in FAULTS.values() for fault in faults}, key=str)


@dataclass
class Walk:
    """A camera, its store and its custodian."""

    dice: random.Random
    camera: Camera = field(default_factory=lambda: Camera(new_volume(trace=True)))
    store: VirtualStore = field(default_factory=VirtualStore)
    closed: dict[str, dict[str, bytes]] = field(default_factory=dict)  # what a closed recording was, by its id
    receipts: set[str] = field(default_factory=set)
    serial: int = 0
    boots: int = 1

    def __post_init__(self) -> None:
        self.carrier: Carrier = carrier_of(self.camera)

    async def step(self) -> None:
        """One thing happens; whatever it is, the power may go in the midst of it."""
        act = self.dice.choice((self.record, self.record, self.carry, self.carry, self.carry, self.custody, self.begin))
        del self.camera.volume.moments[:-1]
        cut = self.dice.random() < 0.4  # at the latest behind it
        if cut:
            self.camera.volume.power_cut_at(self.dice.randint(1, 200))
        with suppress(PowerCut):
            await act()
        if cut:
            self.power_back()
        self.look()

    async def record(self) -> None:
        self.serial += 1
        self.camera.record(self.serial, close=self.dice.random() < 0.8, segments=self.dice.randint(1, 5))

    async def carry(self) -> None:
        """A round, in which the store fails, or the network or the process goes."""
        if self.dice.random() < 0.5:
            self.store.strike(self.dice.randint(1, 30), self.dice.choice(ALL_FAULTS))
        self.store.latency_s = 1.0
        with trio.move_on_after(self.dice.choice((3, 10, 30, 10_000))):
            try:
                await self.carrier.round(self.store)
            except StoreError:
                pass
            except BaseExceptionGroup as group:
                cuts, other = group.split(PowerCut)
                if other is not None:
                    raise
                assert cuts is not None
                raise PowerCut from None
        self.store.mend()

    async def custody(self) -> None:
        self.receipts |= set(give_receipts(self.store))
        await trio.sleep(self.dice.choice((1, 60, 700)))

    async def begin(self) -> None:
        """The process was killed, and is started again."""
        self.carrier = carrier_of(self.camera)

    def power_back(self) -> None:
        state = self.dice.choice(crash_states(self.camera.volume.moments, per_moment=8))
        volume = VirtualVolume.from_state(state.tree, trace=True)
        self.camera.volume = volume
        journal = self.camera.open_journal()
        assert finish_releases(volume, journal) == []
        self.boots += 1
        recover(volume, SIGNER, self.camera.clock, f"boot-{self.boots}", reserve=Reserve(BLOCK))
        self.camera.enter("boot")
        self.carrier = carrier_of(self.camera)

    # --- what has to hold ---

    def look(self) -> None:
        camera = self.camera
        here = camera.recordings()
        for recording in here:
            files = camera.files(recording)
            if "SHA256SUMS.sig" in files:
                assert self.closed.setdefault(recording, files) == files
        for recording in self.closed:
            if recording not in here:
                assert recording in self.receipts, f"{recording} was let go of without a receipt"
        self.look_into_the_store()

    def look_into_the_store(self) -> None:
        for name, held in self.store.objects.items():
            match names.parsed(name):
                case names.RecordingFile(_, recording, file):
                    assert held.content == self.closed[recording][file], f"{name} has other bytes"
                    if file == "SHA256SUMS.sig":
                        assert all(
                            names.recording_file(DEVICE, recording, other) in self.store.objects
                            for other in self.closed[recording]
                        ), f"{name} vouches for a part"
                case names.JournalHead(_, _, number, size, sha512):
                    here = self.camera.volume.names("")
                    file = archive_name(number) if archive_name(number) in here else "journal.jsonl"
                    beginning = self.camera.volume.read(file, 0, size)
                    assert hashlib.sha512(beginning).hexdigest() == sha512, "the store knows more than the journal"
                case names.JournalArchive(_, _, archive):
                    assert held.content == self.camera.volume.read(archive)

    async def end(self) -> None:
        """Nothing goes wrong any more: the card empties itself."""
        self.store.mend()
        for _ in range(200):
            await self.carrier.round(self.store)
            self.receipts |= set(give_receipts(self.store))
            await trio.sleep(600)
            if not any("SHA256SUMS.sig" in self.camera.files(one) for one in self.camera.recordings()):
                break
        self.look()
        for recording, files in self.closed.items():
            assert recording not in self.camera.recordings(), f"{recording} is still here"
            folder = names.recording_folder(DEVICE, recording)
            stored = {name.removeprefix(folder): held.content for name, held in self.store.objects.items()}
            assert {file: stored.get(file) for file in files} == files, f"{recording} is lost"


def walk(seed: int) -> None:
    async def main() -> None:
        steps = Walk(random.Random(seed))
        for _ in range(STEPS):
            await steps.step()
        await steps.end()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_nothing_is_lost_altered_or_let_go_of_too_early(seed: int) -> None:
    """Invariants 8, 13 and 16."""
    walk(seed)


@pytest.mark.complete
@pytest.mark.parametrize("seed", range(40, 1_000))
def test_a_thousand_walks(seed: int) -> None:
    """Invariants 8, 13 and 16."""
    walk(seed)
