"""Finishing of a long recording: in short steps, and whatever the writer has to do comes first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
import trio
import trio.testing

from bwvd.evidence.flash import steps as flash_steps
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format import chain_tail
from bwvd.evidence.format.decode import decode
from bwvd.evidence.format.layout import SUMS, SUMS_SIGNATURE
from bwvd.evidence.write import finalize
from bwvd.evidence.write.finalize import finish_steps
from bwvd.testing.flash.storage import VirtualStorage, VirtualVolume
from tests.support.rig import Rig, configuration
from tests.support.storage_recording import SIGNER, new_volume, recording_id, write_recording

T = TypeVar("T")

PATH = f"recordings/{recording_id(1)}"


def test_the_longest_step_does_not_grow_with_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted: records decoded, bytes read and written, and names looked at between two steps."""
    monkeypatch.setattr(chain_tail, "STEP_RECORDS", 16)
    monkeypatch.setattr(finalize, "STEP_NAMES", 32)
    for module in (chain_tail, flash_steps, finalize):
        monkeypatch.setattr(module, "STEP_BYTES", 4096)
    decoded = 0

    def counted(line: bytes) -> object:
        nonlocal decoded
        decoded += 1
        return decode(line)

    monkeypatch.setattr(chain_tail, "decode", counted)
    longest = {}
    for segments in (40, 160):
        volume = new_volume()
        write_recording(volume, 1, segments=segments, finish=False)
        most_decoded = most_operations = 0
        before, operations = decoded, volume.gate.count
        for _ in finish_steps(volume, PATH, SIGNER):
            most_decoded, before = max(most_decoded, decoded - before), decoded
            most_operations = max(most_operations, volume.gate.count - operations)
            operations = volume.gate.count
        longest[segments] = (most_decoded, most_operations)
        assert {SUMS, SUMS_SIGNATURE} <= set(volume.names(PATH))
    assert longest[40] == longest[160]
    assert longest[160][0] <= 16


class Counting(VirtualStorage):
    """Counts jobs; each takes 50 ms of virtual time."""

    def __init__(self, volume: VirtualVolume) -> None:
        super().__init__(volume)
        self.jobs = 0

    async def run(self, job: Callable[[Volume], T]) -> T:
        self.jobs += 1
        self.volume.gate.elapsed_s += 0.05
        return await super().run(job)


async def test_a_commit_that_waits_comes_before_the_next_step(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 5: a press while the recording before it is being finished is on the flash first."""
    monkeypatch.setattr(chain_tail, "STEP_RECORDS", 1)
    volume = VirtualVolume()
    storage = Counting(volume)
    config = configuration(loop={"seconds": 5}, recording={"post_roll_s": 0})
    rig = Rig(config=config, volume=volume, storage=storage)
    async with rig.running() as daemon:
        await trio.sleep(6)
        first = (await rig.press()).recording
        await trio.sleep(30)
        await rig.stop()
        await rig.wait_for(lambda: not daemon.writer.statistics.recording, step_s=0.001)
        assert f"recordings/{first}/{SUMS_SIGNATURE}" not in volume.tree()
        closed_at = storage.jobs
        second = (await rig.press()).recording
        await rig.wait_for(lambda: f"recordings/{second}/000001.m4s" in volume.tree(), step_s=0.001)
        assert f"recordings/{first}/{SUMS}" not in volume.tree(), "its steps had begun, and were not at their end"
        assert storage.jobs - closed_at <= 3, "steps of the finishing that were made before the commit"
        await trio.sleep(10)
        assert f"recordings/{first}/{SUMS_SIGNATURE}" in volume.tree(), "made while the next one is recorded"
        await rig.stop()
        await rig.closed()
    assert f"recordings/{second}/{SUMS_SIGNATURE}" in volume.tree()
