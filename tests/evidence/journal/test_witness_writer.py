"""A system's disk that hangs or fails: a fault, and the journal goes on; the witness is told when it answers again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import trio
import trio.testing

from bwvd.evidence.journal.witness import FILE, FileWitness, Remembered
from bwvd.evidence.journal.witness_writer import ANSWER_S, WitnessWriter, read_witness
from bwvd.messages import FaultChanged
from bwvd.testing.witness import VirtualWitness
from tests.support.rig import Rig, configuration


def one(storage: str, size: int = 8192) -> Remembered:
    return Remembered(storage=storage, signer="ssh-ed25519 A", number=1, bytes=size, sha512="ab" * 64, last_serial=7)


async def test_a_witness_that_hangs_does_not_stop_the_journal(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 13: and knows all of it again when it answers."""
    rig = Rig(config=configuration(loop={"seconds": 2}, recording={"post_roll_s": 0}), witness=VirtualWitness())
    witness = rig.witness
    assert isinstance(witness, VirtualWitness)
    async with rig.running() as daemon:
        await trio.sleep(3)
        witness.hang(True)
        known = witness.storages
        pressed_s = trio.current_time()
        assert (await rig.press()).ok
        await trio.sleep(ANSWER_S + 1)
        assert b'"event":"opened"' in rig.volume.read("journal.jsonl")
        assert "has not answered" in daemon.hub.faults["witness"].detail
        await rig.stop()
        await rig.closed()
        await trio.sleep(0.5)
        assert b'"event":"closed"' in rig.volume.read("journal.jsonl")
        assert trio.current_time() < pressed_s + ANSWER_S + 3, "each entry waits anew"
        assert witness.storages == known
        witness.hang(False)
        await trio.sleep(1)
        assert "witness" not in daemon.hub.faults
        assert witness.storages[-1].last_closed == rig.recordings()[0]
    raised = [event for event in rig.events if isinstance(event, FaultChanged) and event.name == "witness"]
    assert [event.active for event in raised] == [True, False]
    assert rig.volume.read("journal.jsonl").count(b'"name":"witness"') == 2


async def test_a_witness_that_hangs_keeps_no_device_from_its_start_or_its_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    rig = Rig(witness=VirtualWitness())
    assert isinstance(rig.witness, VirtualWitness)
    rig.witness.hang(True)
    async with rig.running() as daemon:
        assert trio.current_time() < ANSWER_S + 1
        assert "witness" in daemon.hub.faults
        await trio.sleep(5)
    assert trio.current_time() < 5 + 4 * ANSWER_S


async def test_a_witness_that_failed_is_told_without_news(autojump_clock: trio.testing.MockClock) -> None:
    faults: list[str] = []
    witness = VirtualWitness()
    witness.broken = "read-only"
    writer = WitnessWriter(witness, [], faults.append, unread=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        await writer.tell(one("a"))
        assert set(faults) == {"read-only"}
        witness.broken = ""
        await trio.sleep(120)
        assert witness.storages == [one("a")]
        assert faults[-1] == ""
        await writer.tell(one("a", 9000))
        assert witness.storages == [one("a", 9000)], "it waits again for one that answers"
        nursery.cancel_scope.cancel()


async def test_what_could_not_be_read_at_the_start_is_not_written_over(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 13: the other cards are remembered."""
    witness = VirtualWitness()
    witness.storages = [one("a"), one("b")]
    witness.hang(True)
    storages, why = await read_witness(witness)
    assert (storages, why) == ([], "has not answered for 2 s")
    witness.hang(False)
    writer = WitnessWriter(witness, storages, lambda _: None, unread=bool(why))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        await writer.tell(one("b", 9000))
        nursery.cancel_scope.cancel()
    assert witness.storages == [one("a"), one("b", 9000)]


async def test_what_still_cannot_be_read_is_not_written_over(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 13: an error of the disk that passes takes away no memory of a card, and no word that judges it."""
    judged: list[Sequence[Remembered]] = []

    async def judge(storages: Sequence[Remembered]) -> None:
        judged.append(storages)

    witness = VirtualWitness()
    witness.storages = [one("a"), one("b")]
    witness.broken = "Input/output error"
    storages, why = await read_witness(witness)
    writer = WitnessWriter(witness, storages, lambda _: None, unread=bool(why), late=judge)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        await writer.tell(one("b", 9000))
        witness.broken = ""
        await trio.sleep(120)
        nursery.cancel_scope.cancel()
    assert witness.storages == [one("a"), one("b", 9000)]
    assert judged == [[one("a"), one("b")]]


async def test_nonsense_is_written_over(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"{}")
    witness = FileWitness(tmp_path)
    storages, why = await read_witness(witness)
    assert why
    writer = WitnessWriter(witness, storages, lambda _: None, unread=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        await writer.tell(one("a"))
        nursery.cancel_scope.cancel()
    assert await witness.read() == [one("a")]
