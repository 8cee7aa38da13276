"""Evidence that is found to be gone while the daemon runs: the fault is raised as by a start."""

from __future__ import annotations

import errno

import trio
import trio.testing

from bwvd.messages import FaultChanged
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.rig import Rig, configuration


async def test_a_segment_that_is_gone_when_a_recording_is_mended(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 13."""
    volume = VirtualVolume()
    rig = Rig(config=configuration(loop={"seconds": 5}, recording={"post_roll_s": 0}), volume=volume)
    async with rig.running() as daemon:
        await trio.sleep(6)
        first = (await rig.press()).recording
        await trio.sleep(5)
        volume.remove(f"recordings/{first}/000002.m4s")
        volume.fail(errno.EIO, kind="sync", path=".m4s", times=1)
        await trio.sleep(10)
        assert "evidence_missing" in daemon.hub.faults
        await rig.stop()
        await rig.closed()
    told = [event for event in rig.events if isinstance(event, FaultChanged) and event.name == "evidence_missing"]
    assert [(event.active, str(first) in event.detail) for event in told] == [(True, True)]
    assert volume.read("journal.jsonl").count(b'"event":"evidence_missing"') == 1
