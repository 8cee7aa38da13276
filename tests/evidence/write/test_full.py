"""A flash that fills up: the recording's end names in one gap all that was handed on and did not reach the flash."""

from __future__ import annotations

import errno
import math

import pytest
import trio
import trio.testing

from bwvd.clock import NS
from bwvd.evidence.format import records
from bwvd.evidence.verify.recording import Verification
from bwvd.evidence.verify.report import Report
from bwvd.evidence.verify.trust import Trust
from bwvd.messages import Order
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.desk import SIGNERS
from tests.support.rig import Rig, configuration
from tests.support.storage_recording import TreeFolder

RATE = 10
LOOP_S = 5
PLACES = [
    ("write", ".m4s"),
    ("sync", ".m4s"),
    ("sync_dir", ""),
    ("write", "manifest.jsonl"),
    ("sync", "manifest.jsonl"),
]


def _rig() -> tuple[Rig, VirtualVolume]:
    clock = VirtualClock()
    volume = VirtualVolume()
    config = configuration(loop={"seconds": LOOP_S}, recording={"post_roll_s": 0})
    return Rig(config, clock, volume, camera=VirtualCamera(clock, rate=RATE, gop_frames=RATE)), volume


def _verified(volume: VirtualVolume, recording: str) -> Report:
    return Verification(TreeFolder(volume.tree(), f"recordings/{recording}"), Trust(SIGNERS), name=recording).run()


def _end(rig: Rig, recording: str) -> tuple[records.Open, list[records.Gap], records.Close]:
    opening, *others = rig.manifest(recording)
    close = others[-1]
    assert isinstance(opening, records.Open)
    assert isinstance(close, records.Close)
    return opening, [record for record in others if isinstance(record, records.Gap)], close


@pytest.mark.parametrize(("kind", "path"), PLACES)
async def test_a_stall_that_ends_without_room(kind: str, path: str, autojump_clock: trio.testing.MockClock) -> None:
    """Invariants 4 and 12: half a minute waits when the flash turns out to be full; all of it is named, to the end."""
    rig, volume = _rig()
    async with rig.running() as daemon:
        await trio.sleep(20)
        await rig.press()
        await trio.sleep(6)
        volume.stall(30, kind=kind, path=path)
        volume.fail(errno.ENOSPC, kind=kind, path=path)
        await trio.sleep(10)
        assert (await rig.order(Order.MARK, text="door")).ok
        await rig.wait_for(lambda: daemon.recorder.current is None)
        ended_ns = rig.clock.monotonic_ns()
        await rig.closed()
        lost = daemon.writer.statistics.lost_frames
        await trio.sleep(20)
        assert daemon.hub.faults == {}
    (recording,) = rig.recordings()
    opening, gaps, close = _end(rig, recording)
    (gap,) = gaps
    frames = rig.frames(recording)
    assert gap.from_ns == pytest.approx((frames[-1][1] + 1 / RATE) * NS, abs=1e6)
    assert gap.to_ns == pytest.approx(ended_ns - opening.origin_mono_ns, abs=NS / 10)
    assert gap.to_ns - gap.from_ns > 29 * NS
    assert gap.frames == lost
    assert gap.frames == pytest.approx((gap.to_ns - gap.from_ns) / NS * RATE, abs=2 * RATE)
    assert (gap.track, gap.cause) == ("both", "storage_full")
    assert (close.reason, close.gaps) == ("storage_full", 1)
    assert [record.label for record in rig.manifest(recording) if isinstance(record, records.Mark)] == ["door"]
    assert _verified(volume, recording).verdict == "authentic"


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
async def test_what_begins_the_next_segment_is_not_forgotten(
    error: int, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariants 2 and 4: the commit of what lies before a hole fails; what lies behind it is counted, and wiped."""
    rig, volume = _rig()
    assert rig.camera is not None
    async with rig.running() as daemon:
        await trio.sleep(20)
        await rig.press()
        current = daemon.recorder.current
        assert current is not None
        await trio.sleep(5)
        volume.stall(10, kind="write", path=".m4s")
        volume.fail(error, kind="write", path=".m4s", nth=2, times=1 if error == errno.ENOSPC else math.inf)
        await trio.sleep(2.5)
        rig.camera.unplug()
        await trio.sleep(0.7)
        rig.camera.plug()
        await trio.sleep(10)
        await rig.stop()
        if error == errno.ENOSPC:
            await rig.closed()
    assert daemon.backlog.gops == 0
    written = sum(
        record.frames
        for recording in rig.recordings()
        for record in rig.signed(recording)
        if isinstance(record, records.Segment)
    )
    assert written + daemon.writer.statistics.lost_frames == current.frames


@pytest.mark.parametrize(
    ("kind", "path"),
    [("make_dir", ""), ("sync_dir", "recordings"), *((kind, "manifest.jsonl") for kind in ("create", "write", "sync"))],
)
async def test_a_recording_of_which_nothing_found_room(
    kind: str, path: str, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariants 4 and 12: what the press asked for is counted in the empty recording that carries its number."""
    rig, volume = _rig()
    async with rig.running() as daemon:
        await trio.sleep(20)
        volume.fail(errno.ENOSPC, kind=kind, path=path)
        await rig.press()
        await rig.wait_for(lambda: daemon.recorder.current is None)
        await rig.closed()
        lost = daemon.writer.statistics.lost_frames
        await trio.sleep(15)
    _, gaps, close = _end(rig, rig.recordings()[-1])
    assert (close.reason, close.frames, close.gaps) == ("storage_full", 0, 1)
    assert [gap.frames for gap in gaps] == [lost]
    assert lost >= LOOP_S * RATE
    for recording in rig.recordings():
        assert _verified(volume, recording).verdict in ("authentic", "recovered")


@pytest.mark.parametrize("kind", ["write", "sync"])
async def test_an_end_that_finds_no_room_either(kind: str, autojump_clock: trio.testing.MockClock) -> None:
    """Invariants 4 and 12: the reserve was not enough; the same end is written as soon as there is room."""
    rig, volume = _rig()
    async with rig.running() as daemon:
        await trio.sleep(20)
        await rig.press()
        await trio.sleep(6)
        volume.fail(errno.ENOSPC, kind="sync", path="manifest.jsonl")
        volume.fail(errno.ENOSPC, kind=kind, path="manifest.jsonl.new", times=2)
        await rig.wait_for(lambda: daemon.recorder.current is None)
        await rig.closed()
        lost = daemon.writer.statistics.lost_frames
        await trio.sleep(60)
    (recording,) = rig.recordings()
    _, gaps, close = _end(rig, recording)
    assert [gap.frames for gap in gaps] == [lost]
    assert lost >= RATE
    assert (close.reason, close.gaps) == ("storage_full", 1)
    assert _verified(volume, recording).verdict == "authentic"


async def test_a_stop_that_finds_no_room(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 12: everything had reached the flash but the end itself, and nothing is missing."""
    rig, volume = _rig()
    async with rig.running() as daemon:
        await trio.sleep(20)
        await rig.press()
        await trio.sleep(6)
        await rig.stop()
        await rig.wait_for(lambda: daemon.recorder.current is None, step_s=0)
        volume.fail(errno.ENOSPC, kind="write", path="manifest.jsonl", nth=2)
        await rig.closed()
    (recording,) = rig.recordings()
    _, gaps, close = _end(rig, recording)
    assert (close.reason, close.gaps, gaps) == ("stop", 0, [])
    assert rig.frames(recording)[-1][0] >= (20 + 6) * RATE - 1
    assert _verified(volume, recording).verdict == "authentic"
