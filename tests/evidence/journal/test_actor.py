"""The journal's actor: it never holds anybody up, and it loses nothing that it does not count."""

from __future__ import annotations

import errno
import io
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from bwvd.clock import Reading
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE
from bwvd.evidence.format.chain_reader import ChainReader
from bwvd.evidence.journal.actor import ATTEMPTS_AT_THE_END, GROUP_BOUND, PRESS_ROOM, QUEUE_BOUND, JournalActor
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.storage import VirtualStorage, VirtualVolume
from tests.support.evidence_keys import fixed_signer

READING = Reading(5_000_000_000, 1_795_331_703_250_000_000, "synchronised", 500)


@dataclass
class Setting:
    volume: VirtualVolume = field(default_factory=VirtualVolume)
    faults: list[tuple[bool, str]] = field(default_factory=list)
    first: int = 0  # so many entries that a start has made, named by their number

    def __post_init__(self) -> None:
        journal = Journal.open(self.volume, fixed_signer(), device="BWV-0001", limit_bytes=1 << 22)
        self.actor = JournalActor(
            VirtualStorage(self.volume),
            journal,
            VirtualClock(),
            lambda *fault: self.faults.append(fault),
            first=[Draft("state", {"name": str(i)}, READING) for i in range(self.first)],
        )

    def put(self, *names: object) -> None:
        for name in names:
            self.actor.put(Draft("state", {"name": str(name)}, READING))

    def entries(self) -> list[str]:
        reader = ChainReader(io.BytesIO(self.volume.read("journal.jsonl")), "journal.jsonl", JOURNAL_NAMESPACE)
        found = [one.record for one in reader if isinstance(one.record, records.Entry)]
        assert reader.problems == []
        return [str(entry.detail.get("name", f"{entry.event} {entry.detail.get('entries')}")) for entry in found]

    def syncs(self) -> int:
        return sum(operation.kind == "sync" for operation in self.volume.gate.log)


@asynccontextmanager
async def running(setting: Setting) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(setting.actor.run)
        yield
        setting.actor.close()


async def test_what_waits_is_one_append_and_one_sync(autojump_clock: trio.testing.MockClock) -> None:
    setting = Setting()
    setting.put("before the start", "too")
    before = setting.syncs()
    async with running(setting):
        await setting.actor.flush()
        assert setting.entries() == ["before the start", "too"]
        assert setting.syncs() == before + 1
        setting.put("a", "b", "c")
        assert setting.actor.waiting == 3
        await setting.actor.flush()
        assert setting.actor.waiting == 0
        assert setting.syncs() == before + 2
    assert setting.entries() == ["before the start", "too", "a", "b", "c"]


async def test_closing_writes_what_waits(autojump_clock: trio.testing.MockClock) -> None:
    setting = Setting()
    async with running(setting):
        setting.put("a", "b")
    assert setting.entries() == ["a", "b"]
    setting.put("late")
    assert setting.actor.lost == 1


async def test_a_stall_holds_nobody_up(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 10, for the journal: `put` is not even a checkpoint."""
    setting = Setting()
    setting.volume.stall(7, kind="sync")
    async with running(setting):
        setting.put("a")
        await trio.sleep(1)
        setting.put("b", "c")
        assert trio.current_time() == pytest.approx(1)
        await setting.actor.flush()
        assert trio.current_time() == pytest.approx(7)
    assert setting.entries() == ["a", "b", "c"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
async def test_a_sick_flash_is_told_once_and_outlived(number: int, autojump_clock: trio.testing.MockClock) -> None:
    setting = Setting()
    setting.volume.fail(number, kind="write", times=5)
    async with running(setting):
        setting.put("a")
        await trio.sleep(6)
        assert [active for active, _ in setting.faults] == [True]
        assert "journal.jsonl" in setting.faults[0][1]
        setting.put("b", "c")
        await setting.actor.flush()
    assert setting.entries() == ["a", "b", "c"]
    assert [active for active, _ in setting.faults] == [True, False]


async def test_overflow_is_counted_and_entered(autojump_clock: trio.testing.MockClock) -> None:
    setting = Setting()
    setting.volume.fail(errno.EIO, kind="write", times=4)
    async with running(setting):
        setting.put("first")
        await trio.sleep(1)
        setting.put(*range(QUEUE_BOUND + GROUP_BOUND + 100))
        assert setting.actor.lost > 0
        await setting.actor.flush()
    found = setting.entries()
    kept = [name for name in found if name.isdigit()]
    told = [int(name.removeprefix("lost ")) for name in found if name.startswith("lost")]
    assert kept == [str(i) for i in range(len(kept))], "the oldest are kept, in order"
    assert sum(told) == setting.actor.lost == QUEUE_BOUND + GROUP_BOUND + 100 - len(kept)


async def test_cancellation_writes_what_waits(autojump_clock: trio.testing.MockClock) -> None:
    setting = Setting()
    setting.volume.stall(3, kind="sync")
    async with trio.open_nursery() as nursery:
        await nursery.start(setting.actor.run)
        setting.put("a")
        await trio.sleep(1)  # in the middle of the stall
        setting.put("b", "c")
        nursery.cancel_scope.cancel()
    assert setting.entries() == ["a", "b", "c"]


async def test_cancellation_while_the_flash_is_sick_writes_all(autojump_clock: trio.testing.MockClock) -> None:
    setting = Setting()
    setting.volume.fail(errno.EIO, kind="write", times=1)
    async with trio.open_nursery() as nursery:
        await nursery.start(setting.actor.run)
        setting.put("a")
        await trio.sleep(0.1)  # in the pause after the error
        setting.put("b")
        nursery.cancel_scope.cancel()
    assert setting.entries() == ["a", "b"]


async def test_a_dead_flash_does_not_keep_the_daemon_from_ending(autojump_clock: trio.testing.MockClock) -> None:
    setting = Setting()
    setting.volume.fail(errno.EIO, kind="write", times=math.inf)
    with trio.fail_after(60):
        async with running(setting):
            setting.put("a", "b")
    assert setting.actor.lost == 2
    assert setting.actor.waiting == 0
    writes = [operation for operation in setting.volume.gate.log if operation.kind == "write"]
    assert len(writes) == 1 + ATTEMPTS_AT_THE_END, "the journal's first record, then the attempts"


async def test_a_bug_is_not_swallowed(autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Setting()

    def broken(self: Journal, drafts: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Journal, "append", broken)
    setting.put("a")
    with pytest.raises(ZeroDivisionError):
        await setting.actor.run()


def test_no_flood_takes_the_room_of_a_press() -> None:
    """Invariant 5: what a flood of anything else loses is counted; what a press did is entered."""
    actor = Setting().actor
    for _ in range(QUEUE_BOUND + 10):
        actor.put(Draft("exported", {}, READING))
    assert actor.lost == PRESS_ROOM + 10
    for _ in range(PRESS_ROOM):
        actor.put(Draft("press", {}, READING), press=True)
    assert actor.lost == PRESS_ROOM + 10


async def test_what_a_start_has_to_say_finds_room_however_much_it_is(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 7: an entry for each of so many recordings; none is lost, and none takes the room of what comes."""
    count = 3 * QUEUE_BOUND
    setting = Setting(first=count)
    before = setting.syncs()
    async with running(setting):
        setting.put(*range(count, count + QUEUE_BOUND - PRESS_ROOM))
        assert setting.actor.waiting == count + QUEUE_BOUND - PRESS_ROOM
        await setting.actor.flush()
    assert setting.entries() == [str(i) for i in range(count + QUEUE_BOUND - PRESS_ROOM)]
    assert setting.actor.lost == 0
    assert setting.syncs() - before == (count + QUEUE_BOUND - PRESS_ROOM) / GROUP_BOUND, (
        "in groups: a commit comes between"
    )


async def test_a_cancelled_start_says_all_of_it(autojump_clock: trio.testing.MockClock) -> None:
    setting = Setting(first=3 * QUEUE_BOUND)
    setting.volume.stall(3, kind="sync")
    async with trio.open_nursery() as nursery:
        await nursery.start(setting.actor.run)
        await trio.sleep(1)  # in the middle of the first group's stall
        setting.put(*range(3 * QUEUE_BOUND, 3 * QUEUE_BOUND + 5))
        nursery.cancel_scope.cancel()
    assert setting.entries() == [str(i) for i in range(3 * QUEUE_BOUND + 5)]


async def test_a_dead_flash_is_not_asked_for_each_group(autojump_clock: trio.testing.MockClock) -> None:
    setting = Setting(first=3 * QUEUE_BOUND)
    setting.volume.fail(errno.EIO, kind="write", times=math.inf)
    with trio.fail_after(60):
        async with running(setting):
            setting.put("a")
    assert setting.actor.lost == 3 * QUEUE_BOUND + 1
    assert setting.actor.waiting == 0
