"""Sources of recordings: what the desk asks a folder, a store or an index, and what those answer."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote

from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.format.recording_id import device_of
from bwvd.evidence.verify.files import Progress
from bwvd.evidence.verify.folder import Folder
from bwvd.evidence.verify.gather import Place
from bwvd.evidence.verify.report import Report

T = TypeVar("T")

_SOURCE = "~"  # before the number of a source that is not the first
NAMELESS = "-"  # in the place of a device, where a name is none that an address may hold

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)


class NotThere(EvidenceError):
    """The desk has no such recording. One line."""


class SourceLost(EvidenceError):
    """A source does not answer, or not now. One line."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What names a recording in the addresses of the page. Plain ASCII, whatever is on the medium."""

    device: str
    recording: str

    @classmethod
    def of(cls, name: str, where: str, *, number: int = 1, copy: bool = False) -> Key:
        """For the recording called `name` at `where`.

        Args:
            number: of the source among all: two of them may have the same recording.
            copy: another recording of this source has that name already.
        """
        device = device_of(name)
        if not copy and device and _NAME.fullmatch(name) and _NAME.fullmatch(device):
            return cls(device, name + (f"{_SOURCE}{number}" if number > 1 else ""))
        return cls(NAMELESS, hashlib.sha256(where.encode(errors="surrogateescape")).hexdigest()[:32])

    def name_in(self, number: int) -> str:
        """The recording's name, if the key is one of the source of that number; "" if it is not."""
        name, mark, of = self.recording.partition(_SOURCE)
        return name if (mark, of) == (("", "") if number == 1 else (_SOURCE, str(number))) else ""

    @property
    def path(self) -> str:
        """The address of its page, without a host: `/r/DEVICE/RECORDING`."""
        return f"/r/{quote(self.device, safe='')}/{quote(self.recording, safe='')}"


class Source(Protocol):
    """Where recordings lie.

    **Synchronization:** trio's thread.
    """

    name: str  # as a person would call it, printable

    async def find(self, key: Key) -> Found | None:
        """The recording of that key, if it is here. Raises: EvidenceError, StoreError."""
        ...

    async def read(self, found: Found, job: Callable[[Folder], T]) -> T:
        """Run `job` in a worker thread with the recording's files, which it must not keep.

        Raises: OSError, StoreError, what `job` raises.

        **Cancellation:** at once for a store; a folder's job ends first.
        """
        ...

    async def verify(self, found: Found, progress: Progress | None = None) -> Report:
        """Verify the recording, as `bwvd verify` does: every byte is read. Raises: StoreError."""
        ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Found:
    """A recording that the desk has."""

    key: Key
    name: str  # its folder's, which should be its id; any characters
    where: str  # as a person would name it, any characters
    source: Source
    place: Place | None = None  # in a file system; None in a store

    @property
    def folder(self) -> Path | None:
        """Its folder in a file system; None in a proof, in a store, or where nobody can look."""
        return self.place.path if self.place is not None and not (self.place.inside or self.place.why) else None

    async def read(self, job: Callable[[Folder], T]) -> T:
        """Run `job` in a worker thread with the recording's files; see Source.read."""
        return await self.source.read(self, job)
