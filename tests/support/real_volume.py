"""Real file systems that can be filled, frozen, slowed down and broken; and a real limit on a process's memory.

All of it needs root and a kernel that lets root do it, which an ordinary container does not: where something is not
permitted the test is skipped, and the reason says what was.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.stock import need

_CGROUP = Path("/sys/fs/cgroup")


def _try(*command: str) -> None:
    """Run a command that needs privileges; skip the test if it may not."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        why = done.stderr.strip().splitlines()
        pytest.skip(f"not permitted here: {command[0]}: {why[0] if why else done.returncode}")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        pytest.skip(f"not permitted here: {path}: {error.strerror}")


@contextmanager
def _mounted(at: Path, *command: str) -> Iterator[Path]:
    at.mkdir()
    _try(need("mount"), *command, str(at))
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=False, capture_output=True)


@contextmanager
def tmpfs(at: Path, size: int, files: int | None = None) -> Iterator[Path]:
    """A file system in RAM of `size` bytes, with room for so many files."""
    options = f"size={size}" + (f",nr_inodes={files}" if files else "")
    with _mounted(at, "-t", "tmpfs", "-o", options, "tmpfs") as mounted:
        yield mounted


def make_ext4(image: Path, size: int, files: int | None = None) -> None:
    """An image of an ext4 file system, with room for about so many files."""
    with image.open("wb") as file:
        file.truncate(size)
    few = ("-N", str(files)) if files else ()
    _try(need("mkfs.ext4"), "-q", "-m", "0", *few, str(image))


@contextmanager
def ext4(at: Path, image: Path) -> Iterator[Path]:
    """`image` as a block device of its own; it turns read-only at an error, as it does on a board."""
    with _mounted(at, "-t", "ext4", "-o", "loop,errors=remount-ro", str(image)) as mounted:
        (mounted / "lost+found").chmod(0o700)
        yield mounted


def detach(mount: Path) -> None:
    """Take the mount away from under whoever uses it, as a card that is pulled does."""
    _try(need("umount"), "--lazy", str(mount))


def device_of(mount: Path) -> str:
    """The name of the block device: "loop0"."""
    found = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return next(Path(device).name for device, at, *_ in found if at == str(mount))


@contextmanager
def frozen(mount: Path) -> Iterator[None]:
    """Nothing that writes to it, or syncs, returns."""
    _try(need("fsfreeze"), "--freeze", str(mount))
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", str(mount)], check=True)


@contextmanager
def slow(mount: Path, pid: int, bytes_per_s: int) -> Iterator[None]:
    """The process writes to that device at so much a second at most."""
    number = (Path("/sys/block") / device_of(mount) / "dev").read_text().strip()
    with _group("blkio", pid) as group:
        _write(group / "blkio.throttle.write_bps_device", f"{number} {bytes_per_s}")
        yield


def break_file_system(mount: Path) -> None:
    """An error of the medium is found: ext4 turns read-only, with files open for writing or not."""
    _write(Path("/sys/fs/ext4") / device_of(mount) / "trigger_fs_error", "broken on purpose")
    until_s = time.monotonic() + 5
    while not {"ro", "emergency_ro"} & set(_options(mount)):  # newer kernels have a word of their own for it
        assert time.monotonic() < until_s, _options(mount)
        time.sleep(0.02)


def _options(mount: Path) -> list[str]:
    lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return next(options.split(",") for _, at, _, options, *_ in lines if at == str(mount))


class MemoryGroup:
    """A cgroup with one process in it."""

    def __init__(self, folder: Path, *, unified: bool) -> None:
        self.folder = folder
        self._limit = folder / ("memory.max" if unified else "memory.limit_in_bytes")
        self._usage = folder / ("memory.current" if unified else "memory.usage_in_bytes")
        self._events = folder / ("memory.events" if unified else "memory.failcnt")

    @property
    def usage(self) -> int:
        return int(self._usage.read_text())

    @property
    def times_full(self) -> int:
        """How often something had to be reclaimed before more was given."""
        text = self._events.read_text()
        return int(text) if text.strip().isdigit() else int(text.split("max ")[1].split()[0])

    def limit(self, size: int) -> None:
        _write(self._limit, str(size))

    def unlimited(self) -> None:
        with suppress(OSError):
            self._limit.write_text("max" if self._limit.name == "memory.max" else "-1")


@contextmanager
def memory_group(pid: int) -> Iterator[MemoryGroup]:
    """The process in a group whose memory can be limited; what it has allocated so far counts elsewhere."""
    with _group("memory", pid) as folder:
        yield MemoryGroup(folder, unified=folder.parent == _CGROUP)


@contextmanager
def _group(controller: str, pid: int) -> Iterator[Path]:
    """A cgroup of our own for `pid`, of version 1 or 2; afterwards the process is in the root group."""
    root = _CGROUP / controller
    if not root.is_dir():
        root = _CGROUP
        if controller not in _controllers(root) or controller == "blkio":
            pytest.skip(f"there is no {controller} cgroup here")
        _write(root / "cgroup.subtree_control", f"+{controller}")
    group = root / f"bwvd-test-{pid}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"not permitted here: {group}: {error.strerror}")
    try:
        _write(group / "cgroup.procs", str(pid))
        yield group
    finally:
        for left in (group / "cgroup.procs").read_text().split():
            with suppress(OSError):
                (root / "cgroup.procs").write_text(left)
        _remove(group)


def _controllers(root: Path) -> list[str]:
    try:
        return (root / "cgroup.controllers").read_text().split()
    except OSError:
        return []


def _remove(group: Path) -> None:
    """A group whose last process has just been killed is busy for a moment."""
    until_s = time.monotonic() + 5
    while True:
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() >= until_s:
                raise
            time.sleep(0.05)
        else:
            return
