"""The virtual flash's faults: each does what a real flash has been seen to do, and nothing else."""

from __future__ import annotations

import errno
import math

import pytest
import trio
import trio.testing

from bwvd.evidence.flash.volume import File, Volume
from bwvd.testing.flash.faults import CHANGING, LOOKING, Operation, PowerCut
from bwvd.testing.flash.storage import BLOCK, VirtualStorage, VirtualVolume


def put(volume: Volume, path: str, content: bytes = b"content") -> None:
    file = volume.create(path)
    file.write(content)
    file.sync()
    file.close()


def kinds(volume: VirtualVolume) -> list[str]:
    return [operation.kind for operation in volume.gate.log]


def errno_of(action: object, *arguments: object) -> int | None:
    assert callable(action)
    with pytest.raises(OSError) as raised:  # noqa: PT011  # the errno is the result
        action(*arguments)
    return raised.value.errno


def test_every_operation_is_logged() -> None:
    volume = VirtualVolume()
    put(volume, "a", b"123")
    volume.rename("a", "b")
    volume.sync_dir("")
    assert kinds(volume) == ["create", "write", "sync", "close", "rename", "sync_dir"]
    assert volume.gate.log[1] == Operation(2, "write", "a", 3)
    assert volume.gate.log[4] == Operation(5, "rename", "a", target="b")


def test_every_kind_of_operation_can_fail_and_the_next_one_is_as_before() -> None:
    def do_all(volume: VirtualVolume) -> None:
        volume.make_dir("d")
        file = volume.create("d/a")
        file.write(b"1")
        file.sync()
        file.close()
        volume.append("d/a").close()
        assert (volume.read("d/a"), volume.size("d/a"), volume.sizes("d"), volume.names("")) == (
            b"1",
            1,
            {"a": 1},
            ["d/"],
        )
        volume.reserve("room", 1)
        volume.rename("d/a", "a")
        volume.sync_dir("")
        volume.remove("a")
        assert 0 < volume.free_bytes() < volume.total_bytes()

    volume = VirtualVolume()
    do_all(volume)
    assert set(kinds(volume)) == CHANGING | LOOKING
    for kind in sorted(CHANGING | LOOKING):
        volume = VirtualVolume()
        volume.fail(errno.EIO, kind=kind)
        assert errno_of(do_all, volume) == errno.EIO, kind
        assert kinds(volume)[-1] == kind
        do_all(VirtualVolume.from_state({}, capacity=None))


def test_a_file_that_fails_to_close_is_closed() -> None:
    volume = VirtualVolume(capacity=8192)
    file = volume.create("a")
    file.write(b"x" * 4096)
    volume.remove("a")
    volume.fail(errno.EIO, kind="close")
    assert errno_of(file.close) == errno.EIO
    file.close()
    assert volume.free_bytes() == 8192


def test_the_nth_operation_fails_and_the_others_do_not() -> None:
    volume = VirtualVolume()
    volume.fail(errno.EIO, nth=5)
    volume.create("a").close()
    volume.create("b").close()
    assert errno_of(volume.create, "c") == errno.EIO
    volume.create("c").close()
    assert volume.names("") == ["a", "b", "c"]


def test_the_nth_of_a_kind_on_a_path() -> None:
    volume = VirtualVolume()
    volume.fail(errno.EIO, kind="sync", path=".jsonl", nth=2)
    for name in ("a", "b", "c.jsonl"):
        put(volume, name)
    file = volume.append("c.jsonl")
    file.write(b"more")
    assert errno_of(file.sync) == errno.EIO
    assert errno_of(file.sync) == errno.EIO, "a handle takes nothing after a failure"
    assert errno_of(file.write, b"x") == errno.EIO
    put(volume, "d.jsonl")


def test_a_fault_for_ever_ends_with_healing() -> None:
    volume = VirtualVolume()
    volume.fail(errno.ENOSPC, kind="create", times=math.inf)
    for _ in range(5):
        assert errno_of(volume.create, "a") == errno.ENOSPC
    volume.heal()
    put(volume, "a")


def test_a_failing_write_may_leave_a_part() -> None:
    volume = VirtualVolume()
    volume.fail(errno.ENOSPC, kind="write", partial=3)
    file = volume.create("a")
    assert errno_of(file.write, b"123456") == errno.ENOSPC
    assert volume.read("a") == b"123"


def test_writes_come_in_pieces_each_with_its_own_fate() -> None:
    volume = VirtualVolume(max_write=4)
    volume.fail(errno.EIO, kind="write", nth=3)
    file = volume.create("a")
    assert errno_of(file.write, b"0123456789") == errno.EIO
    assert volume.read("a") == b"01234567"
    assert kinds(volume) == ["create", "write", "write", "write", "read"]


def test_a_full_flash() -> None:
    volume = VirtualVolume(capacity=4 * BLOCK)
    put(volume, "a", bytes(BLOCK + 1))
    assert volume.free_bytes() == 2 * BLOCK
    file = volume.create("b")
    assert errno_of(file.write, bytes(3 * BLOCK)) == errno.ENOSPC
    assert volume.size("b") == 2 * BLOCK, "a short write, then the error"
    assert volume.free_bytes() == 0
    assert errno_of(volume.make_dir, "d") == errno.ENOSPC
    put(volume, "empty", b"")
    tail = volume.append("a")
    tail.write(bytes(BLOCK - 1))
    assert errno_of(tail.write, b"x") == errno.ENOSPC


def test_a_removed_file_keeps_its_room_while_it_is_open() -> None:
    volume = VirtualVolume(capacity=4 * BLOCK)
    file = volume.create("a")
    file.write(bytes(4 * BLOCK))
    volume.remove("a")
    assert volume.free_bytes() == 0
    file.close()
    assert volume.free_bytes() == 4 * BLOCK


def test_a_reserve_takes_room_and_gives_it_back() -> None:
    volume = VirtualVolume(capacity=8 * BLOCK)
    volume.reserve("r", 6 * BLOCK)
    assert volume.free_bytes() == 2 * BLOCK
    assert errno_of(volume.reserve, "r", 9 * BLOCK) == errno.ENOSPC
    assert volume.size("r") == 6 * BLOCK
    volume.rename("r", "s")
    put(volume, "other")
    volume.rename("other", "s")
    assert volume.free_bytes() == 7 * BLOCK


def test_read_only_from_an_operation_on() -> None:
    volume = VirtualVolume()
    put(volume, "a")
    file = volume.append("a")
    volume.read_only_from(2)
    file.write(b"!")
    for action in (file.sync, lambda: volume.create("b"), lambda: volume.remove("a"), lambda: volume.sync_dir("")):
        assert errno_of(action) == errno.EROFS
    assert volume.read("a") == b"content!"
    volume.heal()
    put(volume, "b")


@pytest.mark.parametrize("nth", range(1, 6))
def test_a_power_cut_ends_everything(nth: int) -> None:
    volume = VirtualVolume()
    volume.power_cut_at(nth)
    for _ in range(nth - 1):
        volume.names("")
    with pytest.raises(PowerCut):
        volume.names("")
    for action in (lambda: volume.names(""), lambda: volume.create("x"), lambda: volume.read("a")):
        with pytest.raises(PowerCut):
            action()


def test_a_kill_leaves_what_was_written() -> None:
    volume = VirtualVolume()
    file = volume.create("a")
    file.write(b"unsynced")
    after = volume.killed()
    assert after.read("a") == b"unsynced"
    with pytest.raises(PowerCut):
        file.sync()
    again = after.append("a")
    again.write(b", more")
    assert after.read("a") == b"unsynced, more"


async def test_latency_is_virtual_time(autojump_clock: trio.testing.MockClock) -> None:
    volume = VirtualVolume()
    volume.gate.latency.per_operation = {"sync": 0.02, "create": 0.001}
    volume.gate.latency.bytes_per_s = 1_000_000
    storage = VirtualStorage(volume)
    await storage.run(lambda volume: put(volume, "a", bytes(500_000)))
    assert trio.current_time() == pytest.approx(0.521)
    volume.stall(7, kind="sync")
    await storage.run(lambda volume: put(volume, "b", b""))
    assert trio.current_time() == pytest.approx(7.542)


async def test_an_error_takes_its_time_too(autojump_clock: trio.testing.MockClock) -> None:
    volume = VirtualVolume()
    volume.fail(errno.EIO, kind="create")
    volume.stall(3, kind="create")
    with pytest.raises(OSError, match="a"):
        await VirtualStorage(volume).run(lambda volume: volume.create("a"))
    assert trio.current_time() == pytest.approx(3)


async def test_jobs_wait_for_each_other_in_order(autojump_clock: trio.testing.MockClock) -> None:
    volume = VirtualVolume()
    volume.gate.latency.per_operation = {"create": 1.0}
    storage = VirtualStorage(volume)
    ends = []

    async def job(name: str) -> None:
        await storage.run(lambda volume: volume.create(name).close())
        ends.append((name, trio.current_time()))

    async with trio.open_nursery() as nursery:
        for name in "abc":
            nursery.start_soon(job, name)
            await trio.testing.wait_all_tasks_blocked()
    assert [(name, round(end_s, 3)) for name, end_s in ends] == [("a", 1), ("b", 2), ("c", 3)]


async def test_a_begun_job_is_shielded_and_a_waiting_one_is_not(autojump_clock: trio.testing.MockClock) -> None:
    volume = VirtualVolume()
    volume.gate.latency.per_operation = {"create": 10.0}
    storage = VirtualStorage(volume)
    done = []

    def job(name: str) -> File:
        file = volume.create(name)
        file.close()
        return file

    async def run(name: str) -> None:
        await storage.run(lambda _: job(name))
        done.append(name)

    with trio.move_on_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, "begun")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(run, "waiting")
    assert done == ["begun"]
    assert volume.names("") == ["begun"]
    assert trio.current_time() == pytest.approx(10)
