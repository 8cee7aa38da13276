"""A flash without room, and a battery without charge, under a whole daemon on virtual devices."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from bwvd.evidence.format import records
from bwvd.messages import LowStorage, PowerRead, Pressed, State
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.rig import Rig, configuration

MEGABYTE = 1 << 20


def _rig(volume: VirtualVolume) -> Rig:
    config = configuration(
        video={"bitrate": 100_000},
        loop={"seconds": 3},
        recording={"post_roll_s": 0},
        storage={"reserve_bytes": 256 * 1024},
    )
    rig = Rig(config=config, volume=volume)
    rig.camera = VirtualCamera(rig.clock, rate=10, gop_frames=10)
    return rig


async def test_a_full_flash_refuses_and_says_so(autojump_clock: trio.testing.MockClock) -> None:
    """Invariants 5 and 8: nothing is overwritten; the press is refused with a reason, and taken again with room."""
    volume = VirtualVolume(capacity=MEGABYTE)
    stuffing = volume.create("journal-000099.jsonl")
    stuffing.write(bytes(640 * 1024))
    stuffing.close()
    rig = _rig(volume)
    async with rig.running() as daemon:
        await trio.sleep(5)
        answer = await rig.press()
        assert not answer.ok
        assert "full" in answer.text
        assert daemon.recorder.machine.state is State.STANDBY
        assert "storage" in daemon.hub.faults
        assert any(isinstance(event, LowStorage) and event.minutes == 0 for event in rig.events)
        refused = [event for event in rig.events if isinstance(event, Pressed)]
        assert [event.outcome for event in refused] == ["refused"]
        volume.remove("journal-000099.jsonl")
        await trio.sleep(30)
        assert "storage" not in daemon.hub.faults
        assert (await rig.press()).ok
        await trio.sleep(2)
    assert len(rig.recordings()) == 1


@pytest.mark.parametrize("files", range(72, 84))  # wherever it runs out
async def test_a_flash_without_free_files_ends_a_recording_with_all_that_belongs_to_it(
    files: int, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariants 5, 8 and 12: as one without free bytes; the end, the sums and what players need are files too."""
    volume = VirtualVolume(files=files)
    rig = _rig(volume)
    async with rig.running() as daemon:
        await trio.sleep(5)
        assert (await rig.press()).ok
        with trio.fail_after(200):
            await rig.closed()
        answer = await rig.press()
        assert not answer.ok
        assert "full" in answer.text
        assert "storage" in daemon.hub.faults
        assert daemon.storage_status()["minutes_left"] == 0
    (recording,) = rig.recordings()
    end = rig.manifest(recording)[-1]
    assert isinstance(end, records.Close)
    assert end.reason == "storage_full"
    there = set(volume.names(f"recordings/{recording}"))
    assert {"manifest.jsonl", "init.mp4", "index.m3u8", "SHA256SUMS", "SHA256SUMS.sig"} <= there
    numbers = [number for number, _ in rig.frames(recording)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) > 300


@pytest.mark.parametrize("capacity_kib", range(880, 944, 4))  # block by block: wherever in a commit it runs out
async def test_a_recording_fills_the_flash_and_is_closed_on_the_reserve(
    capacity_kib: int, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariant 12: a capacity that runs out in the middle of a commit, not a fault at a chosen operation."""
    volume = VirtualVolume(capacity=capacity_kib * 1024)
    rig = _rig(volume)
    async with rig.running() as daemon:
        await trio.sleep(5)
        assert (await rig.press()).ok
        await rig.wait_for(lambda: daemon.recorder.current is None, step_s=1)
        await rig.wait_for(lambda: daemon.writer.idle)
    (recording,) = rig.recordings()
    close = rig.manifest(recording)[-1]
    assert isinstance(close, records.Close)
    assert close.reason == "storage_full"
    numbers = [number for number, _ in rig.frames(recording)]
    assert numbers == list(range(numbers[0], numbers[0] + close.frames))
    assert "SHA256SUMS.sig" in volume.names(f"recordings/{recording}")


async def test_the_battery_s_level_stands_at_both_ends(autojump_clock: trio.testing.MockClock) -> None:
    rig = _rig(VirtualVolume())
    async with rig.running() as daemon:
        await trio.sleep(5)
        daemon.recorder.annotate(PowerRead(rig.clock.monotonic_ns(), 57, "battery"))
        await rig.press()
        await trio.sleep(2)
        daemon.recorder.annotate(PowerRead(rig.clock.monotonic_ns(), 56, "battery"))
        await trio.sleep(2)
        daemon.recorder.end_recording("battery")
        await rig.closed()
    (recording,) = rig.recordings()
    manifest = rig.manifest(recording)
    levels = [record.percent for record in manifest if isinstance(record, records.Power)]
    assert levels == [57, 56, 56]
    close = manifest[-1]
    assert isinstance(close, records.Close)
    assert close.reason == "battery"
