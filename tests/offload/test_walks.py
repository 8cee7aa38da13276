"""Random walks of recording, carrying, cuts, custody and release: nothing is lost, altered, or let go of too early.

Camera and store are virtual; the writer, the recovery, the carrier, both custodians with their log and their index in
SQLite, and the recorder's release are the real code. A walk is its seed: `pytest tests/offload/test_walks.py -k "[17]"`
walks the same one each time, as virtual time stands while a thread works.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from bwvd.custody import index as at
from bwvd.custody.index import Index
from bwvd.custody.log import read_logs
from bwvd.evidence.format.layout import ARCHIVE, archive_name
from bwvd.evidence.release.receipt import accept_archive_receipt, accept_receipt
from bwvd.offload.carrier import Carrier
from bwvd.store import names
from bwvd.store.errors import StoreError
from bwvd.testing.flash.crash import crash_states
from bwvd.testing.flash.faults import PowerCut
from bwvd.testing.flash.storage import VirtualVolume
from bwvd.testing.store import FAULTS, Fault, Held, VirtualStore
from tests.support import held_clock
from tests.support.carried import DEVICE, Camera, carrier_of
from tests.support.custody_store import CUSTODIAN, OTHER, Working, at_work, custodian_line, device_line, list_of
from tests.support.storage_recording import new_volume

STEPS = 14
JOURNAL_BYTES = 14_000  # of a file of the camera's journal: it is full after some recordings
ALL_FAULTS = sorted({fault for faults in FAULTS.values() for fault in faults}, key=str)
RELEASE = [list_of(custodian_line(CUSTODIAN, "one"), custodian_line(OTHER, "two"))]  # the camera's keys.release
SIGNERS = list_of(device_line(), custodian_line(CUSTODIAN, "one"), custodian_line(OTHER, "two"))


class View(VirtualStore):
    """One store as one of those who use it sees it: with delays, faults and a sudden end of his own."""

    def __init__(self, objects: dict[str, Held], puts: dict[str, int], dice: random.Random) -> None:
        super().__init__()
        self.objects, self.puts = objects, puts
        self.dice = dice
        self.scope = trio.CancelScope()
        self._last_call = 0  # 0 = it goes on

    def kill_at(self, nth: int) -> None:
        """Let the process end at the nth call from now on: before it is done, or done and not answered."""
        self._last_call = len(self.calls) + nth

    async def _begin(self, kind: str, name: str) -> Fault | None:
        self.latency_s = self.dice.uniform(0.1, 1.0)
        if self._last_call and len(self.calls) + 1 >= self._last_call and self.dice.random() < 0.5:
            self.scope.cancel()
        return await super()._begin(kind, name)

    def _end(self, fault: Fault | None) -> None:
        if self._last_call and len(self.calls) >= self._last_call:
            self.scope.cancel()
        super()._end(fault)


@dataclass
class Receiver:
    """A custodian: his key, his machine's index, and the process that is at work, if it is."""

    walk: Walk
    name: str
    index: Index

    def __post_init__(self) -> None:
        self.process: Working | None = None

    async def once(self) -> None:
        """A pass over all devices by the process that is there or a new one; it may be killed in the midst of it."""
        dice = self.walk.dice
        if self.process is None:
            self.view = self.walk.view()
            signer = CUSTODIAN if self.name == "one" else OTHER
            self.process = at_work(self.view, self.index, signer, self.name, SIGNERS, jobs=1)
        if dice.random() < 0.4:
            self.view.strike(dice.randint(1, 60), dice.choice(ALL_FAULTS))
        if dice.random() < 0.4:
            self.view.kill_at(dice.randint(1, 60))
        self.view.scope = trio.CancelScope()
        with self.view.scope:
            await self.process.once()
        self.view.mend()
        if self.view.scope.cancelled_caught or dice.random() < 0.2:
            self.process = None  # it knows nothing of what it did but by store and index


@dataclass
class Walk:
    """A camera, its store and its custodians."""

    dice: random.Random
    folder: Path  # for the custodians' machines
    empty: Path  # an index without rows
    camera: Camera = field(
        default_factory=lambda: Camera(new_volume(trace=True), signers=RELEASE, journal_bytes=JOURNAL_BYTES)
    )
    store: VirtualStore = field(default_factory=VirtualStore)
    closed: dict[str, dict[str, bytes]] = field(default_factory=dict)  # what a closed recording was, by its id
    archives: dict[str, bytes] = field(default_factory=dict)  # what a full file of the journal was, by its name
    recording: bool = False  # the last one goes on
    boots: int = 1

    def __post_init__(self) -> None:
        self.carrier: Carrier = carrier_of(self.camera)
        self.mine = self.view()  # the carrier's
        machines = [Index.open(str(shutil.copy(self.empty, self.folder / f"{number}.sqlite")), "") for number in (0, 1)]
        self.machines = machines if self.dice.random() < 0.5 else machines[:1]
        self.receivers = [Receiver(self, name, one) for name, one in zip(("one", "two"), machines, strict=True)]
        if len(self.machines) == 1:
            self.receivers[1].index = self.machines[0]
            machines[1].close()

    def view(self) -> View:
        return View(self.store.objects, self.store.puts, random.Random(self.dice.random()))

    async def step(self) -> None:
        """One thing happens; whatever it is, the power of the camera may go in the midst of it."""
        acts = (
            self.record, self.record, self.carry, self.carry, self.carry, self.custody, self.release, self.begin
        )  # fmt: skip
        act = self.dice.choice(acts)
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
        if self.recording:
            self.power_back()  # it was going on until then
        self.recording = self.dice.random() < 0.2
        self.camera.record(self.camera.next_serial, close=not self.recording, segments=self.dice.randint(1, 5))

    async def carry(self) -> None:
        """A round, in which the store fails, or the network or the process goes."""
        if self.dice.random() < 0.5:
            self.mine.strike(self.dice.randint(1, 30), self.dice.choice(ALL_FAULTS))
        with trio.move_on_after(self.dice.choice((2, 5, 15, 10_000))):
            try:
                await self.carrier.round(self.mine)
            except StoreError:
                pass
            except BaseExceptionGroup as group:
                cuts, other = group.split(PowerCut)
                if other is not None:
                    raise
                assert cuts is not None
                raise PowerCut from None
            finally:
                self.mine.mend()

    async def custody(self) -> None:
        """One custodian, the other, or both at the same time."""
        async with trio.open_nursery() as nursery:
            for one in self.dice.choice((self.receivers[:1], self.receivers[1:], self.receivers)):
                nursery.start_soon(one.once)
        await trio.sleep(self.dice.choice((1, 60, 700)))

    async def release(self) -> None:
        """Somebody hands in by hand what receipts there are, as `bwvd release` does."""
        for recording in self.camera.recordings():
            held = self.store.objects.get(names.receipt(DEVICE, recording))
            if held is not None:
                await self.camera.hand_in("recording", recording, held.content.decode())

    async def begin(self) -> None:
        """The carrier's process was killed, and is started again."""
        self.carrier = carrier_of(self.camera)

    def power_back(self) -> None:
        state = self.dice.choice(crash_states(self.camera.volume.moments, per_moment=8))
        self.boots, self.recording = self.boots + 1, False
        self.camera.boot(VirtualVolume.from_state(state.tree, trace=True), f"boot-{self.boots}")
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
                self.check_let_go(recording)
        full = [name for name in camera.volume.names("") if ARCHIVE.fullmatch(name)]
        for archive in full:
            content = camera.volume.read(archive)
            assert self.archives.setdefault(archive, content) == content
        for archive in self.archives.keys() - set(full):
            self.check_archive_let_go(archive)
        self.look_into_the_store()

    def check_let_go(self, recording: str) -> None:
        """What is on the card no more has a receipt for what it was, and is in the store, whole."""
        held = self.store.objects.get(names.receipt(DEVICE, recording))
        assert held is not None, f"{recording} was let go of without a receipt"
        receipt = accept_receipt(held.content, None, RELEASE, 1_795_400_000).receipt
        manifest = hashlib.sha512(self.closed[recording]["manifest.jsonl"]).hexdigest()
        assert (receipt.recording, receipt.device, receipt.manifest_sha512) == (recording, DEVICE, manifest)
        assert self.in_store(names.recording_folder(DEVICE, recording)) == self.closed[recording]

    def check_archive_let_go(self, archive: str) -> None:
        content = self.archives[archive]
        (stored,) = [name for name in self.store.objects if name.endswith(f"/{archive}")]
        assert self.store.objects[stored].content == content
        found = names.parsed(stored)
        assert isinstance(found, names.JournalArchive)
        held = self.store.objects[names.archive_receipt(DEVICE, found.storage, archive)]
        receipt = accept_archive_receipt(held.content, None, RELEASE, 1_795_400_000).receipt
        assert (receipt.journal, receipt.sha512) == (archive, hashlib.sha512(content).hexdigest())

    def in_store(self, folder: str) -> dict[str, bytes]:
        found = self.store.objects.items()
        return {name.removeprefix(folder): held.content for name, held in found if name.startswith(folder)}

    def look_into_the_store(self) -> None:
        assert all(count == 1 for count in self.store.puts.values())
        for name, held in self.store.objects.items():
            match names.parsed(name):
                case names.RecordingFile(_, recording, file):
                    assert held.content == self.closed[recording][file], f"{name} has other bytes"
                    if file == "SHA256SUMS.sig":
                        there = self.in_store(names.recording_folder(DEVICE, recording))
                        assert there.keys() == self.closed[recording].keys(), f"{name} vouches for a part"
                case names.JournalHead(_, _, number, size, sha512):
                    content = self.archives.get(archive_name(number)) or self.camera.volume.read("journal.jsonl")
                    assert hashlib.sha512(content[:size]).hexdigest() == sha512, "the store knows more than the journal"
                case names.JournalArchive(_, _, archive):
                    assert held.content == self.archives[archive]

    async def end(self) -> None:
        """Nothing goes wrong any more: the card empties itself, and there is nothing that a person has to see."""
        del self.camera.volume.moments[:-1]
        self.power_back()
        for _ in range(40):
            self.look()
            await self.carrier.round(self.mine)
            for one in self.receivers:
                one.process = None
                with trio.CancelScope() as scope:
                    view = self.view()
                    view.scope = scope
                    signer = CUSTODIAN if one.name == "one" else OTHER
                    done = await at_work(view, one.index, signer, one.name, SIGNERS, jobs=1).once()
                    assert done.failed == {}
            await trio.sleep(700)
            if not any("SHA256SUMS.sig" in self.camera.files(one) for one in self.camera.recordings()):
                break
        self.look()
        for recording in self.closed:
            assert recording not in self.camera.recordings(), f"{recording} is still here"
        assert self.camera.answers or not self.closed
        for index in self.machines:
            assert index.do(at.all_findings) == []
            assert index.do(lambda db: set(at.recording_rows(db, DEVICE))) == set(self.closed)
            index.close()
        assert await read_logs(self.store, None, SIGNERS, lambda _: None) == []


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index without rows: its tables are made once."""
    path = tmp_path_factory.mktemp("index") / "empty.sqlite"
    Index.open(str(path), "virtual:").close()
    return path


def walk(seed: int, folder: Path, empty: Path, monkeypatch: pytest.MonkeyPatch) -> Walk:
    async def main() -> Walk:
        steps = Walk(random.Random(seed), folder, empty)
        for _ in range(STEPS):
            await steps.step()
        await steps.end()
        return steps

    monkeypatch.setattr("bwvd.evidence.verify.files.ThreadPoolExecutor", held_clock.Inline)
    monkeypatch.setattr(os, "urandom", random.Random(seed).randbytes)  # the storage's id
    return trio.run(main, clock=held_clock.hold(monkeypatch))


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_nothing_is_lost_altered_or_let_go_of_too_early(
    seed: int, tmp_path: Path, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariants 8, 13 and 16."""
    walk(seed, tmp_path, empty, monkeypatch)


@pytest.mark.complete
@pytest.mark.parametrize("seed", range(12, 1_000))
def test_a_thousand_walks(seed: int, tmp_path: Path, empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariants 8, 13 and 16."""
    walk(seed, tmp_path, empty, monkeypatch)
