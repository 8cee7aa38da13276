"""A witness that does not answer at the start: what it remembers is judged when it does, and then written over."""

from __future__ import annotations

import trio
import trio.testing

from bwvd.messages import FaultChanged
from bwvd.testing.flash.storage import VirtualVolume
from bwvd.testing.witness import VirtualWitness
from tests.evidence.startup.test_look import rig_of
from tests.support.rig import Rig


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
