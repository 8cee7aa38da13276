"""What broke off is brought to its end while the daemon runs: each by itself, less and less often, and not silently."""

from __future__ import annotations

import errno
import math

import pytest
import trio
import trio.testing
from structlog.testing import CapturingLogger

from bwvd.evidence.format import records
from bwvd.evidence.write import repair
from bwvd.messages import FaultChanged
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.rig import Rig, configuration


async def test_one_that_can_not_be_mended_does_not_hide_the_next(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariants 6 and 12: a bad sector under one manifest; the other recording gets its end, and the fault is told."""
    log = CapturingLogger()
    monkeypatch.setattr(repair, "_log", log)
    volume = VirtualVolume()
    clock = VirtualClock()
    config = configuration(loop={"seconds": 3}, recording={"post_roll_s": 0})
    rig = Rig(config, clock, volume, camera=VirtualCamera(clock, rate=10, gop_frames=10))
    async with rig.running() as daemon:
        await trio.sleep(10)
        await rig.press()
        await trio.sleep(3)
        (first,) = rig.recordings()
        for kind in ("sync", "read"):
            volume.fail(errno.EIO, kind=kind, path=f"{first}/manifest.jsonl", times=math.inf)
        await trio.sleep(5)
        second = rig.recordings()[-1]
        volume.fail(errno.EIO, kind="sync", path=f"{second}/manifest.jsonl")
        await trio.sleep(5)
        await rig.stop()
        await rig.closed()
        await trio.sleep(30)
        assert isinstance(rig.signed(second)[-1], records.Recovered)
        assert list(daemon.hub.faults) == ["recovery"]
        assert first in daemon.hub.faults["recovery"].detail
        await trio.sleep(1200)
        tries = sum(one.kind == "read" and one.path.endswith(f"{first}/manifest.jsonl") for one in volume.gate.log)
        await trio.sleep(1200)
        again = sum(one.kind == "read" and one.path.endswith(f"{first}/manifest.jsonl") for one in volume.gate.log)
        assert 3 <= again - tries <= 5, "every five minutes"
        entries = volume.read("journal.jsonl").count(first.encode())
        volume.heal()
        await trio.sleep(310)
        assert daemon.hub.faults == {}
        assert isinstance(rig.signed(first)[-1], records.Recovered)
        assert volume.read("journal.jsonl").count(first.encode()) <= entries + 2
    told = [event for event in rig.events if isinstance(event, FaultChanged) and event.name == "recovery"]
    assert [event.active for event in told] == [True, False]
    assert [call.args for call in log.calls].count(("not_mended",)) == 1


async def test_an_end_that_the_storage_can_not_take_for_a_while(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 12: the journal says once that it failed, and once that it is done."""
    volume = VirtualVolume()
    clock = VirtualClock()
    config = configuration(loop={"seconds": 3}, recording={"post_roll_s": 0})
    rig = Rig(config, clock, volume, camera=VirtualCamera(clock, rate=10, gop_frames=10))
    async with rig.running() as daemon:
        await trio.sleep(10)
        await rig.press()
        await trio.sleep(3)
        (first,) = rig.recordings()
        volume.fail(errno.EIO, kind="sync", path=f"{first}/manifest.jsonl")
        volume.fail(errno.EIO, kind="append", path=f"{first}/manifest.jsonl", times=4)
        await trio.sleep(300)
        await rig.stop()
        await rig.closed()
        assert daemon.hub.faults == {}
        journal = volume.read("journal.jsonl").decode()
    assert isinstance(rig.signed(first)[-1], records.Recovered)
    assert journal.count('"event":"recovery"') == 1
    assert journal.count('"event":"recovered"') == 1
