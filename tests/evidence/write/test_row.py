"""Each recording names the one before it, and what that one's manifest was at its end, whatever came in between."""

from __future__ import annotations

import errno
import hashlib

import pytest
import trio
import trio.testing

from bwvd.evidence.format import records
from bwvd.evidence.format.recording_id import serial_of
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.journal.totals import Detail
from bwvd.evidence.write.row import KEPT, Row
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.crash import crash_states
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.rig import KEY, Rig, configuration

RATE = 8


def _rig(volume: VirtualVolume, boot: str = "boot-1") -> Rig:
    clock = VirtualClock()
    config = configuration(loop={"seconds": 3}, recording={"post_roll_s": 0})
    return Rig(config, clock, volume, camera=VirtualCamera(clock, rate=RATE, gop_frames=RATE), boot=boot)


def row(rig: Rig) -> list[str]:
    """What recordings say of those before them, in the order of their numbers; each must be so."""
    by_serial = {serial_of(recording): recording for recording in rig.recordings()}
    said = []
    for serial, recording in sorted(by_serial.items(), key=lambda one: one[0] or 0):
        first, *_ = rig.manifest(recording)
        assert isinstance(first, records.Open | records.Recovered)
        assert first.recording == recording
        before = first.before
        assert serial is not None
        assert before is not None
        assert before.serial == serial - 1
        if before.serial:
            earlier = by_serial[before.serial]
            assert before.recording == earlier
            if before.event in ("closed", "recovered"):
                data = rig.volume.read(f"recordings/{earlier}/manifest.jsonl")
                assert before.manifest_sha512 == hashlib.sha512(data).hexdigest()
                assert before.segments == sum(isinstance(one, records.Segment) for one in rig.manifest(earlier))
        said.append(before.event)
    return said


async def _record(rig: Rig) -> None:
    await trio.sleep(4)
    await rig.press()
    await trio.sleep(3)
    await rig.stop()
    await rig.closed()


async def test_one_after_the_other_and_over_a_start(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 7."""
    volume = VirtualVolume()
    for _ in range(2):
        rig = _rig(volume)
        async with rig.running():
            await _record(rig)
            await _record(rig)
    assert row(rig) == ["", "closed", "closed", "closed"]


async def test_one_that_was_cut_is_named_as_it_was_recovered(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 7: whenever the power went, and also where the journal has not heard of the end."""
    volume = VirtualVolume.from_state({}, trace=True)
    rig = _rig(volume)
    async with rig.running():
        await _record(rig)
        at = len(volume.moments)
        await _record(rig)
    seen = set()
    for state in crash_states(volume.moments[at:], per_moment=2)[::7]:
        rig = _rig(VirtualVolume.from_state(state.tree), "boot-2")
        async with rig.running():
            await _record(rig)
        seen.add(tuple(row(rig)))
    assert {("", "closed", "closed"), ("", "closed", "recovered")} <= seen


async def test_what_goes_on_after_an_error_names_what_broke_off(autojump_clock: trio.testing.MockClock) -> None:
    volume = VirtualVolume()
    rig = _rig(volume)
    async with rig.running():
        await trio.sleep(4)
        await rig.press()
        await trio.sleep(2)
        volume.fail(errno.EIO, kind="sync", path="manifest.jsonl")
        await trio.sleep(5)
        await rig.stop()
        await rig.closed()
        await trio.sleep(10)
        await _record(rig)
    assert row(rig) in (["", "begun", "closed"], ["", "recovered", "closed"])


@pytest.mark.parametrize("archives", [1, 3])
def test_the_journal_keeps_the_newest_end_in_every_file(archives: int) -> None:
    """So that a start reads no archive for it."""
    volume = VirtualVolume.from_state({"recordings": None})
    reading = VirtualClock(seconds=lambda: 1.0).read()
    ended: Detail = {
        "recording": "20261122T071505Z-BWV-0001-000007",
        "serial": 7,
        "segments": 3,
        "manifest_sha512": "ab",
    }
    for number in range(archives + 1):
        journal = Journal.open(volume, KEY, device="BWV-0001", limit_bytes=65_536)
        if number == 0:
            journal.append([Draft("closed", {**ended, "reason": "stop"}, reading)])
            older: Detail = {**ended, "serial": 6, "recording": "20261122T071505Z-BWV-0001-000006"}
            journal.append([Draft("recovered", {**older, "reason": "killed"}, reading)])
        assert journal.newest == records.Before(7, str(ended["recording"]), "closed", 3, "ab")
        journal.append([Draft("x", {"text": "x" * 500}, reading)] * 120)
        journal.close()
    assert len([name for name in volume.names("") if name.startswith("journal-")]) >= archives


def test_a_row_is_bounded() -> None:
    row = Row()
    for serial in range(1, 1000):
        row.ended(f"20261122T071505Z-BWV-0001-{serial:06d}", "closed", 1, "ab")
    assert row.before("20261122T071505Z-BWV-0001-001000") == records.Before(
        999, "20261122T071505Z-BWV-0001-000999", "closed", 1, "ab"
    )
    assert row.before(f"20261122T071505Z-BWV-0001-{999 - KEPT:06d}") == records.Before(998 - KEPT)
    assert row.before("no id") is None
