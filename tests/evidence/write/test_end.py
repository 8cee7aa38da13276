"""The writer at its limits: a flash that stays dead while the daemon ends, and one that stalls through a press."""

from __future__ import annotations

import errno
import math

import pytest
import trio
import trio.testing

from bwvd.clock import NS
from bwvd.evidence.format import records
from bwvd.media.samples import Batch
from bwvd.messages import Order
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.rig import Rig, configuration

RATE = 10


def _rig(volume: VirtualVolume, **sections: dict[str, object]) -> Rig:
    clock = VirtualClock()
    sections.setdefault("loop", {"seconds": 5})
    sections.setdefault("recording", {"post_roll_s": 0})
    camera = VirtualCamera(clock, rate=RATE, gop_frames=RATE)
    return Rig(config=configuration(**sections), clock=clock, camera=camera, volume=volume)


async def test_a_dead_flash_does_not_keep_the_daemon_from_ending(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 12: commits that are being tried again are given up when the end is asked for, wiped and counted."""
    volume = VirtualVolume()
    rig = _rig(volume)
    with trio.fail_after(120):
        async with rig.running() as daemon:
            await trio.sleep(7)
            held = [batch for gop in daemon.recorder.loop.held() for batch in gop.batches]
            volume.fail(errno.EIO, times=math.inf)
            await rig.press()
            await trio.sleep(30)
            assert "storage" in daemon.hub.faults
    assert daemon.backlog.gops == 0
    assert not [batch for batch in held if any(batch.data)]
    assert daemon.writer.statistics.lost_frames > 300


async def test_the_status_follows_a_recording_that_goes_on_in_another(autojump_clock: trio.testing.MockClock) -> None:
    """What status calls committed is committed: of the recording that it names, which is where it is now."""
    volume = VirtualVolume()
    rig = _rig(volume)
    async with rig.running() as daemon:
        await trio.sleep(7)
        first = (await rig.press()).recording
        await trio.sleep(5)
        before = daemon.status()["recording"]
        assert before["id"] == first
        assert before["committed_s"] >= 9
        volume.fail(errno.EIO, kind="sync", times=1)
        await rig.wait_for(lambda: "storage" in daemon.hub.faults)
        during = daemon.status()["recording"]
        await trio.sleep(3)
        after = daemon.status()["recording"]
    _, second = rig.recordings()
    assert during == {"id": second, "seconds": during["seconds"], "segments": 0, "committed_s": 0.0}
    assert after["id"] == second
    assert 1 < after["committed_s"] < 5
    assert after["segments"] >= 2


async def test_a_press_into_a_full_backlog_says_how_much_it_kept(autojump_clock: trio.testing.MockClock) -> None:
    """Invariants 3 and 4: the pre-event part that found no room is not claimed, and the reason is said."""
    volume = VirtualVolume()
    rig = _rig(volume, storage={"backlog_bytes": 4_000})
    async with rig.running():
        await trio.sleep(7)
        await rig.press()
        await trio.sleep(5)
        volume.stall(40, kind="sync", nth=3)
        await trio.sleep(25)
        await rig.stop()
        await trio.sleep(3)
        await rig.press()
        await trio.sleep(30)
        await rig.stop()
        await rig.closed()
    last = rig.recordings()[-1]
    opening = rig.manifest(last)[0]
    assert isinstance(opening, records.Open)
    first_s = (opening.origin_mono_ns - opening.press.stamp.mono_ns) / 1e9
    assert first_s > 0, "the stall outlasted the press"
    assert (opening.pre_event.got_s, opening.pre_event.reason) == (0.0, "backlog_full")


async def test_the_battery_ends_a_recording_with_its_last_frame(autojump_clock: trio.testing.MockClock) -> None:
    """Invariants 4 and 12: closed for the battery, and what the camera held of the last GOP is in it."""
    rig = _rig(VirtualVolume())
    async with rig.running() as daemon:
        await trio.sleep(7)
        await rig.press()
        await trio.sleep(5.55)
        daemon.recorder.end_reason = "battery"
        daemon.shut_down("battery")
    assert rig.camera is not None
    (recording,) = rig.recordings()
    close = rig.manifest(recording)[-1]
    assert isinstance(close, records.Close)
    assert close.reason == "battery"
    assert rig.frames(recording)[-1][0] == rig.camera.number - 1


class _Broken(Exception):
    """An error of the storage's adapter that no protocol names."""


async def test_a_writer_that_fails_takes_the_loop_with_it(autojump_clock: trio.testing.MockClock) -> None:
    """Invariants 1 and 2: the daemon ends with the writer's own error, and what was in RAM is overwritten first."""
    volume = VirtualVolume()
    rig = _rig(volume)
    held: list[Batch] = []

    def fail(path: str) -> None:
        raise _Broken(path)

    async def shift() -> None:
        async with rig.running() as daemon:
            await trio.sleep(7)
            await rig.press()
            await trio.sleep(3)
            held.extend(batch for gop in daemon.recorder.loop.held() for batch in gop.batches)
            volume.sync_dir = fail  # type: ignore[method-assign]  # the adapter has a bug
            await trio.sleep(5)

    with pytest.raises(BaseExceptionGroup) as ended:
        await shift()
    assert ended.value.subgroup(_Broken) is not None
    assert ended.value.subgroup(trio.BrokenResourceError) is None, "that is no news"
    assert held
    assert not [batch for batch in held if any(batch.data)]


@pytest.mark.parametrize("kind", ["create", "write", "sync", "sync_dir"])
@pytest.mark.parametrize("nth", [1, 2])
async def test_no_room_for_the_first_segment_spoils_no_later_recording(
    kind: str, nth: int, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariants 5 and 12: the first recording is closed as full before it has anything; the second is like any."""
    volume = VirtualVolume()
    rig = _rig(volume)
    async with rig.running() as daemon:
        await trio.sleep(7)
        volume.fail(errno.ENOSPC, kind=kind, nth=nth, path="" if kind != "sync" else ".m4s" if nth == 1 else "l")
        await rig.press()
        await trio.sleep(1)
        await rig.stop()
        await rig.closed()
        volume.heal()
        await trio.sleep(15)
        assert (await rig.press()).ok
        await trio.sleep(5)
        await rig.stop()
        await rig.closed()
        await trio.sleep(15)
        assert daemon.hub.faults == {}
    last = rig.recordings()[-1]
    assert [int(name[-6:]) for name in rig.recordings()] == list(range(1, len(rig.recordings()) + 1))
    close = rig.manifest(last)[-1]
    assert isinstance(close, records.Close)
    assert close.reason == "stop"
    assert close.frames >= 90


async def test_a_close_that_fails_after_an_error_is_no_news(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 4: close(2) repeats the error that the sync has told; the recording goes on in another all the same."""
    volume = VirtualVolume()
    rig = _rig(volume)
    async with rig.running():
        await trio.sleep(7)
        await rig.press()
        await trio.sleep(3)
        volume.fail(errno.EIO, kind="sync", path="manifest.jsonl")
        volume.fail(errno.EIO, kind="close", path="manifest.jsonl")
        await trio.sleep(4)
        await rig.stop()
        await rig.closed()
    assert len(rig.recordings()) == 2
    frames = [number for recording in rig.recordings() for number, _ in rig.frames(recording)]
    assert frames == list(range(frames[0], frames[0] + len(frames)))


async def test_lost_pictures_are_told_while_they_are_lost(autojump_clock: trio.testing.MockClock) -> None:
    """Invariants 4 and 5: a stall that costs pictures is told; what a press has begun meanwhile says so."""
    volume = VirtualVolume()
    rig = _rig(volume, storage={"backlog_bytes": 4_000})
    async with rig.running() as daemon:
        await trio.sleep(7)
        await rig.press()
        await trio.sleep(5)
        volume.stall(60, kind="sync", nth=3)
        await trio.sleep(25)
        assert "backlog" in daemon.hub.faults
        await rig.stop()
        await rig.wait_for(lambda: daemon.recorder.current is None)
        assert "backlog" not in daemon.hub.faults, "nothing is recorded, so nothing is lost"
        swallowed = await rig.press()
        await trio.sleep(5)
        await rig.order(Order.MARK, text="he has a knife")
        await trio.sleep(5)
        assert "backlog" in daemon.hub.faults
        await rig.stop()
        await rig.closed()
        await trio.sleep(15)
        assert daemon.hub.faults == {}
    assert swallowed.recording == rig.recordings()[-1]
    opening, *notes, close = rig.manifest(rig.recordings()[-1])
    assert isinstance(opening, records.Open)
    assert isinstance(close, records.Close)
    assert (close.reason, close.frames, close.gaps) == ("stop", 0, 1)
    assert [record.label for record in notes if isinstance(record, records.Mark)] == ["he has a knife"]
    (gap,) = (record for record in notes if isinstance(record, records.Gap))
    assert (gap.cause, gap.from_ns) == ("backlog_full", 0)
    assert gap.frames >= 15 * RATE
    assert gap.to_ns > 9 * NS
    assert (opening.pre_event.got_s, opening.pre_event.reason) == (0, "not_stored")


async def test_a_flash_that_is_full_at_a_press_is_the_reason_of_its_end(autojump_clock: trio.abc.Clock) -> None:
    """Invariant 12: the number that the press got is a closed recording that says why there is nothing in it."""
    volume = VirtualVolume()
    rig = Rig(config=configuration(loop={"seconds": 5}), volume=volume)
    async with rig.running() as daemon:
        await trio.sleep(7)
        volume.fail(errno.ENOSPC, kind="make_dir")
        answer = await rig.press()
        await rig.wait_for(lambda: daemon.recorder.current is None and daemon.writer.idle)
        await trio.sleep(15)
    assert answer.recording == rig.recordings()[-1]
    opening, *_, close = rig.manifest(rig.recordings()[-1])
    assert isinstance(opening, records.Open)
    assert isinstance(close, records.Close)
    assert (close.reason, close.frames) == ("storage_full", 0)
    assert (opening.pre_event.got_s, opening.pre_event.reason) == (0, "not_stored")
