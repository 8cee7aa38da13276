"""Folders, cards and proofs as a source: what `bwvd list PATH` finds there."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from bwvd.desk.facts import Facts, Memory, Row, Rows, matches
from bwvd.desk.query import Query
from bwvd.desk.receipts import ReceiptFolders, Taken
from bwvd.desk.source import Found, Key, NotThere
from bwvd.evidence.export.catalogue import Entry, entry, with_texts
from bwvd.evidence.export.sealed_text import reader_at
from bwvd.evidence.format.layout import MANIFEST, RECORDINGS
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.existence import date_reports
from bwvd.evidence.verify.files import Progress
from bwvd.evidence.verify.folder import DirectoryFolder, Folder
from bwvd.evidence.verify.gather import Place, gather, walk
from bwvd.evidence.verify.one import OneByOne
from bwvd.evidence.verify.proof import verify_proof
from bwvd.evidence.verify.report import Report, unreadable
from bwvd.evidence.verify.zip_folder import ZipFolder
from bwvd.text import printable

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

T = TypeVar("T")

THREADS = 4  # that read at once
EMPTY_S = 0.5  # that a list waits for a journal to be verified


class FolderSource:
    """What lies at and below a path.

    Args:
        receipts: folders with receipts for what lies there.
        roots: of the time-stamp authorities that count; None = no time-stamp is judged.
        number: of the source among all.

    **Synchronization:** trio's thread.
    """

    def __init__(
        self,
        path: Path,
        signers: AllowedSigners | None = None,
        identities: Sequence[Any] = (),
        *,
        receipts: Sequence[Path] = (),
        roots: Sequence[Certificate] | None = None,
        number: int = 1,
    ) -> None:
        self.path = path
        self.name = printable(str(path))
        self.number = number
        self._signers = signers
        self._identities = identities
        self._roots = roots
        self._receipts = ReceiptFolders(receipts, signers)
        self._checks = OneByOne(signers)
        self._told: dict[Path, list[str]] = {}  # what is wrong with storages
        self._places: dict[Key, Place] = {}
        self._entries: dict[Key, tuple[object, Entry]] = {}  # each with how its manifest stood
        self._limiter = trio.CapacityLimiter(THREADS)
        self._verifying = trio.CapacityLimiter(1)  # it hashes in threads of its own

    # --- the list ----------------------------------------------------------------------------------------------------

    async def rows(self, query: Query, first: int, most: int, memory: Memory) -> Rows:
        """Raises: NothingThere."""
        texts = query.wanted.texts or bool(query.text)

        def look() -> tuple[dict[Key, Place], dict[Key, tuple[object, Entry]], dict[str, Taken], list[Path]]:
            places = keyed(self.path, self.number)
            with_some = {place.path.parent.parent for place in places.values()}
            left = [one.path for one in walk(self.path) if one.kind == "storage" and one.path not in with_some]
            return places, self._read(places, texts=texts), self._receipts.look(), left

        self._places, self._entries, receipts, left = await trio.to_thread.run_sync(look, limiter=self._limiter)
        await self._look_at_empty(left)
        result = Rows()
        for key, (stamp, one) in self._entries.items():
            memory.stands(key, stamp)
            facts = Facts.of_entry(one)
            if not facts.whole and (known := memory.facts.get(key)) is not None:
                facts = known
            found = self._found(key, self._places[key])
            row = Row(found, facts, memory.verdict(key), receipt=receipts.get(found.name))
            if matches(row, query, result.unsure):
                result.rows.append(row)
        return result.paged(first, most)

    async def _look_at_empty(self, storages: Sequence[Path]) -> None:
        """Find out what is wrong with storages that have no recording left: no verification of one leads there.

        A list does not wait long for it: what is found later, the next one says.
        """

        def look() -> None:
            for storage in storages:
                self._told[storage / RECORDINGS] = self._checks.told_of(storage)

        if storages:
            with trio.move_on_after(EMPTY_S):
                await trio.to_thread.run_sync(look, limiter=self._verifying, abandon_on_cancel=True)

    def _read(self, places: dict[Key, Place], *, texts: bool) -> dict[Key, tuple[object, Entry]]:
        """Each place's entry: the one that is known, if nothing has changed there. Blocking."""
        entries = {}
        for key, place in places.items():
            stamp = _stamp(place)
            known = self._entries.get(key)
            if known is None or known[0] != stamp:
                known = stamp, entry(place, reader_at(place, self._identities))
            if texts and known[1].markers is None:
                known = stamp, with_texts(known[1], place, reader_at(place, self._identities))
            entries[key] = known
        return entries

    async def complete(self, found: Found) -> Facts | None:
        place, known = found.place, self._entries.get(found.key)
        if place is None or known is None or known[1].markers is not None or known[1].end == "unreadable":
            return None
        stamp, one = known
        one = await trio.to_thread.run_sync(
            with_texts, one, place, reader_at(place, self._identities), limiter=self._limiter
        )
        self._entries[found.key] = stamp, one
        return Facts.of_entry(one)

    def said(self) -> list[str]:
        return [printable(line) for lines in list(self._told.values()) for line in lines]

    # --- one recording -----------------------------------------------------------------------------------------------

    async def find(self, key: Key) -> Found | None:
        """Raises: NothingThere."""
        if key not in self._places:
            self._places = await trio.to_thread.run_sync(keyed, self.path, self.number, limiter=self._limiter)
        place = self._places.get(key)
        return self._found(key, place) if place is not None else None

    def _found(self, key: Key, place: Place) -> Found:
        return Found(key, place.name, str(place), self, place)

    async def read(self, found: Found, job: Callable[[Folder], T]) -> T:
        place = _place(found)

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

    async def verify(self, found: Found, progress: Progress | None = None) -> Report:
        place = _place(found)

        def checked() -> Report:
            if place.why:
                return unreadable(place.path, place.why)
            if not place.inside:
                report = self._checks.verify(place.path, progress)
                self._told[place.path.parent] = self._checks.told(place.path)
                return report
            reports = {report.path: report for report in verify_proof(place.path, self._signers, progress=progress)}
            return reports.get(str(place)) or unreadable(str(place), "is not in the archive")

        def run() -> Report:
            report = checked()
            date_reports([report], self._roots, time.time())
            return report

        return await trio.to_thread.run_sync(run, limiter=self._verifying)

    async def aclose(self) -> None:
        self._places, self._entries = {}, {}


def _place(found: Found) -> Place:
    if found.place is None:
        raise NotThere(f"{found.where}: not in a folder")
    return found.place


def keyed(path: Path, number: int = 1) -> dict[Key, Place]:
    """The places at and below `path`, each by a key of its own. Blocking. Raises: NothingThere."""
    found: dict[Key, Place] = {}
    for place in gather(path):
        where = str(place)
        key = Key.of(place.name, where, number=number)
        found[Key.of(place.name, where, number=number, copy=True) if key in found else key] = place
    return found


def _stamp(place: Place) -> object:
    """What changes when somebody writes to a recording: its manifest has a line for everything. Blocking."""
    try:
        status = (place.path if place.inside else place.path / MANIFEST).stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
