"""Folders, cards and proofs as a source: what `bwvd list PATH` finds there."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import trio

from bwvd.desk.source import Found, Key, NotThere
from bwvd.evidence.verify.folder import DirectoryFolder, Folder
from bwvd.evidence.verify.gather import Place, gather
from bwvd.evidence.verify.zip_folder import ZipFolder
from bwvd.text import printable

T = TypeVar("T")

THREADS = 4  # that read at once


class FolderSource:
    """What lies at and below a path.

    **Synchronization:** trio's thread.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = printable(str(path))
        self._places: dict[Key, Place] = {}
        self._limiter = trio.CapacityLimiter(THREADS)

    async def look(self) -> dict[Key, Place]:
        """All places there are now. Raises: NothingThere."""
        self._places = await trio.to_thread.run_sync(keyed, self.path, limiter=self._limiter)
        return self._places

    async def find(self, key: Key) -> Found | None:
        """Raises: NothingThere."""
        place = self._places.get(key) or (await self.look()).get(key)
        return self.found(key, place) if place is not None else None

    def found(self, key: Key, place: Place) -> Found:
        return Found(key, place.name, str(place), self, place)

    async def read(self, found: Found, job: Callable[[Folder], T]) -> T:
        place = found.place
        if place is None:
            raise NotThere(f"{found.where}: not in a folder")

        def run() -> T:
            if not place.inside:
                with DirectoryFolder(place.path) as folder:
                    return job(folder)
            try:
                with zipfile.ZipFile(place.path) as archive:
                    return job(ZipFolder(archive, place.inside, str(place)))
            except (zipfile.BadZipFile, NotImplementedError) as error:
                raise OSError(f"{place.path}: {error}") from None

        return await trio.to_thread.run_sync(run, limiter=self._limiter)

    async def aclose(self) -> None:
        self._places = {}


def keyed(path: Path) -> dict[Key, Place]:
    """The places at and below `path`, each by a key of its own. Blocking. Raises: NothingThere."""
    found: dict[Key, Place] = {}
    for place in gather(path):
        where = str(place)
        key = Key.of(place.name, where)
        found[Key.of(place.name, where, copy=True) if key in found else key] = place
    return found
