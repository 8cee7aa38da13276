"""A real daemon whose storage fills up, turns read-only or goes away under its hands."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from bwvd.evidence.format import records
from bwvd.evidence.format.layout import SUMS_SIGNATURE
from tests.support.process_scenario import LOOP_S, RATE, Scene, scenario
from tests.support.real_volume import break_file_system, detach, ext4, make_ext4, tmpfs

MB = 1 << 20


def _fills_up(scene: Scene) -> None:
    """Invariants 5, 8 and 12: closed and signed at the full flash, and a press is refused from then on."""
    with scene.daemon() as bwvd:
        first = scene.press()
        time.sleep(1)
        scene.stop()
        folder = scene.storage / "recordings" / first
        signature = folder / SUMS_SIGNATURE  # comes last, behind the close
        bwvd.wait_until(lambda _status: signature.is_file() and signature.stat().st_size > 0)
        kept = {path: path.read_bytes() for path in folder.iterdir()}
        recording = scene.press()
        bwvd.wait_until(lambda status: status["state"] == "standby" and not status["storage"]["backlog_bytes"])
        answer = bwvd.ask(cmd="press")
        assert not answer["ok"]
        assert "full" in answer["error"]
        assert "storage" in bwvd.status()["faults"]
        assert bwvd.status()["video"]["frames"] > 0
    assert {path: path.read_bytes() for path in kept} == kept
    reports = {report.id: report for report in scene.verified()}
    assert (reports[first].end, reports[recording].end) == ("stop", "storage_full")
    assert all(hole.named for hole in scene.recorded(recording).holes(RATE, 1 << 16))
    assert reports[recording].duration_s > LOOP_S


@pytest.mark.complete
@scenario
def test_a_full_tmpfs(scene: Scene) -> None:
    """Invariants 5, 8 and 12: on a file system that takes the last byte."""
    with tmpfs(scene.storage, 7 * MB):
        _fills_up(scene)


@scenario
def test_a_full_ext4(scene: Scene) -> None:
    """Invariants 5, 8 and 12: on one that allocates when it pleases."""
    make_ext4(scene.folder / "image", 10 * MB)
    with ext4(scene.storage, scene.folder / "image"):
        _fills_up(scene)


@pytest.mark.complete
@scenario
def test_a_tmpfs_without_free_files(scene: Scene) -> None:
    """Invariants 5, 8 and 12: there is room for bytes, and for no more names."""
    with tmpfs(scene.storage, 500 * MB, files=110):
        _fills_up(scene)


@scenario
def test_an_ext4_without_free_files(scene: Scene) -> None:
    """Invariants 5, 8 and 12: as a card has them that was formatted for large files."""
    make_ext4(scene.folder / "image", 40 * MB, files=96)
    with ext4(scene.storage, scene.folder / "image"):
        _fills_up(scene)


@scenario
def test_a_file_system_that_turns_read_only_while_it_records(scene: Scene) -> None:
    """Invariants 5, 6, 7 and 12: the fault is told, the daemon goes on and ends in order, and the next start finds all
    that was acknowledged, under the name that it was acknowledged by."""
    image = scene.folder / "image"
    make_ext4(image, 64 * MB)
    with ext4(scene.storage, image) as mount, scene.daemon() as bwvd:
        recording = scene.press()
        bwvd.wait_until(lambda status: status["recording"]["committed_s"] > LOOP_S + 1)
        committed_s = bwvd.status()["recording"]["committed_s"]
        break_file_system(mount)
        status = bwvd.wait_until(lambda status: "storage" in status["faults"])
        assert status["state"] == "recording"
        frames = status["video"]["frames"]
        status = bwvd.wait_until(lambda status: status["video"]["frames"] > frames + 2 * RATE)
        assert status["storage"]["backlog_bytes"] > 0
        assert bwvd.ask(cmd="press")["text"] == "marker"
        bwvd.process.terminate()
        assert bwvd.process.wait(30) == 0, bwvd.log()
    with ext4(_again(scene), image):
        with scene.daemon():
            later = scene.press()
            scene.stop()
        reports = {report.id: report for report in scene.verified()}
        assert reports[recording].verdict == "recovered"
        assert reports[recording].duration_s >= committed_s - 0.001
        assert reports[later].verdict == "authentic"
        scene.whole(recording)


def _again(scene: Scene) -> Path:
    """The folder to mount on, empty."""
    scene.storage.rmdir()
    return scene.storage


@pytest.mark.complete
@scenario
def test_a_folder_that_is_renamed_while_it_records(scene: Scene) -> None:
    """Invariants 4 and 6: the storage is what was opened at the start, whatever its path leads to now."""
    with scene.daemon() as bwvd:
        recording = scene.press()
        bwvd.wait_until(lambda status: status["recording"]["committed_s"] > LOOP_S)
        scene.storage = scene.storage.rename(scene.folder / "elsewhere")
        time.sleep(2)
        scene.stop()
        second = scene.press()
        scene.stop()
    scene.whole(recording)
    scene.whole(second)
    assert [report.verdict for report in scene.verified()] == ["authentic"] * 2


@scenario
def test_a_folder_that_is_removed_while_it_records(scene: Scene) -> None:
    """Invariants 5, 10 and 12: what somebody with the right to do so has removed is gone; the fault is told, the camera
    goes on, the daemon ends in order, and the next start begins on what is there then."""
    with scene.daemon() as bwvd:
        scene.press()
        bwvd.wait_until(lambda status: status["recording"]["committed_s"] > LOOP_S)
        _remove(scene)
        status = bwvd.wait_until(lambda status: "storage" in status["faults"])
        frames = status["video"]["frames"]
        bwvd.wait_until(lambda status: status["video"]["frames"] > frames + 2 * RATE)
        scene.storage.mkdir()
        bwvd.process.terminate()
        assert bwvd.process.wait(30) == 0, bwvd.log()
        assert list(scene.storage.iterdir()) == []
    with scene.daemon():
        recording = scene.press()
        scene.stop()
    scene.whole(recording)
    scene.verified()


def _remove(scene: Scene) -> None:
    """rm -r, against somebody who makes new files meanwhile."""
    until_s = time.monotonic() + 10
    while scene.storage.exists():
        assert time.monotonic() < until_s
        shutil.rmtree(scene.storage, ignore_errors=True)


@scenario
def test_a_mount_that_is_taken_away_while_it_records(scene: Scene) -> None:
    """Invariants 4 and 6: a lazy umount leaves the daemon its file system, and all of it is on the medium."""
    image = scene.folder / "image"
    make_ext4(image, 64 * MB)
    with ext4(scene.storage, image) as mount, scene.daemon() as bwvd:
        recording = scene.press()
        bwvd.wait_until(lambda status: status["recording"]["committed_s"] > LOOP_S)
        detach(mount)
        assert list(scene.storage.iterdir()) == []
        time.sleep(2)
        scene.stop()
    with ext4(_again(scene), image):
        found = scene.whole(recording)
        assert any(isinstance(record, records.Close) for record in found.manifest)
        assert [report.verdict for report in scene.verified()] == ["authentic"]
