"""What a playlist says of time: as much as passed, gaps included; and one init segment where it can hold all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trio
import trio.testing

from bwvd.clock import NS
from bwvd.evidence.format import records
from bwvd.messages import Order
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.rig import Rig, configuration


def lengths(playlist: str) -> list[float]:
    return [float(text) for text in re.findall(r"#EXTINF:([\d.]+),", playlist)]


@pytest.fixture
def rig() -> Rig:
    clock = VirtualClock()
    config = configuration(loop={"seconds": 2}, recording={"post_roll_s": 0}, audio={"pre_event": True})
    camera = VirtualCamera(clock, rate=10, gop_frames=10)
    return Rig(config, clock, VirtualVolume(), camera=camera, has_microphone=True)


async def _recorded(rig: Rig) -> tuple[list[records.Segment], str]:
    await rig.stop()
    await rig.closed()
    (recording,) = rig.recordings()
    segments = [one for one in rig.manifest(recording) if isinstance(one, records.Segment)]
    return segments, rig.volume.read(f"recordings/{recording}/index.m3u8").decode()


@pytest.mark.parametrize("muted", [False, True], ids=["audio goes on", "neither frames nor audio"])
async def test_a_camera_gap_takes_its_time(rig: Rig, muted: bool, autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 15: the lengths of the segments add up to what the media lasts."""
    assert rig.camera is not None
    async with rig.running():
        await trio.sleep(4)
        await rig.press()
        if muted:
            await rig.order(Order.MUTE)
        await trio.sleep(2)
        rig.camera.unplug()
        await trio.sleep(3)
        rig.camera.plug()
        await trio.sleep(5)
        segments, playlist = await _recorded(rig)
    begins = [sum(lengths(playlist)[:index]) for index in range(len(segments))]
    assert begins == pytest.approx([(one.pts_ns - segments[0].pts_ns) / NS for one in segments], abs=1e-5)
    assert playlist.count("#EXT-X-DISCONTINUITY") == 1
    longest = int(re.findall(r"#EXT-X-TARGETDURATION:(\d+)", playlist)[0])
    assert longest >= max(lengths(playlist)) > longest - 1


def test_without_a_gap_a_segment_lasts_as_long_as_it_is(tmp_path: Path) -> None:
    folder = make_recording(make_storage(tmp_path), sound_from=0)
    assert lengths((folder / "index.m3u8").read_text()) == pytest.approx([1.0] * 4, abs=0.03)


async def test_a_microphone_that_nobody_knew_is_in_the_first_init_segment(
    rig: Rig, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariant 15: what a player sets up at the beginning holds the track that comes later."""
    assert rig.camera is not None
    async with rig.running():
        assert rig.microphone is not None
        rig.microphone.unplug()
        await trio.sleep(4)
        await rig.press()
        await trio.sleep(2)
        rig.microphone.plug()
        await trio.sleep(12)
        segments, playlist = await _recorded(rig)
    assert {segment.epoch for segment in segments} == {1, 2}
    assert re.findall(r'#EXT-X-MAP:URI="(.*)"', playlist) == ["init-2.mp4"]
    assert "DISCONTINUITY" not in playlist


async def test_another_size_needs_another_init_segment(rig: Rig, autojump_clock: trio.testing.MockClock) -> None:
    assert rig.camera is not None
    async with rig.running():
        await trio.sleep(4)
        await rig.press()
        await trio.sleep(2)
        rig.camera.unplug()
        await trio.sleep(0.5)
        rig.camera.change(96, 64)
        rig.camera.plug()
        await trio.sleep(5)
        _, playlist = await _recorded(rig)
    assert re.findall(r'#EXT-X-MAP:URI="(.*)"', playlist) == ["init.mp4", "init-2.mp4"]
