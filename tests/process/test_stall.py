"""A real daemon whose flash stalls: the camera goes on, and what was seen meanwhile is written when it can be."""

from __future__ import annotations

import time

import pytest

from tests.support.process_scenario import BITRATE, GOP_FRAMES, RATE, Scene, bits_per_s, scenario, watch
from tests.support.real_volume import ext4, frozen, make_ext4, slow

STALL_S = 10.0
SMALL_BACKLOG = 2_000_000  # bytes: 4 s of the camera


@scenario
def test_a_stall_of_ten_seconds_loses_nothing(scene: Scene) -> None:
    """Invariants 4 and 10: at 4 Mbit/s every sync of ten seconds holds, and no frame is missing afterwards."""
    with scene.daemon() as bwvd:
        recording = scene.press()
        bwvd.wait_until(lambda status: status["recording"]["committed_s"] > 0)
        frames = bwvd.status()["video"]["frames"]
        scene.levers.hold_until_s = time.monotonic() + STALL_S
        seen = list(watch(bwvd, STALL_S - 0.5))
        assert bwvd.ask(cmd="mark", label="while it stalls")["ok"]
        assert seen[-1]["state"] == "recording"
        assert seen[-1]["video"]["frames"] - frames > (STALL_S - 2) * RATE
        assert seen[-1]["storage"]["backlog_bytes"] > (STALL_S - 3) * BITRATE / 8
        scene.stop()
    assert scene.levers.longest_s >= STALL_S - 1
    found = scene.whole(recording)
    assert bits_per_s(found) > 0.9 * BITRATE
    assert len(found.frames) > (STALL_S + 1) * RATE
    assert [report.verdict for report in scene.verified()] == ["authentic"]


@scenario
def test_a_stall_that_outlasts_the_backlog_loses_whole_groups_and_names_them(scene: Scene) -> None:
    """Invariants 4 and 10: what found no room is told group by group, and what surrounds it is whole."""
    with scene.daemon(SMALL_BACKLOG) as bwvd:
        recording = scene.press()
        bwvd.wait_until(lambda status: status["recording"]["committed_s"] > 0)
        scene.levers.hold_until_s = time.monotonic() + STALL_S
        bwvd.wait_until(lambda status: status["video"]["dropped"] > 0)
        bwvd.wait_until(lambda status: not status["storage"]["backlog_bytes"])
        time.sleep(1)
        dropped = bwvd.status()["video"]["dropped"]
        scene.stop()
    _names_what_was_dropped(scene, recording, dropped)


def _names_what_was_dropped(scene: Scene, recording: str, dropped: int) -> None:
    found = scene.recorded(recording)
    holes = found.holes(RATE, 1 << 16)
    assert holes
    assert all(hole.named is not None and hole.named.cause == "backlog_full" for hole in holes), list(map(str, holes))
    assert all(hole.missing % GOP_FRAMES == 0 for hole in holes)
    assert all(hole.named is not None and hole.named.frames == hole.missing for hole in holes)
    assert sum(hole.missing for hole in holes) == dropped
    assert len(found.gaps) == len(holes)
    assert [report.verdict for report in scene.verified()] == ["authentic"]


@scenario
def test_a_file_system_that_is_frozen_for_ten_seconds_loses_nothing(scene: Scene) -> None:
    """Invariants 4 and 10: the same on a real ext4, all of whose writes and syncs wait in the kernel."""
    make_ext4(scene.folder / "image", 64 << 20)
    with ext4(scene.storage, scene.folder / "image") as mount:
        with scene.daemon() as bwvd:
            recording = scene.press()
            bwvd.wait_until(lambda status: status["recording"]["committed_s"] > 0)
            with frozen(mount):
                seen = list(watch(bwvd, STALL_S))
            assert seen[-1]["storage"]["backlog_bytes"] > (STALL_S - 3) * BITRATE / 8
            scene.stop()
        assert len(scene.whole(recording).frames) > (STALL_S + 1) * RATE
        scene.verified()


@pytest.mark.complete
@scenario
def test_a_flash_that_is_slower_than_the_camera_for_ten_seconds_loses_nothing(scene: Scene) -> None:
    """Invariants 4 and 10: a real ext4 on a device that takes three fifths of what comes."""
    make_ext4(scene.folder / "image", 64 << 20)
    with ext4(scene.storage, scene.folder / "image") as mount:
        with scene.daemon() as bwvd:
            recording = scene.press()
            with slow(mount, bwvd.process.pid, BITRATE // 8 * 3 // 5):
                seen = list(watch(bwvd, STALL_S))
            assert max(status["storage"]["backlog_bytes"] for status in seen) > BITRATE / 8
            scene.stop()
        assert len(scene.whole(recording).frames) > STALL_S * RATE
        scene.verified()


@pytest.mark.complete
@scenario
def test_syncs_that_take_seven_seconds_each_lose_nothing_while_the_backlog_lasts(scene: Scene) -> None:
    """Invariants 4 and 10: a commit takes 21 s then, and the groups that wait go into it together."""
    with scene.daemon() as bwvd:
        recording = scene.press()
        scene.levers.each_s = 7
        for _ in watch(bwvd, 25):
            pass
        scene.levers.each_s = 0
        scene.stop(60)
    assert len(scene.whole(recording).frames) > 25 * RATE
    scene.verified()


@pytest.mark.complete
@scenario
def test_syncs_that_take_seven_seconds_each_and_a_small_backlog(scene: Scene) -> None:
    """Invariants 4 and 10: what does not fit is dropped in whole groups, each named."""
    with scene.daemon(SMALL_BACKLOG) as bwvd:
        recording = scene.press()
        scene.levers.each_s = 7
        for _ in watch(bwvd, 25):
            pass
        scene.levers.each_s = 0
        bwvd.wait_until(lambda status: not status["storage"]["backlog_bytes"])
        time.sleep(1)
        dropped = bwvd.status()["video"]["dropped"]
        scene.stop(60)
    _names_what_was_dropped(scene, recording, dropped)
