"""What lies on the card is held against all that is signed, slowly, behind a start; and nothing else waits for it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

import pytest
import trio
import trio.testing

from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.startup import inspection
from bwvd.evidence.startup.inspection import AGAIN, SHARE
from bwvd.messages import FaultChanged
from bwvd.testing.flash.storage import VirtualStorage, VirtualVolume
from tests.evidence.startup.test_look import rig_of, start
from tests.faults.recorded import entries_of
from tests.support import storage_recording
from tests.support.evidence_keys import fixed_signer
from tests.support.rig import Rig
from tests.support.storage_recording import new_volume, recording_id, write_recording

T = TypeVar("T")

Change = Callable[[VirtualVolume], None]

FOLDER = f"recordings/{recording_id(2)}"


def card(count: int) -> VirtualVolume:
    """A storage of the device's with so many closed recordings of three segments."""
    volume = new_volume()
    for serial in range(1, count + 1):
        write_recording(volume, serial)
    return volume


def put(volume: VirtualVolume, path: str, data: bytes) -> None:
    """A file as somebody else has it."""
    name = path.rpartition("/")[2]
    if name in volume.names(path.rpartition("/")[0]):
        volume.remove(path)
    file = volume.create(path)
    file.write(data)
    file.sync()
    file.close()


def told(rig: Rig) -> dict[str, str]:
    """The last words of each fault that says that somebody has been at the card."""
    faults = [event for event in rig.events if isinstance(event, FaultChanged) and event.active]
    return {event.name: event.detail for event in faults if event.name in ("evidence_missing", "evidence_changed")}


def lines(volume: VirtualVolume) -> list[tuple[str, str]]:
    """The entries about it: which, and what."""
    found = [entry for entry in entries_of(volume.tree()) if entry.event.startswith("evidence_")]
    return [(entry.event, str(entry.detail["what"])) for entry in found]


def emptied(volume: VirtualVolume) -> None:
    put(volume, f"{FOLDER}/000002.m4s", b"")


def longer(volume: VirtualVolume) -> None:
    put(volume, f"{FOLDER}/000001.m4s", volume.read(f"{FOLDER}/000001.m4s") + b"more")


def one_bit(volume: VirtualVolume) -> None:
    data = bytearray(volume.read(f"{FOLDER}/000003.m4s"))
    data[-1] ^= 1
    put(volume, f"{FOLDER}/000003.m4s", bytes(data))


def made_from_it(volume: VirtualVolume) -> None:
    """The playlist: no record names it, the signed sums do."""
    put(volume, f"{FOLDER}/index.m3u8", volume.read(f"{FOLDER}/index.m3u8").replace(b"000002", b"000001"))


def one_more(volume: VirtualVolume) -> None:
    put(volume, f"{FOLDER}/000004.m4s", b"not from this camera")


def a_folder_in_it(volume: VirtualVolume) -> None:
    volume.make_dir(f"{FOLDER}/more")


def removed(volume: VirtualVolume) -> None:
    for name in volume.names(FOLDER):
        volume.remove(f"{FOLDER}/{name}")
    volume.remove(FOLDER)


def beside_them(volume: VirtualVolume) -> None:
    put(volume, "recordings/note.txt", b"hello")


CHANGES = (
    (emptied, "evidence_missing", "000002.m4s is gone or cut short"),
    (longer, "evidence_changed", "000001.m4s is longer than signed"),
    (one_bit, "evidence_changed", "000003.m4s is not what was signed"),
    (made_from_it, "evidence_changed", "index.m3u8 is not what was signed"),
    (one_more, "evidence_changed", "no record names 000004.m4s"),
    (a_folder_in_it, "evidence_changed", "no record names more/"),
    (removed, "evidence_missing", "is missing: the journal knows of no release"),
    (beside_them, "evidence_changed", "is no recording of this device"),
)


@pytest.mark.parametrize(("change", "fault", "what"), CHANGES, ids=[change.__name__ for change, _, _ in CHANGES])
async def test_a_change_is_told(change: Change, fault: str, what: str, autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 7: as one fault and one entry, at each start for as long as it is so."""
    volume = card(3)
    assert told(await start(volume)) == {}
    change(volume)
    again = told(await start(volume))
    assert list(again) == [fault]
    assert what in again[fault]
    assert lines(volume) == [(fault, what)]
    assert told(await start(volume)) == again


async def test_what_is_as_it_was_left_is_not_told(autojump_clock: trio.testing.MockClock) -> None:
    """Invariants 6 and 7: recordings of a power cut, leftovers that a recovery has named, another key of the device."""
    volume = card(2)
    write_recording(volume, 3, close=False)
    put(volume, f"recordings/{recording_id(3)}/000004.m4s", b"a commit that the power cut")
    assert told(await start(volume)) == {}
    rig = rig_of(volume, "boot-3")
    rig.signer = fixed_signer(7)
    async with rig.running() as daemon:
        await daemon.evidence.wait_looked()
    assert told(rig) == {}
    assert lines(volume) == []


async def test_a_strangers_recording_is_told(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariants 7 and 14: whole in itself, under this device's id and the next number."""
    volume = card(2)
    await start(volume)
    monkeypatch.setattr(storage_recording, "SIGNER", fixed_signer(66))
    write_recording(volume, 3)
    rig = await start(volume)
    assert told(rig) == {
        "evidence_changed": f"{recording_id(3)}: is by a key that no file of this device's journal is of"
    }


class Counting(VirtualVolume):
    """Counts the bytes that are read of recordings."""

    read_bytes = 0

    def read(self, path: str, offset: int = 0, size: int = -1) -> bytes:
        data = super().read(path, offset, size)
        self.read_bytes += len(data) if path.startswith("recordings/") else 0
        return data


class Slow(VirtualStorage):
    """Each job takes 40 ms of virtual time; notes when each began and how much it has read of recordings."""

    def __init__(self, volume: VirtualVolume) -> None:
        self.counting = Counting.from_state(volume.tree())
        assert isinstance(self.counting, Counting)
        super().__init__(self.counting)
        self.jobs: list[tuple[float, int]] = []

    async def run(self, job: Callable[[Volume], T]) -> T:
        assert isinstance(self.counting, Counting)
        self.volume.gate.elapsed_s += 0.04
        began, before = trio.current_time(), self.counting.read_bytes
        outcome = await super().run(job)
        self.jobs.append((began, self.counting.read_bytes - before))
        return outcome

    def readings(self) -> list[float]:
        return [began for began, read in self.jobs if read]


async def test_it_takes_a_twentieth_of_the_time(autojump_clock: trio.testing.MockClock) -> None:
    """A step of 40 ms has a pause of nineteen times as much behind it, and none reads more than two MiB."""
    volume = card(4)
    await start(volume)
    write_recording(volume, 5, close=False)
    put(volume, f"recordings/{recording_id(5)}/000004.m4s", bytes(5_000_000))
    await start(volume)
    rig = rig_of(volume, "boot-3")
    rig.storage = storage = Slow(volume)
    async with rig.running() as daemon:
        await daemon.evidence._looking.wait_done()
        before = len(storage.jobs)
        await daemon.evidence.wait_looked()
    began = [at for at in storage.readings() if at >= storage.jobs[before][0]]
    assert len(began) > 8
    assert min(later - earlier for earlier, later in pairwise(began)) >= 0.04 * SHARE
    of_one_step = [read for _, read in storage.jobs[before:]]
    assert sum(of_one_step) > 5_000_000
    assert max(of_one_step) <= 2 * 1_048_576


async def test_it_rests_while_something_is_recorded(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 10: the card is the writer's then."""
    volume = card(12)
    await start(volume)
    rig = rig_of(volume, "boot-3")
    rig.storage = storage = Slow(volume)
    async with rig.running() as daemon:
        await trio.sleep(inspection.BEGIN_S + 12)
        await rig.press()
        await trio.sleep(1)
        began = trio.current_time()
        await trio.sleep(30)
        assert [at for at in storage.readings() if at >= began] == []
        await rig.stop()
        await rig.closed()
        closed = trio.current_time()
        await daemon.evidence.wait_looked()
    assert [at for at in storage.readings() if at >= closed]
    assert told(rig) == {}


async def test_it_goes_on_where_the_last_run_had_come_to(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a run had no time for is read by the next one first; the place is entered now and then, not at each step."""
    volume = card(8)
    await start(volume)
    monkeypatch.setattr(inspection, "KEPT_STEPS", 17)
    rig = rig_of(volume, "boot-3")
    async with rig.running() as daemon:
        await rig.wait_for(lambda: daemon.evidence._journal.latest("inspected") is not None, step_s=0.01)
        place = daemon.evidence._journal.latest("inspected")
    assert place is not None
    at, file = str(place["at"]), str(place["file"])
    assert at not in (recording_id(1), recording_id(8))
    before = volume.gate.count
    again = rig_of(volume, "boot-4")
    async with again.running() as daemon:
        await daemon.evidence.wait_looked()
    read = [one.path.split("/", 1)[1] for one in volume.gate.log[before:] if one.kind == "read" and "/00" in one.path]
    assert read[0] == f"{at}/{file}"
    assert len(set(read)) == len({path for path in volume.tree() if path.endswith(".m4s")}), "and all the others"


async def test_it_ends_with_the_daemon(autojump_clock: trio.testing.MockClock) -> None:
    """Between two steps: a shutdown does not wait for it."""
    volume = card(40)
    await start(volume)
    rig = rig_of(volume, "boot-3")
    rig.storage = Slow(volume)
    async with rig.running() as daemon:
        await trio.sleep(inspection.BEGIN_S + 40)
        ending = trio.current_time()
    assert trio.current_time() - ending < 1
    await daemon.evidence.wait_looked()


async def test_a_recording_that_is_released_meanwhile_is_not_told(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 8: the journal has the release, read before or not."""
    volume = card(3)
    await start(volume)
    rig = rig_of(volume, "boot-3")
    async with rig.running() as daemon:
        await trio.sleep(inspection.BEGIN_S)
        daemon.evidence.enter("released", recording=recording_id(2), serial=2)
        await trio.sleep(0.5)
        removed(volume)
        await daemon.evidence.wait_looked()
    assert told(rig) == {}
    assert told(await start(volume)) == {}


def unread(rig: Rig) -> list[str]:
    """The words of the fault for what can't be read, "" where it was read at last."""
    faults = [event for event in rig.events if isinstance(event, FaultChanged) and event.name == "evidence_unread"]
    return [event.detail if event.active else "" for event in faults]


async def test_a_recording_that_cannot_be_read_keeps_no_other_from_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Invariant 7; and it is a fault, in status and journal, until it was read."""
    volume = card(3)
    await start(volume)
    put(volume, f"recordings/{recording_id(3)}/000004.m4s", b"not from this camera")
    volume.fail(errno.EIO, kind="read", path=f"{recording_id(2)}/000001.m4s", times=9)
    volume.fail(errno.EIO, kind="read", path=f"{recording_id(1)}/000002.m4s", times=1)
    rig = rig_of(volume, "boot-3")
    async with rig.running() as daemon:
        await daemon.evidence.wait_looked()
        assert "no record names 000004.m4s" in told(rig)["evidence_changed"]
        first = f"{recording_id(1)}: Input/output error"
        assert unread(rig) == [first, f"{first} (and 1 more)"]
        assert "evidence_unread" in daemon.hub.faults
        await trio.sleep(AGAIN.delay_s(1) + 30)
        still = f"{recording_id(2)}: Input/output error"
        assert unread(rig)[2:] == [still]
        before = volume.gate.count
        volume.heal()
        await rig.wait_for(lambda: "evidence_unread" not in daemon.hub.faults)
        read = [one.path for one in volume.gate.log[before:] if one.kind == "read" and one.path.endswith(".m4s")]
        assert {path.split("/")[1] for path in read} == {recording_id(2)}, "only what was not read is read again"
    assert unread(rig) == [first, f"{first} (and 1 more)", still, ""]
    entered = [entry for entry in entries_of(volume.tree()) if entry.detail.get("name") == "evidence_unread"]
    assert [entry.detail["active"] for entry in entered] == [True, True, True, False]
    assert len(lines(volume)) == 1, "what was told is not told again"


@pytest.mark.parametrize(("kind", "path"), [("read", "journal.jsonl"), ("names", "recordings")])
async def test_a_journal_that_cannot_be_read_is_told_and_read_again(
    kind: str, path: str, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariant 7: without it nothing is inspected; all is, as soon as it was read."""
    volume = card(3)
    await start(volume)
    put(volume, f"recordings/{recording_id(3)}/000004.m4s", b"not from this camera")
    rig = rig_of(volume, "boot-3")
    async with rig.running() as daemon:
        await daemon.evidence._looking.wait_done()
        volume.fail(errno.EIO, kind=kind, path=path, times=2)
        await daemon.evidence.wait_looked()
        assert told(rig) == {}
        assert unread(rig) == [f"{path}: Input/output error"]
        await rig.wait_for(lambda: "evidence_unread" not in daemon.hub.faults)
    assert "no record names 000004.m4s" in told(rig)["evidence_changed"]
