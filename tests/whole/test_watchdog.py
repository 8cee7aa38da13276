"""The service manager's watchdog is fed only while every actor makes progress."""

from __future__ import annotations

import trio
import trio.testing

from bwvd.evidence.write.writer import STUCK_S
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.rig import Rig, configuration


async def test_a_flash_that_never_comes_back_is_found_in_the_ledger(autojump_clock: trio.testing.MockClock) -> None:
    """A writer that is stuck longer than the backlog lasts is named, and so the watchdog is not fed any more."""
    volume = VirtualVolume()
    rig = Rig(config=configuration(loop={"seconds": 2}, recording={"post_roll_s": 0}), volume=volume)
    rig.camera = VirtualCamera(rig.clock, rate=10, gop_frames=10)
    async with rig.running() as daemon:
        await trio.sleep(4)
        assert daemon.ledger.names() == ["recorder", "writer"]
        volume.stall(2 * STUCK_S, kind="sync", path="manifest.jsonl")
        await rig.press()
        await trio.sleep(STUCK_S - 10)
        assert daemon.ledger.stuck() == []
        await trio.sleep(20)
        assert [one.name for one in daemon.ledger.stuck()] == ["writer"]
        await trio.sleep(2 * STUCK_S)
        assert daemon.ledger.stuck() == []


async def test_standing_by_is_progress(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig(config=configuration(loop={"seconds": 2}))
    rig.camera = VirtualCamera(rig.clock, rate=10, gop_frames=10)
    async with rig.running() as daemon:
        for _ in range(100):
            await trio.sleep(3)
            assert daemon.ledger.stuck() == []
        rig.camera.unplug()
        for _ in range(30):
            await trio.sleep(3)
            assert daemon.ledger.stuck() == []
