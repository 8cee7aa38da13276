"""The real volume where it differs from the fake: system calls, descriptors, and a kernel that gives short counts."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest
import trio
import trio.testing

from bwvd.evidence.flash.posix import PosixStorage, PosixVolume
from bwvd.evidence.flash.volume import Volume


@pytest.fixture
def volume(tmp_path: Path) -> PosixVolume:
    return PosixVolume(tmp_path)


def test_short_writes_are_retried(volume: PosixVolume, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
    file = volume.create("a")
    file.write(bytes(range(100)))
    file.close()
    assert volume.read("a") == bytes(range(100))


def test_a_write_that_takes_nothing_is_an_error_not_a_loop(
    volume: PosixVolume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "write", lambda *_: 0)
    file = volume.create("a")
    with pytest.raises(OSError, match="takes no bytes"):
        file.write(b"x")


def test_short_reads_are_retried(volume: PosixVolume, monkeypatch: pytest.MonkeyPatch) -> None:
    file = volume.create("a")
    file.write(bytes(range(100)))
    file.close()
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: pread(fd, min(size, 7), offset))
    assert volume.read("a") == bytes(range(100))
    assert volume.read("a", 90, 20) == bytes(range(90, 100))


def test_a_failed_sync_is_never_repeated_as_a_success(volume: PosixVolume, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 6: after a failed fdatasync the kernel says yes to the next one, without the data."""

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    file = volume.create("a")
    file.write(b"x")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(OSError, match="Input/output") as raised:
            file.sync()
        assert raised.value.filename == "a"
    for action in (file.sync, lambda: file.write(b"y")):
        with pytest.raises(OSError, match="content is unknown") as raised:
            action()
        assert raised.value.errno == errno.EIO
    file.close()


def test_files_and_folders_are_not_for_everybody(volume: PosixVolume, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        volume.create("a").close()
        volume.make_dir("d")
        volume.reserve("r", 1)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "r").stat().st_mode) == 0o640


def test_a_reserve_has_blocks(volume: PosixVolume, tmp_path: Path) -> None:
    volume.reserve("r", 1 << 20)
    assert (tmp_path / "r").stat().st_blocks * 512 >= 1 << 20


def test_a_link_planted_between_the_look_and_the_opening_is_refused(
    volume: PosixVolume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outside").write_bytes(b"outside")
    (tmp_path / "a").write_bytes(b"inside")
    look = os.stat

    def swap(path: str, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        status = look(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
        (tmp_path / "a").unlink()
        (tmp_path / "a").symlink_to(tmp_path / "outside")
        return status

    monkeypatch.setattr(os, "stat", swap)
    with pytest.raises(OSError) as raised:  # noqa: PT011  # the errno is asserted below
        volume.append("a")
    assert raised.value.errno == errno.ELOOP
    assert raised.value.filename == "a"


def test_a_fifo_planted_between_the_look_and_the_opening_does_not_hang(
    volume: PosixVolume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"inside")
    look = os.stat

    def swap(path: str, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        status = look(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
        (tmp_path / "a").unlink()
        os.mkfifo(tmp_path / "a")
        return status

    monkeypatch.setattr(os, "stat", swap)
    with pytest.raises(PermissionError, match="not a regular file"):
        volume.read("a")


def test_no_descriptor_is_left_open(volume: PosixVolume, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    volume.make_dir("d")
    volume.make_dir("d/e")
    before = len(list(Path("/proc/self/fd").iterdir()))
    volume.create("d/e/a").close()
    volume.append("d/e/a").close()
    volume.read("d/e/a")
    volume.size("d/e/a")
    volume.names("d/e")
    volume.sync_dir("d/e")
    volume.reserve("d/r", 4096)
    volume.rename("d/r", "d/e/r")
    volume.remove("d/e/r")
    for path in ("link", "link/x", "absent/x", "d/absent", "d"):
        with pytest.raises(OSError):  # noqa: PT011  # which one is the conformance suite's business
            volume.read(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


async def test_jobs_run_one_at_a_time_in_order_off_trios_thread(volume: PosixVolume) -> None:
    storage = PosixStorage(volume)
    running = 0
    order = []

    def job(i: int) -> int:
        nonlocal running
        running += 1
        assert running == 1
        assert threading.current_thread() is not threading.main_thread()
        order.append(i)
        running -= 1
        return i

    async with trio.open_nursery() as nursery:
        for i in range(20):

            async def run(i: int = i) -> None:
                assert await storage.run(lambda _: job(i)) == i

            nursery.start_soon(run)
            await trio.testing.wait_all_tasks_blocked()
    assert order == list(range(20))


async def test_a_job_that_has_begun_is_finished_before_the_cancellation(volume: PosixVolume) -> None:
    storage = PosixStorage(volume)
    begun, go_on = threading.Event(), threading.Event()

    def job(volume: Volume) -> str:
        begun.set()
        assert go_on.wait(10)
        volume.create("a").close()
        return "done"

    result = ""
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            nonlocal result
            result = await storage.run(job)

        nursery.start_soon(run)
        await trio.to_thread.run_sync(begun.wait)
        nursery.cancel_scope.cancel()
        go_on.set()
    assert result == "done"
    assert volume.names("") == ["a"]


async def test_a_job_that_has_not_begun_can_be_cancelled(volume: PosixVolume) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await PosixStorage(volume).run(lambda volume: volume.create("a"))
    assert scope.cancelled_caught
    assert volume.names("") == []


async def test_an_error_reaches_the_caller(volume: PosixVolume) -> None:
    with pytest.raises(FileNotFoundError):
        await PosixStorage(volume).run(lambda volume: volume.size("absent"))
