"""The contract of a store, and the records that its calls take and give.

Real: `bwvd.store.folder.FolderStore`, `bwvd.store.s3.store.S3Store`; virtual: `bwvd.testing.store.VirtualStore`. All
are held against `bwvd.testing.conformance.store`.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from bwvd.store.errors import StoreMisbehaved

# Opens an object's content from its beginning, as often as it is called: a try that failed is made again. What it
# raises comes out of `put` as it is, and nothing is stored. `bwvd.store.body` makes them of files and of bytes.
Body = Callable[[], AbstractAsyncContextManager[AsyncIterator[bytes]]]

PAGE_OBJECTS = 1000  # at most in one page of a listing


class Put(enum.Enum):
    """What a put came to."""

    NEW = "new"  # it is there now, and was not before
    SAME = "same"  # it was there, with the same size and SHA-256
    UNSEEN = "unseen"  # something was there, and these credentials may not look what: who receives it has to


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object, as the store tells of it. What a store says is no evidence: read it and verify.

    In a page only name and size are told.
    """

    name: str
    size: int  # bytes
    sha256: bytes | None = None  # if the store vouches for it
    retain_until: datetime.datetime | None = None  # locked (compliance) until then, UTC, if the store shows it
    version: str = ""  # for `get`, where the store keeps versions


@dataclass(frozen=True, slots=True)
class HostileName:
    """An object in the store whose name none of ours has: not opened, not followed, only told."""

    shown: str  # printable, cut


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a listing: each name once, those of one folder's objects in the order of their bytes.

    In which order folders come is the store's own: SeaweedFS goes through "A/" before "A-1/", AWS after it.
    """

    objects: tuple[StoredObject, ...] = ()
    folders: tuple[str, ...] = ()  # with their final "/"; only if folders were asked for
    hostile: tuple[HostileName, ...] = ()
    cursor: str = ""  # for the next page; "" after the last one


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One of the contents that a name has had, or a mark that hides those behind it."""

    name: str
    version: str  # for `get`
    size: int = 0  # bytes
    etag: str = ""  # of equal ones the bytes are the same; of others they may be, too
    hides: bool = False  # no content: a plain reader is told that there is no such object


@dataclass(frozen=True, slots=True)
class VersionPage:
    """Part of a listing of versions: those of one name one behind the other, the newest first."""

    versions: tuple[StoredVersion, ...] = ()
    hostile: tuple[HostileName, ...] = ()
    cursor: str = ""  # for the next page; "" after the last one


class Lock(enum.Enum):
    """What a store says of object lock. That an object is locked only reading it back shows: `put` does."""

    NONE = "none"  # there is none
    OFFERED = "offered"  # the bucket has it switched on
    UNREADABLE = "unreadable"  # these credentials may not ask


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """What is behind an address."""

    address: str  # without credentials
    lock: Lock
    default_retention: datetime.timedelta | None = None  # of each object that asks for none; compliance mode only
    detail: str = ""  # one line for a person where something is not as it should be


class Store(Protocol):
    """Named objects that are put once.

    Names are those of `bwvd.store.names`; any other raises NameRefused before the store is asked.

    Every call may raise StoreUnreachable, StoreRefused (ClockSkewed) and StoreMisbehaved beside what it names. A store
    tries again by itself only for the short time of a busy server; waiting longer is the caller's.

    **Cancellation:** at any checkpoint; a put that is cancelled may have been done.
    **Synchronization:** trio's thread; any number of calls at once, four of them are worth it.
    """

    async def put(
        self, name: str, body: Body, *, size: int, sha256: bytes, retain_until: datetime.datetime | None = None
    ) -> Put:
        """Store the object if the name is free; durable and whole under its name when this returns, or not there.

        `size` in bytes and `sha256` (32 bytes) are what `body` has: the store checks them. With `retain_until` (UTC)
        nobody can delete or shorten the object before then; the lock is read back before this returns, where these
        credentials may.

        Raises: ObjectDiffers (another object has the name: nothing was touched), BodyDiffers, LockMissing, StoreFull,
        and what `body` raises. After StoreUnreachable, put it again: that is a put of the same object, or finishes it.
        """
        ...

    async def head(self, name: str) -> StoredObject | None:
        """What the store tells of an object; None if there is none."""
        ...

    def get(
        self, name: str, start: int = 0, end: int | None = None, *, version: str = ""
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes of an object from offset `start` to offset `end` (None: to its end), in pieces of at most 1 MiB.

        Raises: ObjectMissing; StoreUnreachable, also while reading, if not all of it came. What comes is as the store
        gives it: the reader hashes it.
        """
        ...

    async def page(self, prefix: str, *, after: str = "", cursor: str = "", folders: bool = False) -> Page:
        """A page of the names that begin with `prefix`: "" or a folder's, with its final "/".

        Begins behind `after`, or where the page before ended, with its `cursor`. With `folders` names are cut at the
        first "/" behind the prefix, and each folder that is itself behind `after` is told once. At most PAGE_OBJECTS
        entries; maybe none, with a cursor for more.

        `after` is a name directly in `prefix`, of an object or (with its "/") of a folder. Don't use it where one
        folder's name may be the beginning of another's, as devices' may: "A/" may be left out behind "A-1/".
        """
        ...

    async def versions(self, prefix: str, *, cursor: str = "") -> VersionPage:
        """A page of all versions of the objects whose names begin with `prefix`: "" or a folder's, with its final "/".

        Each of our names is put once, so that one with two versions was put by another client than ours. A store that
        keeps none has an empty page. StoreRefused: these credentials may not list them.
        """
        ...

    async def facts(self) -> StoreFacts:
        """Ask the store what it is: also shows that it can be reached with these credentials."""
        ...

    async def aclose(self) -> None:
        """Let go of connections and descriptors."""
        ...


class _Circle:
    """Finds that cursors go in a circle, of any length, and remembers one of them: Brent's way."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._landmark, self._count, self._next = "", 0, 1

    def pass_by(self, cursor: str) -> None:
        """Raises: StoreMisbehaved."""
        if cursor and cursor == self._landmark:
            raise StoreMisbehaved(f"{self._what}: its listing goes in a circle")
        self._count += 1
        if self._count == self._next:
            self._landmark, self._next = cursor, 2 * self._next


class EveryPage:
    """All pages of a listing, to be iterated over once: `async for page in EveryPage(store, "devices/"): …`.

    Holds nothing of the store between two pages, so that it may be left at any time. Raises, while it is iterated
    over: as `Store.page`; StoreMisbehaved if the pages go in a circle, as a hostile store's might. It may also list new
    names for ever: whoever can't bear that counts.
    """

    def __init__(self, store: Store, prefix: str = "", *, after: str = "", folders: bool = False) -> None:
        self._store, self._prefix, self._after, self._folders = store, prefix, after, folders
        self._cursor: str | None = ""
        self._circle = _Circle(prefix or "the store")

    def __aiter__(self) -> EveryPage:
        return self

    async def __anext__(self) -> Page:
        if self._cursor is None:
            raise StopAsyncIteration
        page = await self._store.page(self._prefix, after=self._after, cursor=self._cursor, folders=self._folders)
        self._circle.pass_by(page.cursor)
        self._cursor = page.cursor or None
        return page


class EveryVersion:
    """All pages of a listing of versions; as `EveryPage`."""

    def __init__(self, store: Store, prefix: str = "") -> None:
        self._store, self._prefix = store, prefix
        self._cursor: str | None = ""
        self._circle = _Circle(prefix or "the store")

    def __aiter__(self) -> EveryVersion:
        return self

    async def __anext__(self) -> VersionPage:
        if self._cursor is None:
            raise StopAsyncIteration
        page = await self._store.versions(self._prefix, cursor=self._cursor)
        self._circle.pass_by(page.cursor)
        self._cursor = page.cursor or None
        return page
