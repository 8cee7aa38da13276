"""Requests on the control socket that are no orders."""

from __future__ import annotations

import trio.testing

from bwvd.daemon.socket_requests import SOCKET_REQUESTS
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.storage import VirtualVolume
from tests.faults.recorded import entries_of
from tests.support.rig import Rig


async def test_an_access_is_journalled_under_its_name_and_its_old_one(autojump_clock: trio.testing.MockClock) -> None:
    clock = VirtualClock()
    volume = VirtualVolume()
    rig = Rig(clock=clock, volume=volume, camera=VirtualCamera(clock, rate=10, gop_frames=10))
    async with rig.running() as daemon:
        for name in ("log_access", "did"):
            handle = SOCKET_REQUESTS[name]
            said = {"cmd": name, "what": "verified", "where": name, "outcome": "good"}
            assert (await handle(daemon, said, "socket:uid=0,pid=1"))["ok"]
            refused = await handle(daemon, {**said, "what": "deleted"}, "socket:uid=0,pid=1")
            assert not refused["ok"]
    entries = [entry for entry in entries_of(volume.tree()) if entry.event == "verified"]
    assert [entry.detail["where"] for entry in entries] == ["log_access", "did"]
