"""What a start leaves for later: it takes no longer with more recordings, and what is wrong is told all the same."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TypeVar

import pytest
import trio
import trio.testing

from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE
from bwvd.evidence.format.chain_reader import ChainReader
from bwvd.evidence.format.recording_id import _ID as ID
from bwvd.evidence.journal.actor import QUEUE_BOUND
from bwvd.evidence.journal.totals import SETTLED
from bwvd.evidence.journal.witness import Remembered
from bwvd.evidence.startup.look import AT_START, LOOK_AFTER_S
from bwvd.evidence.startup.newest import ends_not_entered
from bwvd.messages import FaultChanged
from bwvd.testing.flash.faults import Operation
from bwvd.testing.flash.storage import VirtualStorage, VirtualVolume
from bwvd.testing.witness import VirtualWitness
from tests.support.evidence_keys import fixed_signer
from tests.support.rig import Rig, configuration
from tests.support.storage_recording import SIGNER, new_volume, recording_id, write_recording

T = TypeVar("T")

ANOTHER = Remembered(storage="another", signer="ssh-ed25519 A", number=1, bytes=1, sha512="ab" * 64, last_serial=1)


def card(count: int) -> VirtualVolume:
    """A storage of the device's with so many closed recordings."""
    volume = new_volume()
    for serial in range(1, count + 1):
        write_recording(volume, serial, segments=1)
    return volume


def rig_of(volume: VirtualVolume, boot: str = "boot-2") -> Rig:
    config = configuration(loop={"seconds": 5}, recording={"post_roll_s": 0})
    return Rig(config=config, volume=volume, signer=SIGNER, boot=boot)


async def start(volume: VirtualVolume) -> Rig:
    """A start of the device that lasts until its look is done."""
    rig = rig_of(volume)
    async with rig.running() as daemon:
        await daemon.evidence.wait_looked()
    return rig


def of_recordings(operations: list[Operation]) -> list[Operation]:
    return [one for one in operations if one.path.startswith("recordings/")]


def told(rig: Rig) -> list[str]:
    faults = [event for event in rig.events if isinstance(event, FaultChanged)]
    return [event.detail for event in faults if event.name == "evidence_missing"]


def cut_end(volume: VirtualVolume, serial: int) -> None:
    """The last record, and all that is made at the end."""
    folder = f"recordings/{recording_id(serial)}"
    lines = volume.read(f"{folder}/manifest.jsonl").splitlines(keepends=True)
    volume.remove(f"{folder}/manifest.jsonl")
    file = volume.create(f"{folder}/manifest.jsonl")
    file.write(b"".join(lines[:-2]))
    file.sync()
    file.close()
    for name in ("init.mp4", "index.m3u8", "SHA256SUMS", "SHA256SUMS.sig"):
        volume.remove(f"{folder}/{name}")


class CountingPattern:
    """A compiled pattern that keeps what it was asked about."""

    def __init__(self, pattern: re.Pattern[str], asked: list[str]) -> None:
        self._pattern = pattern
        self._asked = asked

    def fullmatch(self, text: str) -> re.Match[str] | None:
        self._asked.append(text)
        return self._pattern.fullmatch(text)


async def test_a_start_opens_nothing_of_what_an_earlier_one_has_seen(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted: operations, and names that are taken apart, until the loop turns, with few recordings and with many."""
    counts = []
    names: list[str] = []
    monkeypatch.setattr("bwvd.evidence.format.recording_id._ID", CountingPattern(ID, names))
    for count in (2, 40):
        volume = card(count)
        first = await start(volume)
        assert told(first) == []
        before = volume.gate.count
        rig, began = rig_of(volume, "boot-3"), trio.current_time()
        names.clear()
        async with rig.running() as daemon:
            operations = volume.gate.log[before:]
            listings = [one for one in operations if (one.kind, one.path) == ("names", "recordings")]
            assert len(listings) == 2, "once by the start, once for the newest, of which no entry tells"
            assert len(names) <= 2 * count + 2, "and each time a name is read once"
            opened = {one.path.split("/")[1] for one in of_recordings(operations)}
            assert opened <= {recording_id(count)}, "the newest, of which no entry tells: the next one names it"
            counts.append((len(operations), sum(one.bytes for one in operations)))
            await daemon.camera_up.wait()
            assert of_recordings(volume.gate.log[before:]) == of_recordings(operations), "the loop turns first"
            await daemon.evidence.wait_looked()
            assert trio.current_time() - began >= LOOK_AFTER_S
        read = {one.path.split("/")[1] for one in of_recordings(volume.gate.log[before:]) if one.kind == "read"}
        assert read == {recording_id(serial) for serial in range(1, count + 1)}, "each of them is looked at behind it"
        assert told(rig) == []
    assert counts[0][0] == counts[1][0]
    assert abs(counts[0][1] - counts[1][1]) < 16, "digits of a serial number"


@pytest.mark.parametrize("others", [False, True])
async def test_a_start_that_remembers_nothing_looks_at_the_newest_and_leaves_the_rest(
    others: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """Counted, without an earlier start, and on a card that the witness has forgotten: a press does not wait longer
    with every recording. What a power cut has hit has its end all the same; what was cut before gets it behind."""
    counts = []
    for count in (AT_START + 8, AT_START + 40):
        volume = card(count)
        if others:
            await start(volume)
        cut_end(volume, 2)
        write_recording(volume, count + 1, close=False)
        rig = rig_of(volume, "boot-3")
        if others:
            witness = VirtualWitness()
            await witness.write([ANOTHER])
            rig.witness = witness
        before = volume.gate.count
        async with rig.running() as daemon:
            operations = of_recordings(volume.gate.log[before:])
            opened = {one.path.split("/")[1] for one in operations if one.kind == "read"}
            assert opened == {recording_id(serial) for serial in range(count + 2 - AT_START, count + 2)}
            counts.append(len(operations))
            assert isinstance(rig.manifest(recording_id(count + 1))[-1], records.Recovered)
            await trio.sleep(3)
            pressed = await rig.press()
            assert str(pressed.recording).endswith(f"-{count + 2:06}")
            assert pressed.ok
            await rig.stop()
            await rig.closed()
            await daemon.evidence.wait_looked()
        assert isinstance(rig.manifest(recording_id(2))[-1], records.Recovered)
    assert counts[0] == counts[1]


def test_the_folder_is_not_listed_again_for_each_end_that_is_not_entered() -> None:
    """Counted: a start reads the manifests of these alone."""
    volume = card(8)
    folders = volume.names("recordings")
    before = volume.gate.count
    opened = records.Removed(event="opened", segments=0)
    ends = ends_not_entered(volume, "BWV-0001", folders, [], lambda *_: opened)
    assert [detail["serial"] for _, detail in ends] == list(range(1, 9))
    assert [one.path for one in volume.gate.log[before:] if one.kind == "names"] == []


async def test_an_end_that_was_cut_off_is_told_by_the_look(autojump_clock: trio.testing.MockClock) -> None:
    """Invariants 7 and 13: told, entered, and signed in the recording, as by a start."""
    volume = VirtualVolume()
    rig = rig_of(volume, "boot-1")
    async with rig.running():
        await trio.sleep(6)
        recording = str((await rig.press()).recording)
        await trio.sleep(3)
        await rig.stop()
        await rig.closed()
    assert told(await start(volume)) == []
    folder = f"recordings/{recording}"
    lines = volume.read(f"{folder}/manifest.jsonl").splitlines(keepends=True)
    volume.remove(f"{folder}/manifest.jsonl")
    for name in ("init.mp4", "index.m3u8", "SHA256SUMS", "SHA256SUMS.sig"):
        volume.remove(f"{folder}/{name}")
    file = volume.create(f"{folder}/manifest.jsonl")
    file.write(b"".join(lines[:-4]))
    file.sync()
    file.close()

    again = await start(volume)

    (detail,) = told(again)
    assert recording in detail
    assert "it was closed with" in detail
    end = again.manifest(recording)[-1]
    assert isinstance(end, records.Recovered)
    assert end.end_removed is not None
    assert end.end_removed.event == "closed"
    assert volume.read("journal.jsonl").count(b'"event":"evidence_missing"') == 1
    assert told(await start(volume)) == [detail], "and at each start"


async def test_what_is_newer_is_brought_to_its_end_by_the_start(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 6: a power cut's recording does not wait for the look."""
    volume = card(3)
    await start(volume)
    write_recording(volume, 4, close=False)
    rig = rig_of(volume)
    async with rig.running():
        assert isinstance(rig.manifest(recording_id(4))[-1], records.Recovered)


async def test_one_that_could_not_be_brought_to_its_end_is_not_left_to_the_look(
    autojump_clock: trio.testing.MockClock,
) -> None:
    volume = card(2)
    write_recording(volume, 3, close=False)
    volume.fail(5, kind="append", path=f"{recording_id(3)}/manifest.jsonl", times=1)
    rig = rig_of(volume)
    async with rig.running():
        pass
    volume.heal()
    again = rig_of(volume, "boot-3")
    async with again.running():
        assert isinstance(again.manifest(recording_id(3))[-1], records.Recovered)


async def test_of_a_storage_that_was_put_back_the_start_looks_at_everything(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Invariant 13: what is remembered counts for nothing where the card is not as it was left, however much it is."""
    volume = card(AT_START + 3)
    rig = rig_of(volume, "boot-1")
    rig.witness = VirtualWitness()
    async with rig.running() as daemon:
        await daemon.evidence.wait_looked()
    earlier = volume.read("journal.jsonl")
    async with rig.running():
        await trio.sleep(3)
    volume.remove("journal.jsonl")
    file = volume.create("journal.jsonl")
    file.write(earlier)
    file.sync()
    file.close()
    cut_end(volume, 2)
    async with rig.running() as daemon:
        assert "storage_rolled_back" in daemon.hub.faults
        end = rig.manifest(recording_id(2))[-1]
        assert isinstance(end, records.Recovered)
        assert end.rolled_back


async def test_a_card_that_the_witness_has_forgotten_is_looked_at_whole(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Invariant 13: the journal says so, and nothing is left to what the card itself remembers."""
    volume, others = card(2), VirtualWitness()
    rig = rig_of(new_volume(), "boot-0")
    rig.witness = others
    async with rig.running():
        await trio.sleep(3)
    assert b"storage_not_remembered" not in rig.volume.read("journal.jsonl"), "a new one"
    await start(volume)
    cut_end(volume, 2)
    for boot, count in (("boot-2", 1), ("boot-3", 1)):
        rig = rig_of(volume, boot)
        rig.witness = others
        async with rig.running():
            assert isinstance(rig.manifest(recording_id(2))[-1], records.Recovered)
            await trio.sleep(3)
        assert volume.read("journal.jsonl").count(b'"event":"storage_not_remembered"') == count, "once, then it is"
        assert "storage_rolled_back" not in rig.daemon.hub.faults


async def test_a_strangers_word_leaves_nothing_to_the_look(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 13: whoever has the card has no key of the device's; his journal remembers nothing."""
    volume = card(2)
    stranger = rig_of(volume)
    stranger.signer = fixed_signer(7)
    async with stranger.running():
        await trio.sleep(3)
    assert volume.read("journal.jsonl").count(b'"event":"%s"' % SETTLED.encode()) == 1
    cut_end(volume, 2)
    rig = rig_of(volume)
    async with rig.running():
        assert isinstance(rig.manifest(recording_id(2))[-1], records.Recovered)


class Slow(VirtualStorage):
    """Each job takes 50 ms of virtual time, and is counted."""

    jobs = 0

    async def run(self, job: Callable[[Volume], T]) -> T:
        self.jobs += 1
        self.volume.gate.elapsed_s += 0.05
        return await super().run(job)


async def test_a_commit_waits_for_one_step_at_most_and_so_does_the_end(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 5: a press right behind a start is on the flash as if nothing were looked at."""
    volume = card(40)
    await start(volume)
    rig = rig_of(volume, "boot-3")
    rig.storage = storage = Slow(volume)
    before_start = volume.gate.count
    async with rig.running() as daemon:
        await trio.sleep(LOOK_AFTER_S + 1)
        before = storage.jobs
        recording = (await rig.press()).recording
        await rig.wait_for(lambda: f"recordings/{recording}/000001.m4s" in volume.tree(), step_s=0.01)
        looks = storage.jobs - before
        await rig.stop()
        await rig.closed()
        ending = trio.current_time()
    assert looks <= 3
    assert trio.current_time() - ending < 1
    assert told(rig) == []
    read = {one.path.split("/")[1] for one in of_recordings(volume.gate.log[before_start:]) if one.kind == "read"}
    assert recording_id(1) in read
    assert recording_id(39) not in read, "the look was stopped in the middle"
    await daemon.evidence.wait_looked()


async def test_one_that_was_released_meanwhile_is_no_error(autojump_clock: trio.testing.MockClock) -> None:
    """Its folder is gone, and the journal has gone on in a file that does not repeat the release (invariant 8)."""
    volume = card(4)
    await start(volume)
    rig = rig_of(volume, "boot-3")
    async with rig.running() as daemon:
        daemon.evidence.enter("released", recording=recording_id(3), serial=3)
        await rig.wait_for(lambda: recording_id(3) in daemon.evidence._journal.released)
        daemon.evidence._journal._known.released.clear()
        folder = f"recordings/{recording_id(3)}"
        for name in volume.names(folder):
            volume.remove(f"{folder}/{name}")
        volume.remove(folder)
        await daemon.evidence.wait_looked()
    assert b'"event":"recovery"' not in volume.read("journal.jsonl")
    assert told(rig) == []


def numbers_in(journal: bytes) -> list[int]:
    """The numbers that entries name as used, in the journal's order; and none is lost."""
    reader = ChainReader(io.BytesIO(journal), "journal.jsonl", JOURNAL_NAMESPACE)
    found = [line.record for line in reader if isinstance(line.record, records.Entry)]
    assert not [entry for entry in found if entry.event == "lost"]
    return [
        entry.detail["serial"] for entry in found if entry.event == "opened" and isinstance(entry.detail["serial"], int)
    ]


def begun_folders(volume: VirtualVolume, count: int) -> None:
    for serial in range(1, count + 1):
        volume.make_dir(f"recordings/{recording_id(serial)}")
    volume.sync_dir("recordings")


async def test_a_journal_that_is_lost_counts_every_recording_again(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 7: with more recordings than the journal's queue holds; one without an entry could go unnoticed."""
    volume, count = new_volume(), 2 * QUEUE_BOUND
    begun_folders(volume, count)
    rig = rig_of(volume)
    async with rig.running() as daemon:
        await rig.press()
        await trio.sleep(1)
        assert daemon.evidence.storage_status()["journal_lost"] == 0
        await rig.stop()
        await rig.closed()
    assert numbers_in(volume.read("journal.jsonl")) == list(range(1, count + 2))


async def test_a_power_cut_between_the_entries_leaves_the_rest_to_the_next_start(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Invariant 7: whatever the cut has kept of what the start had to enter, the next one enters what lacks."""
    volume, count = new_volume(), 2 * QUEUE_BOUND
    begun_folders(volume, count - 1)
    write_recording(volume, count, close=False)  # its end is entered too, with the largest number
    rig, kept = rig_of(volume), VirtualVolume()
    async with rig.running():
        appended = [one for one in volume.gate.log if (one.kind, one.path) == ("sync", "journal.jsonl")]
        while len(appended) < 3:
            await trio.lowlevel.checkpoint()
            appended = [one for one in volume.gate.log if (one.kind, one.path) == ("sync", "journal.jsonl")]
        # As the flash is when the power goes now.
        kept = VirtualVolume.from_state({p: c and bytes(c) for p, c in volume.tree().items()})
    before = numbers_in(kept.read("journal.jsonl"))
    assert 0 < len(before) < count
    async with rig_of(kept, "boot-3").running():
        pass
    assert numbers_in(kept.read("journal.jsonl")) == list(range(1, count + 1))
