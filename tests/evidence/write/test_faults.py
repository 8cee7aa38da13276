"""The storage says no at every single operation of a recording: what was captured is kept, or named as lost."""

from __future__ import annotations

import errno

import pytest
import trio
import trio.testing

from bwvd.evidence.format import records
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.rig import Rig, configuration

RATE = 10


def _rig(volume: VirtualVolume, **sections: dict[str, object]) -> Rig:
    clock = VirtualClock()
    sections.setdefault("loop", {"seconds": 3})
    sections.setdefault("recording", {"post_roll_s": 0})
    camera = VirtualCamera(clock, rate=RATE, gop_frames=RATE)
    return Rig(config=configuration(**sections), clock=clock, camera=camera, volume=volume)


async def _shift(rig: Rig, fault: VirtualVolume, nth: int, error: int) -> tuple[int, list[str]]:
    """Loop, press, six seconds, stop, with one fault at the nth operation after the press. Frames, and faults left."""
    async with rig.running() as daemon:
        await trio.sleep(5.5)
        daemon.hub.faults.clear()
        if error:
            fault.fail(error, nth=nth)
        pressed = await rig.press()
        assert pressed.ok
        first = daemon.recorder.current
        await trio.sleep(6)
        await rig.stop()
        await rig.closed()
        fault.heal()
        await trio.sleep(15)  # the journal and the mending have tried again
        assert first is not None
        return first.frames, sorted(daemon.hub.faults)


async def _operations() -> int:
    """How many operations a shift without faults has."""
    volume = VirtualVolume()
    rig = _rig(volume)
    await _shift(rig, volume, 0, 0)
    return volume.gate.count


@pytest.mark.parametrize("error", [errno.EIO, errno.EROFS])
async def test_an_error_at_any_operation_loses_no_frame(error: int, autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 4, 6: after an I/O error the recording goes on in a new one that names it, without a hole.

    Never is a failed sync taken for a success: what the broken-off recording acknowledges is there.
    """
    for nth in range(1, await _operations()):
        volume = VirtualVolume()
        rig = _rig(volume)
        handed, faults = await _shift(rig, volume, nth, error)
        recordings = rig.recordings()
        numbers: list[int] = []
        for recording in recordings:
            if "manifest.jsonl" not in volume.names(f"recordings/{recording}"):
                continue  # the fault struck while it was being made
            if any(isinstance(record, records.Segment) for record in rig.signed(recording)):
                numbers += [number for number, _ in rig.frames(recording)]
        whole = sorted(set(numbers))
        assert whole == list(range(whole[0], whole[0] + handed)), f"operation {nth}"
        assert faults == [], f"operation {nth}: the fault is over when the storage takes again"
        serials = [int(recording[-6:]) for recording in recordings]
        assert serials == list(range(1, len(serials) + 1)), "gapless"
        for recording in recordings:
            end = rig.signed(recording)[-1]
            assert isinstance(end, records.Close | records.Recovered), f"operation {nth}: mended without a restart"
        if len(recordings) > 1:
            opening = rig.signed(recordings[-1])[0]
            assert isinstance(opening, records.Open)
            assert opening.continues == recordings[-2]


async def test_no_room_at_any_operation_closes_the_recording_signed(autojump_clock: trio.testing.MockClock) -> None:
    """Invariants 8 and 12: what was acknowledged stays, and the recording is closed and signed on the reserve."""
    closed = 0
    for nth in range(1, await _operations()):
        volume = VirtualVolume()
        rig = _rig(volume)
        _, faults = await _shift(rig, volume, nth, errno.ENOSPC)
        assert faults == [], f"operation {nth}: there is room again"
        for recording in rig.recordings():
            names = volume.names(f"recordings/{recording}")
            if "manifest.jsonl" not in names:
                continue
            manifest = rig.signed(recording)
            if not manifest:
                continue  # struck before the first record was whole: recovery names it at the next start
            close = manifest[-1]
            assert isinstance(close, records.Close | records.Recovered), f"operation {nth}"
            if isinstance(close, records.Recovered):
                continue
            closed += close.reason == "storage_full"
            segments = [record for record in manifest if isinstance(record, records.Segment)]
            assert close.segments == len(segments)
            stored = [name for name in names if name.endswith(".m4s")]
            assert stored == [segment.file for segment in segments], f"operation {nth}: nothing that no line names"
    assert closed > 20


async def test_a_stall_of_ten_seconds_loses_no_frame(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 10: the flash stalls, the camera does not notice."""
    volume = VirtualVolume()
    rig = _rig(volume)
    async with rig.running() as daemon:
        await trio.sleep(5)
        volume.stall(10, kind="sync", path="manifest.jsonl", nth=3)
        await rig.press()
        await trio.sleep(20)
        await rig.stop()
        await rig.closed()
        assert daemon.recorder.frames_lost == 0
    (recording,) = rig.recordings()
    numbers = [number for number, _ in rig.frames(recording)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert not [record for record in rig.manifest(recording) if isinstance(record, records.Gap)]
    assert max(record.gops for record in rig.manifest(recording) if isinstance(record, records.Segment)) >= 9


async def _overflowed(*, stopped_after_s: float) -> tuple[Rig, int]:
    """A recording whose third sync takes a minute, with a backlog of seconds; and how many frames were lost."""
    volume = VirtualVolume()
    rig = _rig(volume, storage={"backlog_bytes": 6_000})
    async with rig.running() as daemon:
        await trio.sleep(5)
        volume.stall(60, kind="sync", path="manifest.jsonl", nth=3)
        await rig.press()
        await trio.sleep(stopped_after_s)
        await rig.stop()
        await rig.closed()
        return rig, daemon.recorder.frames_lost


async def test_a_longer_stall_loses_whole_gops_and_names_them(autojump_clock: trio.testing.MockClock) -> None:
    """Invariants 4 and 10: the backlog is bounded in bytes; what it can't take is a gap record, and nothing else."""
    rig, lost = await _overflowed(stopped_after_s=80)
    (recording,) = rig.recordings()
    gaps = [record for record in rig.manifest(recording) if isinstance(record, records.Gap)]
    assert gaps
    assert {gap.cause for gap in gaps} == {"backlog_full"}
    assert sum(gap.frames for gap in gaps) == lost > 0
    numbers = [number for number, _ in rig.frames(recording)]
    missing = set(range(numbers[0], numbers[-1] + 1)) - set(numbers)
    assert len(missing) == lost
    assert lost % RATE == 0, "whole GOPs"
    assert numbers == sorted(set(numbers))


async def test_a_gap_at_the_very_end_is_named_too(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 4: the recording ends while the backlog is full."""
    rig, lost = await _overflowed(stopped_after_s=50)
    (recording,) = rig.recordings()
    gaps = [record for record in rig.manifest(recording) if isinstance(record, records.Gap)]
    assert sum(gap.frames for gap in gaps) == lost > 0


@pytest.mark.parametrize("waited_s", [1, 12, 60])
async def test_a_dead_storage_does_not_keep_the_daemon_from_ending(
    waited_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariants 6 and 12: it is tried a few times more and then given up; what was acknowledged is found at the next
    start. Without an end the service manager would kill it, and whoever waits for the device would wait."""
    volume = VirtualVolume()
    rig = _rig(volume)
    async with rig.running() as daemon:
        await trio.sleep(5)
        await rig.press()
        await trio.sleep(5)
        volume.read_only_from(1)
        await trio.sleep(waited_s)
        assert "storage" in daemon.hub.faults
        acknowledged = [record for record in rig.signed(rig.recordings()[0]) if isinstance(record, records.Segment)]
        asked_s = trio.current_time()
    assert trio.current_time() - asked_s < 30
    volume.heal()
    async with Rig(config=rig.config, clock=rig.clock, volume=volume).running():
        await trio.sleep(1)
    manifest = rig.signed(rig.recordings()[0])
    assert isinstance(manifest[-1], records.Recovered)
    assert manifest[-1].segments >= len(acknowledged) >= 5
