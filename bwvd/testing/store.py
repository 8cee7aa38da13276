"""A store in memory, and what may be wrong with it."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass

import trio

from bwvd.store.errors import BodyDiffers, LockMissing, ObjectDiffers, ObjectMissing
from bwvd.store.names import check_folder, check_name, is_name, shown
from bwvd.store.ports import PAGE_OBJECTS, Body, HostileName, Lock, Page, Put, StoredObject, StoreFacts

PIECE_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class Held:
    """An object in a VirtualStore."""

    content: bytes
    retain_until: datetime.datetime | None = None


class VirtualStore:
    """`bwvd.store.ports.Store` in memory.

    `objects` is what it holds, by name; a test may put there what it likes, also under names of no object.
    """

    def __init__(self, *, lock: Lock = Lock.OFFERED) -> None:
        self.objects: dict[str, Held] = {}
        self.lock = lock

    async def put(
        self, name: str, body: Body, *, size: int, sha256: bytes, retain_until: datetime.datetime | None = None
    ) -> Put:
        check_name(name)
        await trio.lowlevel.checkpoint()
        if retain_until is not None and self.lock is Lock.NONE:
            raise LockMissing(name, f"{name}: the virtual store locks nothing", stored=False)
        async with body() as pieces:
            content = b"".join([piece async for piece in pieces])
        if len(content) != size or hashlib.sha256(content).digest() != sha256:
            raise BodyDiffers(name, f"{name}: what came is not what was announced")
        there = self.objects.get(name)
        if there is None:
            self.objects[name] = Held(content, retain_until)
            return Put.NEW
        if there.content != content:
            raise ObjectDiffers(name, f"{name}: is in the virtual store already, with another content")
        return Put.SAME

    async def head(self, name: str) -> StoredObject | None:
        check_name(name)
        await trio.lowlevel.checkpoint()
        held = self.objects.get(name)
        if held is None:
            return None
        return StoredObject(name, len(held.content), hashlib.sha256(held.content).digest(), held.retain_until)

    def get(
        self, name: str, start: int = 0, end: int | None = None, *, version: str = ""
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._got(name, start, end, version)

    @asynccontextmanager
    async def _got(self, name: str, start: int, end: int | None, version: str) -> AsyncIterator[AsyncIterator[bytes]]:
        check_name(name)
        await trio.lowlevel.checkpoint()
        held = self.objects.get(name)
        if held is None or version:
            raise ObjectMissing(name, f"{name}: not in the virtual store")
        async with aclosing(self._pieces(held.content[start:end])) as pieces:
            yield pieces

    async def _pieces(self, content: bytes) -> AsyncGenerator[bytes]:
        for at in range(0, len(content), PIECE_BYTES):
            await trio.lowlevel.checkpoint()
            yield content[at : at + PIECE_BYTES]

    async def page(self, prefix: str, *, after: str = "", cursor: str = "", folders: bool = False) -> Page:
        check_folder(prefix)
        await trio.lowlevel.checkpoint()
        return page_of({name: len(held.content) for name, held in self.objects.items()}, prefix, after, cursor, folders)

    async def facts(self) -> StoreFacts:
        await trio.lowlevel.checkpoint()
        return StoreFacts("virtual:", self.lock)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


def page_of(sizes: Mapping[str, int], prefix: str, after: str, cursor: str, folders: bool) -> Page:
    """The page of a listing of these objects (bytes by name), as a real store tells it. Its cursor is the last name."""
    entries: dict[str, int | None] = {}
    for name in sorted(sizes):
        if not name.startswith(prefix):
            continue
        inside, slash, _ = name.removeprefix(prefix).partition("/")
        folder = prefix + inside + slash
        if folders and slash:
            if folder > max(after, cursor):
                entries[folder] = None
        elif name > max(after, cursor):
            entries[name] = sizes[name]
        if len(entries) > PAGE_OBJECTS:
            break
    told = list(entries)[:PAGE_OBJECTS]
    return Page(
        tuple(StoredObject(name, size) for name in told if (size := entries[name]) is not None and is_name(name)),
        tuple(name for name in told if entries[name] is None and is_name(name[:-1])),
        tuple(HostileName(shown(name)) for name in told if not is_name(name.removesuffix("/"))),
        cursor=told[-1] if len(entries) > PAGE_OBJECTS else "",
    )
