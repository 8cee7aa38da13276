"""A failed sync: the recording is left as far as it was durable, and nothing doubtful is built upon."""

from __future__ import annotations

import errno

import pytest
import trio
import trio.testing

from bwvd.evidence.format import records
from bwvd.evidence.format.sums import check_signature
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.rig import Rig, configuration


@pytest.mark.parametrize("path", ["manifest.jsonl", "000003.m4s"])
async def test_what_a_failed_sync_left_is_not_believed(path: str, autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 6: the page cache shows what the medium may not have; mending does not vouch for it."""
    volume = VirtualVolume()
    rig = Rig(config=configuration(loop={"seconds": 2}, recording={"post_roll_s": 0}), volume=volume)
    rig.camera = VirtualCamera(rig.clock, rate=10, gop_frames=10)
    async with rig.running() as daemon:
        await trio.sleep(4)
        await rig.press()
        await rig.wait_for(lambda: daemon.writer.statistics.segments >= 2)
        (first,) = rig.recordings()
        folder = f"recordings/{first}"
        committed = daemon.writer.statistics.segments
        volume.fail(errno.EIO, kind="sync", path=path if path == "manifest.jsonl" else f"{committed + 1:06d}.m4s")
        await trio.sleep(4)
        await rig.stop()
        await rig.closed()
    manifest = rig.manifest(first)
    segments = [record for record in manifest if isinstance(record, records.Segment)]
    assert len(segments) == committed
    assert isinstance(manifest[-1], records.Recovered)
    assert manifest[-1].found == [], "nothing doubtful is left to be named"
    stored = [name for name in volume.names(folder) if name.endswith(".m4s")]
    assert stored == [segment.file for segment in segments]
    second = rig.recordings()[1]
    frames = [number for recording in (first, second) for number, _ in rig.frames(recording)]
    assert frames == list(range(frames[0], frames[0] + len(frames))), "each frame is in one of the two, once"


@pytest.mark.parametrize("path", ["SHA256SUMS", "SHA256SUMS.sig", "index.m3u8", "init.mp4"])
async def test_what_players_need_is_made_when_the_storage_takes_again(
    path: str, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariant 12: the end is signed and the files beside it failed; they are there without a restart."""
    volume = VirtualVolume()
    rig = Rig(config=configuration(loop={"seconds": 2}, recording={"post_roll_s": 0}), volume=volume)
    rig.camera = VirtualCamera(rig.clock, rate=10, gop_frames=10)
    async with rig.running():
        await trio.sleep(4)
        await rig.press()
        await trio.sleep(4)
        volume.fail(errno.EIO, kind="sync", path=path)
        await rig.stop()
        await rig.closed()
        (recording,) = rig.recordings()
        assert "SHA256SUMS.sig" not in volume.names(f"recordings/{recording}") or path == "SHA256SUMS.sig"
        await trio.sleep(10)
        names = volume.names(f"recordings/{recording}")
        sums = volume.read(f"recordings/{recording}/SHA256SUMS").decode()
        assert {line.split("  ")[1] for line in sums.splitlines()} == set(names) - {"SHA256SUMS", "SHA256SUMS.sig"}
        signature = volume.read(f"recordings/{recording}/SHA256SUMS.sig")
        check_signature(sums.encode(), signature)
    assert isinstance(rig.manifest(recording)[-1], records.Close)
