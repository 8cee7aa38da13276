"""A witness that does not answer at the start: what it remembers is judged when it does, and then written over."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from bwvd.evidence.format.recording_id import serial_of
from bwvd.evidence.journal.journal import Journal
from bwvd.messages import FaultChanged
from bwvd.testing.flash.storage import VirtualVolume
from bwvd.testing.witness import VirtualWitness
from tests.evidence.startup.test_look import rig_of
from tests.faults.recorded import entries_of
from tests.support.rig import Rig
from tests.support.storage_recording import SIGNER


async def run(volume: VirtualVolume, witness: VirtualWitness, boot: str, *, answers_s: float = 0) -> Rig:
    """A start with a recording; the witness answers so many seconds after the loop turns."""
    rig = rig_of(volume, boot)
    rig.witness = witness
    async with rig.running():
        await trio.sleep(answers_s)
        witness.hang(False)
        await trio.sleep(2)
        await rig.press()
        await trio.sleep(2)
        await rig.stop()
        await rig.closed()
        await trio.sleep(1)
    return rig


def raised(rig: Rig) -> set[str]:
    return {event.name for event in rig.events if isinstance(event, FaultChanged) and event.active}


async def test_a_card_that_was_put_back_is_told_when_the_witness_answers(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Invariant 13: a disk that is slow at a start does not make an earlier state of the card good."""
    volume, witness = VirtualVolume(), VirtualWitness()
    await run(volume, witness, "boot-1")
    earlier = volume.tree()
    await run(volume, witness, "boot-2")
    volume = VirtualVolume.from_state(earlier)
    witness.hang(True)
    rig = await run(volume, witness, "boot-3", answers_s=3)
    assert "storage_rolled_back" in raised(rig)
    assert b'"event":"storage_rolled_back"' in volume.read("journal.jsonl")


async def test_a_card_that_is_as_it_was_left_is_not(autojump_clock: trio.testing.MockClock) -> None:
    volume, witness = VirtualVolume(), VirtualWitness()
    await run(volume, witness, "boot-1")
    witness.hang(True)
    rig = await run(volume, witness, "boot-2", answers_s=3)
    assert "witness" in raised(rig)
    assert "storage_rolled_back" not in raised(rig)
    assert "storage_rolled_back" not in raised(await run(volume, witness, "boot-3"))


def serials(rig: Rig) -> list[int]:
    return [serial for one in rig.recordings() if (serial := serial_of(one)) is not None]


async def test_no_number_is_given_twice_once_the_witness_answers(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 13. The recording that was begun before keeps the number that it has: its press was not to wait, and
    the entry says up to which number there were recordings."""
    volume, witness = VirtualVolume(), VirtualWitness()
    await run(volume, witness, "boot-1")
    earlier = volume.tree()
    for boot in ("boot-2", "boot-3", "boot-4"):
        await run(volume, witness, boot)
    volume = VirtualVolume.from_state(earlier)
    witness.hang(True)
    rig = rig_of(volume, "boot-5")
    rig.witness = witness
    async with rig.running():
        for _ in range(2):
            await trio.sleep(3)
            assert (await rig.press()).ok
            await trio.sleep(2)
            await rig.stop()
            await rig.closed()
            witness.hang(False)
    assert serials(rig) == [1, 2, 5]
    (entry,) = [one for one in entries_of(volume.tree()) if one.event == "storage_rolled_back"]
    assert entry.detail["last_serial"] == 4


@pytest.mark.parametrize("late", [False, True])
async def test_no_number_is_given_twice_by_the_next_start(late: bool, autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 13: though nothing was recorded when it was told, and the witness has been told since."""
    volume, witness = VirtualVolume(), VirtualWitness()
    await run(volume, witness, "boot-1")
    earlier = volume.tree()
    await run(volume, witness, "boot-2")
    volume = VirtualVolume.from_state(earlier)
    witness.hang(late)
    rig = rig_of(volume, "boot-3")
    rig.witness = witness
    async with rig.running():
        await trio.sleep(3)
        witness.hang(False)
        await trio.sleep(3)
    assert "storage_rolled_back" in raised(rig)
    assert serials(await run(volume, witness, "boot-4")) == [1, 3]


@pytest.mark.parametrize("late", [False, True])
async def test_a_card_without_a_word_of_it_is_entered(late: bool, autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 13: whether its journal was cut to match nobody can tell, and that is said."""
    other, volume, witness = VirtualVolume(), VirtualVolume(), VirtualWitness()
    await run(volume, VirtualWitness(), "boot-1")
    await run(other, witness, "boot-2")
    witness.hang(late)
    await run(volume, witness, "boot-3", answers_s=3)
    entered = [one for one in entries_of(volume.tree()) if one.event == "storage_not_remembered"]
    assert [one.detail for one in entered] == [{"remembered": 1}]


@pytest.mark.parametrize("late", [False, True])
async def test_a_new_card_is_not(late: bool, autojump_clock: trio.testing.MockClock) -> None:
    """Nor one whose first start was cut before it could enter anything."""
    other, volume, witness = VirtualVolume(), VirtualVolume(), VirtualWitness()
    await run(other, witness, "boot-1")
    Journal.open(volume, SIGNER, device="BWV-0001", limit_bytes=1_000_000).append([])
    witness.hang(late)
    rig = await run(volume, witness, "boot-2", answers_s=3)
    assert "storage_rolled_back" not in raised(rig)
    assert not [one for one in entries_of(volume.tree()) if one.event == "storage_not_remembered"]
