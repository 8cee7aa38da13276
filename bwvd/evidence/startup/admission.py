"""Admission of the evidence folder: looked at before anything is written into it, and held against a second daemon."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bwvd.evidence.flash.new_file import new_file
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.flash.volume import NO_ROOM, NOT_A_FILE, Volume
from bwvd.evidence.format.layout import (
    ALLOWED_SIGNERS,
    ARCHIVE,
    FILES,
    JOURNAL,
    LOCK,
    PROBE,
    RECORDINGS,
    WITNESS,
    is_litter,
)
from bwvd.evidence.format.recording_id import serial_of
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

    Refused is what is absent, unwritable, in use by another bwvd, another device's, or somebody else's folder: it holds
    things, and nothing of a bwvd's. What a desk has put beside evidence is no reason (`strays`).
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
        raise StorageRefused(f"storage.path: {path} {what}: {error.strerror}{where}") from error


def _opened(path: str | Path) -> HeldVolume:
    try:
        return HeldVolume(path)
    except FileNotFoundError:
        raise StorageRefused(f"storage.path: {path} does not exist") from None
    except NotADirectoryError:
        raise StorageRefused(f"storage.path: {path} is not a folder") from None
    except OSError as error:
        raise StorageRefused(f"storage.path: {path} can't be opened: {error.strerror}") from error


def strays(volume: Volume, folders: Iterable[str]) -> list[str]:
    """What lies on a storage and is nobody's evidence, by its name: for a note, and left alone.

    folders: names in `recordings/` that may be no recordings'. Blocking. Raises OSError.
    """
    top = [name for name in volume.names("") if not (FILES.fullmatch(name) or name in _OURS)]
    return top + [f"{RECORDINGS}/{name}" for name in folders if serial_of(name.rstrip("/")) is None]


_OURS = (f"{RECORDINGS}/", f"{WITNESS}/", "lost+found/")  # the last is on every ext4


def _first_foreign(volume: Volume) -> str:
    """The first thing that keeps a folder from being used for evidence; "" if nothing does.

    That is anything but a regular file in the place of one of ours. Where nothing of ours is there it is also the first
    thing that somebody would miss: the path is that of a folder for something else.
    """
    names = volume.names("")
    ours = _is_ours(volume, names)
    for name in names:
        plain = name.removesuffix("/")
        if FILES.fullmatch(plain):
            try:
                volume.size(plain)
            except OSError as error:
                if error.errno not in NOT_A_FILE:
                    raise
                return f"{name} ({error.strerror})"
        elif plain in (RECORDINGS, WITNESS):
            if plain == name:
                return name
        elif not (ours or is_litter(name)) and (plain == name or volume.names(plain)):
            return name
    return ""


def _is_ours(volume: Volume, names: list[str]) -> bool:
    """Whether evidence was kept here, or is."""
    if any(name in (JOURNAL, ALLOWED_SIGNERS) or ARCHIVE.fullmatch(name) for name in names):
        return True
    there = volume.names(RECORDINGS) if f"{RECORDINGS}/" in names else ()
    return any(serial_of(name.rstrip("/")) is not None for name in there if name.endswith("/"))


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
