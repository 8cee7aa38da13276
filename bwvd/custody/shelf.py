"""Shelf: what lies in a store for one device, as listed, page by page and within bounds, whoever filled it.

Names from a hostile store are told and never used. What is listed counts for nothing until it is verified.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from bwvd.evidence.format.layout import JOURNAL, RECORDINGS, SUMS_SIGNATURE
from bwvd.evidence.format.recording_id import device_of
from bwvd.store import names
from bwvd.store.ports import EveryPage, Page, Store, StoredObject

MOST_FILES = 200_000  # of one recording: two days of one-second segments, and as many markers
MOST_RECORDINGS = 100_000  # of one device, that are not settled
MOST_STORAGES = 64  # cards of one device
MOST_HEADS = 20_000  # of one journal: what is more is older, and in the others
MOST_ARCHIVES = 10_000
MOST_STRANGE = 100  # names that are told


@dataclass(slots=True)
class Files:
    """The objects of one folder, by what they are called in it."""

    files: dict[str, StoredObject] = field(default_factory=dict)
    strange: list[str] = field(default_factory=list)  # printable
    more: bool = False  # there are more than a device of ours makes
    kept: dict[str, bytes] = field(default_factory=dict)  # beginnings of files that were read already

    def take(self, page: Page, prefix: str, most: int) -> bool:
        """Take a page of the folder's listing; False if it has more than there may be."""
        for one in page.objects:
            if len(self.files) >= most:
                self.more = True
                return False
            self.files[one.name.removeprefix(prefix)] = one
        for name in page.folders:
            self.add_strange(names.shown(name.removeprefix(prefix)))
        for strange in page.hostile:
            self.add_strange(strange.shown)
        return True

    def add_strange(self, shown: str) -> None:
        if len(self.strange) < MOST_STRANGE:
            self.strange.append(shown)


@dataclass(slots=True)
class JournalShelf:
    """One journal of a device: that of the storage with this id."""

    storage: str
    archives: dict[str, StoredObject] = field(default_factory=dict)  # by name on the flash
    heads: list[tuple[names.JournalHead, StoredObject]] = field(default_factory=list)  # in order
    strange: list[str] = field(default_factory=list)

    def newest(self) -> tuple[names.JournalHead, StoredObject] | None:
        return self.heads[-1] if self.heads else None

    def files(self) -> dict[str, StoredObject]:
        """The journal's files as they lie on a flash: the archives, and the newest head as the file in force.

        An archive of the head's number is that file when it was full: then it is told once, as the archive.
        """
        found = dict(self.archives)
        newest = self.newest()
        if newest is not None and newest[0].number > max(map(archive_number, found), default=0):
            found[JOURNAL] = newest[1]
        return found


def archive_number(archive: str) -> int:
    """The number in the name of an archive on a shelf, however large: names are somebody's who may put any there."""
    return int(archive.removeprefix("journal-").removesuffix(".jsonl"))


def devices_of(page: Page) -> list[str]:
    """The devices in a page of the listing of `names.DEVICES`, by folders."""
    return [folder.removeprefix(names.DEVICES).rstrip("/") for folder in page.folders]


async def recordings(store: Store, device: str, after: str = "") -> tuple[list[str], Files]:
    """The ids of a device's recordings behind the id `after`, in order, whole or not; and what else lies there.

    Raises: StoreError.
    """
    prefix = names.recordings_folder(device)
    found: list[str] = []
    rest = Files()
    start = f"{prefix}{after}/" if after else ""
    async for page in EveryPage(store, prefix, after=start, folders=True):
        for folder in page.folders:
            recording = folder.removeprefix(prefix).rstrip("/")
            if device_of(recording) != device:
                rest.add_strange(f"{RECORDINGS}/{names.shown(recording)}")
            elif len(found) >= MOST_RECORDINGS:
                rest.more = True
                return found, rest
            elif recording > after:
                found.append(recording)
        for one in page.objects:
            rest.add_strange(f"{RECORDINGS}/{names.shown(one.name.removeprefix(prefix))}")
        for strange in page.hostile:
            rest.add_strange(strange.shown)
    return found, rest


async def whole_recording(store: Store, device: str, recording_id: str) -> Files | None:
    """All objects of a recording; None as long as what is put last is not there. Raises: StoreError.

    One request, where a page has all. A listing of many is no moment: what is whole is listed from its beginning then.
    """
    prefix, last = (
        names.recording_folder(device, recording_id), names.recording_file(device, recording_id, SUMS_SIGNATURE)
    )  # fmt: skip
    page = await store.page(prefix, folders=True)
    if page.cursor:
        return await recording(store, device, recording_id) if await store.head(last) is not None else None
    found = Files()
    found.take(page, prefix, MOST_FILES)
    return found if SUMS_SIGNATURE in found.files else None


async def recording(store: Store, device: str, recording_id: str) -> Files:
    """All objects of a recording. Raises: StoreError."""
    return await folder(store, names.recording_folder(device, recording_id), MOST_FILES)


async def folder(store: Store, prefix: str, most: int) -> Files:
    """The objects directly in a folder, at most so many. Raises: StoreError."""
    found = Files()
    async for page in EveryPage(store, prefix, folders=True):
        if not found.take(page, prefix, most):
            break
    return found


async def with_receipt(store: Store, device: str, recordings: Collection[str]) -> set[str]:
    """Those of these recordings in whose receipt's place something may lie; by one listing. Raises: StoreError."""
    if len(recordings) < 2:
        return set(recordings)
    places = {names.receipt(device, one): one for one in recordings}
    folder, last = names.receipts_folder(device), max(places)
    found: set[str] = set()
    async for page in EveryPage(store, folder, after=f"{folder}{min(recordings)}", folders=True):
        found |= {places[one.name] for one in page.objects if one.name in places}
        if page.objects and page.objects[-1].name >= last:
            break
    return found


async def journals(store: Store, device: str) -> tuple[list[JournalShelf], list[str]]:
    """A device's journals, and names of what none of them has. Raises: StoreError."""
    prefix = names.journal_folder(device)
    shelves: list[JournalShelf] = []
    top = await folder_names(store, prefix)
    strange = list(top.strange)
    for storage in top.files:
        if names.parsed(f"{prefix}{storage}/journal-000001.jsonl") is None or len(shelves) >= MOST_STORAGES:
            if len(strange) < MOST_STRANGE:
                strange.append(names.shown(storage))
            continue
        shelves.append(await _journal(store, device, storage))
    return shelves, strange


async def folder_names(store: Store, prefix: str) -> Files:
    """The folders in a folder, as `files` without objects worth a look. Raises: StoreError."""
    found = Files()
    async for page in EveryPage(store, prefix, folders=True):
        for name in page.folders:
            if len(found.files) < MOST_RECORDINGS:
                found.files[name.removeprefix(prefix).rstrip("/")] = StoredObject(name, 0)
        for one in page.objects:
            found.add_strange(names.shown(one.name.removeprefix(prefix)))
        for strange in page.hostile:
            found.add_strange(strange.shown)
    return found


async def _journal(store: Store, device: str, storage: str) -> JournalShelf:
    shelf = JournalShelf(storage)
    top = await folder(store, names.journal_folder(device, storage), MOST_ARCHIVES)
    shelf.strange += [one for one in top.strange if one != f"{names.HEADS}/"]
    for file, stored in top.files.items():
        if isinstance(names.parsed(stored.name), names.JournalArchive):
            shelf.archives[file] = stored
        elif len(shelf.strange) < MOST_STRANGE:
            shelf.strange.append(names.shown(file))
    async for page in EveryPage(store, names.heads_folder(device, storage)):
        for one in page.objects:
            head = names.parsed(one.name)
            if isinstance(head, names.JournalHead):
                shelf.heads.append((head, one))
            elif len(shelf.strange) < MOST_STRANGE:
                shelf.strange.append(names.shown(one.name))
        for strange in page.hostile:
            if len(shelf.strange) < MOST_STRANGE:
                shelf.strange.append(strange.shown)
        if len(shelf.heads) > MOST_HEADS:
            del shelf.heads[:-MOST_HEADS]
    return shelf
