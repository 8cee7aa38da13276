"""Serial numbers stay gapless, whatever comes between a press and its first picture."""

from __future__ import annotations

import errno
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from bwvd.evidence.format import records
from bwvd.evidence.write.numbering import RecordingNumbers
from bwvd.messages import Order
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.crash import crash_states
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.desk import verify_storage
from tests.support.rig import Rig, configuration

RATE = 10


def _rig(volume: VirtualVolume) -> Rig:
    clock = VirtualClock()
    config = configuration(loop={"seconds": 5}, recording={"post_roll_s": 2})
    return Rig(config, clock, volume, camera=VirtualCamera(clock, rate=RATE, gop_frames=RATE))


def _numbers(rig: Rig) -> list[int]:
    return [int(recording[-6:]) for recording in rig.recordings()]


def _lay_out(volume: VirtualVolume, path: Path) -> Path:
    path.mkdir()
    for name, content in volume.tree().items():
        if content is None:
            (path / name).mkdir(parents=True, exist_ok=True)
        else:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    return path


async def _overtaken(rig: Rig, volume: VirtualVolume) -> str:
    """The first recording breaks off as it ends, behind a press to which no picture comes. The press's recording."""
    assert rig.camera is not None
    await trio.sleep(20)
    await rig.press()
    await trio.sleep(3)
    volume.stall(20, kind="sync", path="manifest.jsonl")
    volume.fail(errno.EIO, kind="sync", path="manifest.jsonl")
    await trio.sleep(1)
    await rig.stop()
    await trio.sleep(3.5)
    await rig.order(Order.SLEEP)
    rig.camera.unplug()
    pressed = await rig.press()
    assert pressed.recording is not None
    await trio.sleep(25)
    return pressed.recording


@pytest.mark.parametrize("again", [False, True])
async def test_a_number_that_was_overtaken_and_given_back(
    again: bool, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariant 8: its folder says that nothing was recorded, and the device's own storage verifies."""
    volume = VirtualVolume()
    rig = _rig(volume)
    assert rig.camera is not None
    async with rig.running():
        pressed = await _overtaken(rig, volume)
        assert _numbers(rig) == [1, 2, 3]
        await trio.sleep(10)
        await rig.stop()
        await trio.sleep(10)
        assert isinstance(rig.manifest(pressed)[-1], records.Recovered)
        if again:
            rig.camera.plug()
            await trio.sleep(20)
            await rig.press()
            await trio.sleep(3)
            await rig.stop()
            await rig.closed()
    assert _numbers(rig) == [1, 2, 3, 4][: 3 + again]
    reports = verify_storage(_lay_out(volume, tmp_path / "storage"))
    assert [(report.id, report.findings) for report in reports if not report.good] == []


async def test_a_number_that_was_overtaken_and_used(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Invariants 5 and 8: the picture comes at last, and the recording has the id that the press was answered with."""
    volume = VirtualVolume()
    rig = _rig(volume)
    assert rig.camera is not None
    async with rig.running():
        pressed = await _overtaken(rig, volume)
        rig.camera.plug()
        await trio.sleep(10)
        await rig.stop()
        await rig.closed()
    assert _numbers(rig) == [1, 2, 3]
    close = rig.manifest(pressed)[-1]
    assert isinstance(close, records.Close)
    assert (close.reason, close.frames > 0) == ("stop", True)
    reports = verify_storage(_lay_out(volume, tmp_path / "storage"))
    assert [(report.id, report.findings) for report in reports if not report.good] == []


async def test_the_power_goes_at_any_operation(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 8: at no moment does the medium hold a number without those before it."""
    volume = VirtualVolume(trace=True)
    rig = _rig(volume)
    async with rig.running():
        await _overtaken(rig, volume)
        await rig.stop()
        await rig.closed()
    states = crash_states(volume.moments, per_moment=4)
    most = 0
    for state in states:
        numbers = {int(path[-6:]) for path, content in state.tree.items() if content is None and path[-6:].isdecimal()}
        assert numbers == set(range(1, len(numbers) + 1))
        most = max(most, len(numbers))
    assert most == 3


@given(st.lists(st.sampled_from(["take", "give_back", "make"]), max_size=40), st.randoms(use_true_random=False))
def test_numbers_in_any_order_of_events(events: list[str], chance: Random) -> None:
    """Invariant 8: whatever is taken, given back and made, the folders have no gap and each has one owner."""
    naming = RecordingNumbers("BWV-0001", 1, VirtualClock(seconds=lambda: 2.0))
    wanted: dict[int, str] = {}  # taken, neither made nor given back
    folders: dict[int, str] = {}
    for event in events:
        if event == "take":
            serial, recording = naming.take(0)
            assert serial not in wanted
            wanted[serial] = recording
        elif wanted:
            serial = chance.choice(sorted(wanted))
            recording = wanted.pop(serial)
            if event == "give_back":
                naming.give_back(serial)
                continue
            for smaller, other in naming.without_folder_before(serial):
                assert smaller not in folders
                folders[smaller] = other
                naming.placeholder_made(smaller)
            assert folders.setdefault(serial, recording) == recording
            naming.recording_begun(serial)
        assert sorted(folders) == list(range(1, len(folders) + 1))
    ended = naming.abandoned()
    assert len(set(ended)) == len(ended)
    assert set(ended).isdisjoint(wanted.values())
    assert naming.next_serial > max(folders, default=0)
