"""What goes on in another recording after a storage error begins where its first frame is, and keeps every note."""

from __future__ import annotations

import errno
import hashlib
from itertools import pairwise

import pytest
import trio

from bwvd.clock import NS
from bwvd.evidence.format import records
from bwvd.evidence.release.handing_in import ReleaseRefused, run_release
from bwvd.evidence.release.receipt import Accepted, Receipt
from bwvd.messages import Order
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.recorded import Recorded, naming
from tests.support.rig import Rig, configuration

RATE = 8


def _rig() -> tuple[Rig, VirtualVolume]:
    clock = VirtualClock()
    volume = VirtualVolume()
    config = configuration(loop={"seconds": 3}, recording={"post_roll_s": 0})
    return Rig(config, clock, volume, camera=VirtualCamera(clock, rate=RATE, gop_frames=RATE)), volume


def _marks(rig: Rig) -> list[str]:
    return [
        record.label
        for recording in rig.recordings()
        for record in rig.manifest(recording)
        if isinstance(record, records.Mark)
    ]


@pytest.mark.parametrize("times", [1, 2, 3, 4])
async def test_a_marker_that_breaks_a_recording_off_costs_no_frame(
    times: int, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariant 4: a note that is written before the next group of pictures does not shift media time past it."""
    rig, volume = _rig()
    async with rig.running():
        await trio.sleep(4.5)
        await rig.press()
        await trio.sleep(0.1)
        volume.fail(errno.EIO, kind="write", path="manifest.jsonl", times=times)
        assert (await rig.order(Order.MARK, text="door")).ok
        await trio.sleep(4)
        await rig.stop()
        await rig.closed()
    numbers: list[int] = []
    for recording in rig.recordings():
        manifest = rig.manifest(recording)
        assert isinstance(manifest[-1], records.Close | records.Recovered)
        segments = [record for record in manifest if isinstance(record, records.Segment)]
        assert all(segment.pts_ns >= 0 for segment in segments)
        if segments:
            frames = rig.frames(recording)
            assert frames[0][1] >= 0
            numbers += [number for number, _ in frames]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) >= 7 * RATE
    assert _marks(rig) == ["door"]


async def test_what_broke_off_and_was_mended_is_released_while_it_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What is in progress is the recording that is written, not the one by whose id it was begun."""
    rig, volume = _rig()
    async with rig.running() as daemon:
        await trio.sleep(4.5)
        assert daemon.in_progress() == ""
        await rig.press()
        await trio.sleep(1)
        volume.fail(errno.EIO, kind="sync", path="manifest.jsonl")
        await rig.wait_for(lambda: len(rig.recordings()) == 2)
        first, second = rig.recordings()
        await rig.wait_for(lambda: "SHA256SUMS.sig" in volume.names(f"recordings/{first}"))
        assert daemon.in_progress() == second

        async def release(recording: str) -> None:
            manifest = volume.tree()[f"recordings/{recording}/manifest.jsonl"]
            assert manifest is not None
            receipt = Receipt(
                format=1,
                recording=recording,
                device=daemon.config.device.id,
                manifest_sha512=hashlib.sha512(manifest).hexdigest(),
                received_utc="2026-11-22T12:00:00Z",
                by="dock",
            )
            accepted = Accepted(receipt, "aa" * 32, "SHA256:key")
            await run_release(daemon.parts.storage, daemon.evidence.release(accepted, daemon.in_progress))

        await release(first)
        assert rig.recordings() == [second]
        with pytest.raises(ReleaseRefused, match="is in progress"):
            await release(second)
        await rig.stop()
        await rig.closed()
        await release(second)
    assert rig.recordings() == []


async def test_the_last_notes_of_a_recording_that_broke_off_are_kept(autojump_clock: trio.testing.MockClock) -> None:
    """A marker that was answered with yes is in a manifest, also when no frame follows it."""
    rig, volume = _rig()
    assert rig.camera is not None
    async with rig.running():
        await trio.sleep(4.5)
        await rig.press()
        await trio.sleep(0.1)
        rig.camera.unplug()
        await trio.sleep(0.4)
        volume.fail(errno.EIO, kind="write", path="manifest.jsonl")
        assert (await rig.order(Order.MARK, text="dark")).ok
        await trio.sleep(1)
        await rig.stop()
        await rig.closed()
    assert _marks(rig) == ["dark"]
    *_, last = rig.recordings()
    opening = rig.manifest(last)[0]
    assert isinstance(opening, records.Open)
    assert opening.continues


@pytest.mark.parametrize("nth", range(1, 6))
@pytest.mark.parametrize("path", [".m4s", "manifest.jsonl"])
@pytest.mark.parametrize("kind", ["write", "sync"])
@pytest.mark.parametrize("fault", ["stall", "hold", "drop", "unplug"])
async def test_a_loss_at_the_seam_is_named_on_one_side_of_it(
    fault: str, kind: str, path: str, nth: int, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariant 4: whatever is lost around a storage error is in the manifest of what broke off, or of what goes on."""
    rig, volume = _rig()
    assert rig.camera is not None
    async with rig.running():
        await trio.sleep(4.5)
        await rig.press()
        await trio.sleep(2)
        match fault:
            case "stall":
                rig.camera.stall(5)
            case "hold":
                rig.camera.hold(2)
            case "drop":
                rig.camera.drop(5)
            case "unplug":
                rig.camera.unplug()
                await trio.sleep(3)
                rig.camera.plug()
        volume.fail(errno.EIO, kind=kind, path=path, nth=nth)
        await trio.sleep(10)
        await rig.stop()
        await rig.closed()
    assert len(rig.recordings()) == 2, "the fault has not struck"
    found = [_recorded(rig, recording) for recording in rig.recordings()]
    frames = [frame for recorded in found for frame in recorded.frames]
    told = [gap for recorded in found for gap in recorded.gaps]
    assert [frame.at_ns for frame in frames] == sorted({frame.at_ns for frame in frames})
    step_ns = NS / RATE
    for before, after in pairwise(frames):
        if after.at_ns - before.at_ns > 1.5 * step_ns:
            # What lies before a recording's first frame has no length on its own time, but its frames are counted.
            counted = sum(gap.frames for gap in told if gap.from_ns == gap.to_ns == after.at_ns)
            missing = round((after.at_ns - before.at_ns) / step_ns) - 1
            assert counted >= missing or naming(told, before.at_ns, after.at_ns, 2 * step_ns), (before, after, told)


def _recorded(rig: Rig, recording: str) -> Recorded:
    known = [record for record in rig.signed(recording) if isinstance(record, records.ManifestRecord)]
    return Recorded.of(recording, known, lambda name: rig.volume.read(f"recordings/{recording}/{name}"))
