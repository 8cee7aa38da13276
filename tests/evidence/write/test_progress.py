"""How far a recording has come, as the journal is told: from time to time, behind the manifest's sync, exactly."""

from __future__ import annotations

import hashlib

import pyrage
import pytest
import trio
import trio.testing

from bwvd.clock import NS
from bwvd.evidence.format import records
from bwvd.evidence.keys.age import AgeSealer
from bwvd.evidence.write.progress import EVERY_NS
from bwvd.messages import Event, Order, Progressed
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.storage import VirtualVolume
from bwvd.testing.witness import VirtualWitness
from tests.faults.recorded import entries_of
from tests.support.rig import Rig, configuration

RATE = 4


def _rig(loop_s: int = 5, *, sealed: bool = False) -> tuple[Rig, VirtualVolume]:
    clock, volume = VirtualClock(), VirtualVolume()
    config = configuration(
        video={"rate": RATE}, loop={"seconds": loop_s, "max_bytes": 1 << 26}, recording={"post_roll_s": 0}
    )
    sealer = AgeSealer([str(pyrage.x25519.Identity.generate().to_public())]) if sealed else None
    camera = VirtualCamera(clock, rate=RATE, gop_frames=RATE)
    return Rig(config, clock, volume, camera=camera, sealer=sealer, witness=VirtualWitness()), volume


def _progress(volume: VirtualVolume) -> list[records.Entry]:
    return [entry for entry in entries_of(volume.tree()) if entry.event == "progress"]


def _syncs(volume: VirtualVolume, path: str) -> int:
    return sum(one.kind == "sync" and one.path.endswith(path) for one in volume.gate.log)


@pytest.mark.parametrize("sealed", [False, True])
async def test_it_says_what_the_manifest_holds(sealed: bool, autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 13: every 30 s, the bytes of the manifest and their digest; only of what a sync has confirmed."""
    rig, volume = _rig(sealed=sealed)
    last: list[str] = []

    def heard(event: Event) -> None:
        if isinstance(event, Progressed):
            touched = [one.kind for one in volume.gate.log if one.path.endswith(f"{event.recording}/manifest.jsonl")]
            last.append(touched[-1])

    async with rig.running() as daemon:
        daemon.hub.sink(heard)
        await trio.sleep(10)
        await rig.press()
        await trio.sleep(100)
        await rig.stop()
        await rig.closed()
        await trio.sleep(1)
    assert last == ["sync"] * 3
    (recording,) = rig.recordings()
    manifest = volume.read(f"recordings/{recording}/manifest.jsonl")
    known_ns = 0
    for entry in _progress(volume):
        size, sha512 = entry.detail["manifest_bytes"], entry.detail["manifest_sha512"]
        assert isinstance(size, int)
        assert hashlib.sha512(manifest[:size]).hexdigest() == sha512
        assert manifest[:size].count(b'"type":"segment"') == entry.detail["segments"]
        duration_ns = entry.detail["duration_ns"]
        assert isinstance(duration_ns, int)
        assert EVERY_NS <= duration_ns - known_ns <= EVERY_NS + 2 * NS
        known_ns = duration_ns
    assert len(_progress(volume)) == 3
    assert [entry.event for entry in entries_of(volume.tree()) if "segments" in entry.detail][-1] == "closed"


async def test_it_costs_one_sync_and_one_word_to_the_witness_in_30_s(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 10: the manifest's commits are as many as without it."""
    rig, volume = _rig()
    witness = rig.witness
    assert isinstance(witness, VirtualWitness)
    async with rig.running():
        await trio.sleep(10)
        await rig.press()
        await trio.sleep(40)
        before = _syncs(volume, "journal.jsonl"), _syncs(volume, "manifest.jsonl"), witness.writes
        await trio.sleep(120)
        assert _syncs(volume, "journal.jsonl") - before[0] == 4
        assert _syncs(volume, "manifest.jsonl") - before[1] == pytest.approx(120, abs=1)
        assert witness.writes - before[2] == 4
        await rig.stop()
        await rig.closed()


async def test_what_lay_in_the_loop_is_told_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 13: 40 s of it are 40 s of recording, though they reach the flash in one."""
    rig, volume = _rig(loop_s=40)
    async with rig.running():
        await trio.sleep(60)
        await rig.press()
        await trio.sleep(2)
        (entry,) = _progress(volume)
        assert isinstance(duration_ns := entry.detail["duration_ns"], int)
        assert duration_ns >= EVERY_NS
        await rig.stop()
        await rig.closed()


async def test_notes_are_told_where_no_picture_comes(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 13: a marker that is committed while the camera is away makes no media time."""
    rig, volume = _rig()
    assert rig.camera is not None
    async with rig.running():
        await trio.sleep(10)
        await rig.press()
        await trio.sleep(5)
        rig.camera.unplug()
        await trio.sleep(75)
        await rig.order(Order.MARK, text="a door")
        await trio.sleep(3)
        entry = _progress(volume)[-1]
        (recording,) = rig.recordings()
        assert isinstance(size := entry.detail["manifest_bytes"], int)
        assert b'"label":"a door"' in volume.read(f"recordings/{recording}/manifest.jsonl")[:size]
        await rig.stop()
        await rig.closed()


async def test_each_recording_begins_its_own_count(autojump_clock: trio.testing.MockClock) -> None:
    """Short ones, one after the other, make no entry."""
    rig, volume = _rig()
    async with rig.running():
        await trio.sleep(10)
        for _ in range(3):
            await rig.press()
            await trio.sleep(20)
            await rig.stop()
            await rig.closed()
            await trio.sleep(5)
    assert _progress(volume) == []
