"""Admission of the evidence folder: looked at before anything is written into it, and held against a second daemon."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bwvd.evidence.flash.new_file import new_file
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.flash.volume import NO_ROOM, NOT_A_FILE, Volume
from bwvd.evidence.format.layout import FILES, FOLDERS, LOCK, PROBE, RECORDINGS
from bwvd.evidence.startup.owner import other_owner


class StorageRefused(Exception):
    """The evidence storage can't be used. One line that names `storage.path` and the folder."""


class StorageInUse(StorageRefused):
    """Another bwvd holds the lock; nothing else was found wrong up to there."""


class HeldVolume(PosixVolume):
    """A volume with the exclusive lock on it; `close` lets the next daemon in."""

    def __init__(self, root: str | Path) -> None:
        super().__init__(root)
        self._lock = -1

    def hold(self) -> str:
        """Take the lock without waiting. Returns "" or the holder's process id as text ("?" if it left none)."""
        fd = os.open(
            LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o640, dir_fd=self._fd
        )
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
            os.close(fd)
            return holder or "?"
        except OSError:
            os.close(fd)
            raise
        os.ftruncate(fd, 0)
        with suppress(
            OSError
        ):  # the pid is for a person; a full flash has no room for it and the lock holds all the same
            os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        self._lock = fd
        return ""

    def close(self) -> None:
        if self._lock >= 0:
            fd, self._lock = self._lock, -1
            os.close(fd)
        super().close()


def open_storage(path: str | Path, *, device: str) -> HeldVolume:
    """The evidence storage at `path`, checked, and locked until the volume is closed.

    Refused is what is absent, unwritable, in use by another bwvd, another device's, or holds things that aren't ours.
    A full flash is not refused: its recordings must still be recovered, closed and released.
    `device` is the configured device id. Blocking. Raises StorageRefused.
    """
    volume = _opened(path)
    try:
        _admit(volume, str(path), device)
    except BaseException:
        volume.close()
        raise
    return volume


def _admit(volume: HeldVolume, path: str, device: str) -> None:
    # The look comes first: nothing, not even a lock file, is put into a folder that isn't ours.
    with _saying(path, "can't be read"):
        foreign = _first_foreign(volume)
    if foreign:
        raise StorageRefused(f"storage.path: {path} holds {foreign}, which is not bwvd's: give it a folder of its own")
    with _saying(path, "can't be read"):
        other = other_owner(volume, device)
    if other is not None:
        raise StorageRefused(
            f"storage.path: {path} belongs to device {other.device} ({other.by} says so), not to {device}"
        )
    with _saying(path, "can't be written"):
        holder = volume.hold()
    if holder:
        raise StorageInUse(f"storage.path: {path} is in use by another bwvd (pid {holder})")
    with _saying(path, "can't be written"):
        _prove_writing(volume)


@contextmanager
def _saying(path: str, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise StorageRefused(f"storage.path: {path} {what}: {error.strerror}{where}") from None


def _opened(path: str | Path) -> HeldVolume:
    try:
        return HeldVolume(path)
    except FileNotFoundError:
        raise StorageRefused(f"storage.path: {path} does not exist") from None
    except NotADirectoryError:
        raise StorageRefused(f"storage.path: {path} is not a folder") from None
    except OSError as error:
        raise StorageRefused(f"storage.path: {path} can't be opened: {error.strerror}") from None


def _first_foreign(volume: PosixVolume) -> str:
    """The first name that bwvd would not have put there, or is not of the kind that it should be; "" if none."""
    for name in volume.names(""):
        folder = name.removesuffix("/")
        if name.endswith("/"):
            if folder not in FOLDERS and volume.names(folder):
                return name
        elif not FILES.fullmatch(name):
            return name
        else:
            try:
                volume.size(name)
            except OSError as error:
                if error.errno not in NOT_A_FILE:
                    raise
                return f"{name} ({error.strerror})"
    return ""


def _prove_writing(volume: Volume) -> None:
    """A write, a sync and a removal that work; a flash without room is a working one."""
    with suppress(FileNotFoundError):
        volume.remove(PROBE)  # of a start that was cut
    try:
        if f"{RECORDINGS}/" not in volume.names(""):
            volume.make_dir(RECORDINGS)
        new_file(volume, PROBE, [b"bwvd"])
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
    with suppress(FileNotFoundError):
        volume.remove(PROBE)
    volume.sync_dir("")
