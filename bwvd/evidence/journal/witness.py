"""Witness of the journal: a place that is not on the card, and remembers how far the journal was.

So a card that was changed while it was out of the camera is told apart from one that was not.

The card is in somebody's hand now and then; the system's disk, a TPM's NV memory or an RTC's RAM is not. After each
commit of the journal the witness is told how far it is durable. At a start the journal must go on from there: its
bytes up to that point must be what they were. A journal that was cut, exchanged or put back to an earlier state is
not, whoever signed it.

Cards are told apart by the id that each gets with its first journal: a new card has one that nobody remembers, and a
card that comes back after another one is remembered still. So is a card that another camera has used meanwhile: that
one refuses it, or, with the same id and key, has gone on with it, which does not change what was there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import trio

from bwvd.evidence.flash.new_file import replace_file
from bwvd.evidence.flash.posix import PosixVolume

MOST_STORAGES = 32  # cards that are remembered; the one that was used longest ago is forgotten
FILE = "journals.json"
_MOST_BYTES = 65_536


class WitnessLost(Exception):
    """The witness can't be read or written. One line."""


class WitnessSpoilt(WitnessLost):
    """What the witness holds is not what it was told: nothing of it can be kept."""


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """How far one storage's journal was durable, when the witness was told last."""

    storage: str  # the id in the journal's first record
    signer: str  # whose journal: "ssh-ed25519 AAAA…"
    number: int  # of the journal's file
    bytes: int  # of that file
    sha512: str  # of these bytes, hex
    last_serial: int  # the largest number of a recording
    last_closed: str = ""  # the recording that came to its end last


class Witness(Protocol):
    """Who remembers. Real: `FileWitness`; virtual: `bwvd.testing.witness.VirtualWitness`."""

    async def read(self) -> list[Remembered]:
        """What is remembered, the storage that was used last at the end. Raises WitnessLost, or WitnessSpoilt.

        **Cancellation:** at once, also where the disk never answers.
        """
        ...

    async def write(self, storages: Sequence[Remembered]) -> None:
        """Remember this instead, durable when it returns; a power cut leaves the old or the new. Raises WitnessLost.

        **Cancellation:** at once, also where the disk never answers; then the old or the new is remembered.
        """
        ...


def remembering(storages: Sequence[Remembered], latest: Remembered) -> list[Remembered]:
    """What is remembered once `latest` is known."""
    others = [one for one in storages if one.storage != latest.storage]
    return [*others[-(MOST_STORAGES - 1) :], latest]


class FileWitness:
    """One small file in a folder of the system's disk.

    **Synchronization:** trio's thread; reads and writes in a thread.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    async def read(self) -> list[Remembered]:
        return await trio.to_thread.run_sync(self._read, abandon_on_cancel=True)

    async def write(self, storages: Sequence[Remembered]) -> None:
        data = msgspec.json.encode(storages)
        await trio.to_thread.run_sync(self._write, data, abandon_on_cancel=True)

    def _read(self) -> list[Remembered]:
        try:
            with PosixVolume(self._folder) as volume:
                data = volume.read(FILE, 0, _MOST_BYTES)
            return msgspec.json.decode(data, type=list[Remembered])
        except FileNotFoundError as error:
            if error.filename is not None and self._folder.is_dir():
                return []  # nothing was ever remembered
            raise WitnessLost(f"{self._folder}: {error.strerror}") from error
        except OSError as error:
            raise WitnessLost(f"{self._folder}: {error.strerror or error}") from error
        except msgspec.DecodeError as error:
            raise WitnessSpoilt(f"{self._folder / FILE}: {error}") from error

    def _write(self, data: bytes) -> None:
        try:
            with PosixVolume(self._folder) as volume:
                replace_file(volume, FILE, [data])
        except OSError as error:
            raise WitnessLost(f"{self._folder}: {error.strerror or error}") from error
