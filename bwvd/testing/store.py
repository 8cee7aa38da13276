"""A store in memory, and what may be wrong with it: lost answers, servers that fail, damage, hostile listings."""

from __future__ import annotations

import datetime
import enum
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

import trio

from bwvd.store.errors import (
    BodyDiffers,
    ClockSkewed,
    LockMissing,
    ObjectDiffers,
    ObjectMissing,
    StoreError,
    StoreFull,
    StoreMisbehaved,
    StoreRefused,
    StoreUnreachable,
)
from bwvd.store.names import check_folder, check_name, is_name, shown
from bwvd.store.ports import (
    PAGE_OBJECTS,
    Body,
    HostileName,
    Lock,
    Page,
    Put,
    StoredObject,
    StoredVersion,
    StoreFacts,
    VersionPage,
)

PIECE_BYTES = 1_048_576
SLOW_S = 300.0  # a slow call takes so long
HOSTILE_NAMES = ("devices/../../etc/passwd", "devices/A/\x1b[2Jx", "/etc/shadow", "devices/A/" + 2_000 * "x", "a\nb")


class Call(NamedTuple):
    """A call that reached the store. `number` counts from 1 over all kinds."""

    number: int
    kind: str  # put, head, get, page, versions, facts
    name: str  # or the prefix; "" of facts


class Fault(enum.Enum):
    """What a call may suffer; FAULTS says which kind of call suffers which."""

    UNREACHABLE = "no answer, and nothing was done"
    LOST_ANSWER = "what was asked is done, and the answer lost"
    SLOW = "done, after SLOW_S"
    REFUSED = "the credentials are not valid"
    SKEWED = "the clock is too far off"
    MISBEHAVED = "an answer that no store gives"
    FULL = "no room"
    DAMAGED = "another content arrives than was sent: its digest is wrong"
    HALF = "the body is read half way, then the connection breaks"
    UNSEEN = "the name is taken, and these credentials may not look by what"
    LOCK_REFUSED = "a retention is refused; without one there is no fault"
    LOCK_NOT_KEPT = "stored, with a retention that is not there; without one there is no fault"
    TORN = "half of the bytes come, then the connection breaks"
    WRONG = "bytes come that were never put"
    SHORT = "the last byte is missing, and nothing says so"
    HOSTILE = "names that no object of ours has"
    BACKWARDS = "names come again that were told"
    FORGETFUL = "nothing is listed"


_ANY = (Fault.UNREACHABLE, Fault.LOST_ANSWER, Fault.SLOW, Fault.REFUSED, Fault.SKEWED, Fault.MISBEHAVED)
FAULTS: Mapping[str, tuple[Fault, ...]] = {
    "put": (
        *_ANY, Fault.FULL, Fault.DAMAGED, Fault.HALF, Fault.UNSEEN, Fault.LOCK_REFUSED, Fault.LOCK_NOT_KEPT
    ),
    "head": _ANY,
    "get": (*_ANY, Fault.TORN, Fault.WRONG, Fault.SHORT),
    "page": (*_ANY, Fault.HOSTILE, Fault.BACKWARDS, Fault.FORGETFUL),
    "versions": (*_ANY, Fault.HOSTILE, Fault.BACKWARDS, Fault.FORGETFUL),
    "facts": _ANY,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Held:
    """An object in a VirtualStore."""

    content: bytes
    retain_until: datetime.datetime | None = None


class VirtualStore:
    """`bwvd.store.ports.Store` in memory.

    `objects` is what it holds, by name; a test may put there what it likes, also under names of no object. `calls` are
    all calls that it got, and `puts` counts how often each name was given a content: never more than once.

    `replace` and `hide` are what another client than ours may do, where a bucket keeps versions.

    Its faults, of which each call suffers the first that is set for it:

        strike(17, Fault.LOST_ANSWER)           the 17th call from now on
        every(Fault.UNREACHABLE, "put")         all calls of a kind (or of any), until `mend`
        latency_s                               each call takes so long (virtual time)
        capacity                                bytes; a put that has no room raises StoreFull
    """

    def __init__(self, *, lock: Lock = Lock.OFFERED, capacity: float = float("inf")) -> None:
        self.objects: dict[str, Held] = {}
        self.older: dict[str, list[Held | None]] = {}  # versions behind that in `objects`, newest first; None = hidden
        self.lock = lock
        self.capacity = capacity
        self.latency_s = 0.0
        self.calls: list[Call] = []
        self.puts: dict[str, int] = {}
        self._strikes: dict[int, Fault] = {}
        self._every: list[tuple[Fault, str, Callable[[str], bool]]] = []

    def strike(self, nth: int, fault: Fault) -> None:
        """Let the nth call from now on (from 1) suffer `fault`, if it is of a kind that can."""
        self._strikes[len(self.calls) + nth] = fault

    def every(self, fault: Fault, kind: str = "", names: Callable[[str], bool] = lambda _: True) -> None:
        """Let all calls suffer `fault` from now on that are of this kind ("": any) and about such a name."""
        self._every.append((fault, kind, names))

    def replace(self, name: str, content: bytes | None) -> None:
        """Put a version in front of what is there; None: a mark that hides it."""
        older = self.older.setdefault(name, [])
        if name in self.objects:
            older.insert(0, self.objects.pop(name))
        if content is not None:
            self.objects[name] = Held(content)
        else:
            older.insert(0, None)

    def mend(self) -> None:
        """No faults from now on."""
        self._every.clear()
        self._strikes.clear()

    async def put(
        self, name: str, body: Body, *, size: int, sha256: bytes, retain_until: datetime.datetime | None = None
    ) -> Put:
        check_name(name)
        fault = await self._begin("put", name)
        locked = retain_until is not None
        if locked and (self.lock is Lock.NONE or fault is Fault.LOCK_REFUSED):
            raise LockMissing(name, f"{name}: the virtual store locks nothing", stored=False)
        async with body() as pieces:
            content = bytearray()
            async for piece in pieces:
                content += piece
                if fault is Fault.HALF and len(content) >= size // 2:
                    raise StoreUnreachable("the virtual store has gone")
        if fault is Fault.DAMAGED or len(content) != size or hashlib.sha256(content).digest() != sha256:
            raise BodyDiffers(name, f"{name}: what came is not what was announced")
        there = self.objects.get(name)
        if there is None:
            used = sum(len(held.content) for held in self.objects.values())
            if fault is Fault.FULL or used + len(content) > self.capacity:
                raise StoreFull("the virtual store is full")
            keeps = retain_until if fault is not Fault.LOCK_NOT_KEPT else None
            self.objects[name] = Held(bytes(content), keeps)
            self.puts[name] = self.puts.get(name, 0) + 1
        elif fault is Fault.UNSEEN:
            return Put.UNSEEN
        elif there.content != content:
            raise ObjectDiffers(name, f"{name}: is in the virtual store already, with another content")
        if locked and self.objects[name].retain_until is None:
            raise LockMissing(name, f"{name}: stored, but the virtual store shows no lock", stored=True)
        self._end(fault)
        return Put.NEW if there is None else Put.SAME

    async def head(self, name: str) -> StoredObject | None:
        check_name(name)
        self._end(await self._begin("head", name))
        held = self.objects.get(name)
        if held is None:
            return None
        return StoredObject(name, len(held.content), hashlib.sha256(held.content).digest(), held.retain_until)

    @asynccontextmanager
    async def get(
        self, name: str, start: int = 0, end: int | None = None, *, version: str = ""
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        check_name(name)
        fault = await self._begin("get", name)
        self._end(fault)
        held = self._kept(name).get(version) if version else self.objects.get(name)
        if held is None:
            raise ObjectMissing(name, f"{name}: not in the virtual store")
        content = held.content[start:end]
        if fault is Fault.SHORT:
            content = content[:-1]
        elif fault is Fault.WRONG:
            content = content[:-1] + bytes([content[-1] ^ 1]) if content else b"x"
        async with aclosing(self._pieces(content, torn=fault is Fault.TORN)) as pieces:
            yield pieces

    async def _pieces(self, content: bytes, *, torn: bool) -> AsyncGenerator[bytes]:
        for at in range(0, len(content) // 2 if torn else len(content), PIECE_BYTES):
            await trio.lowlevel.checkpoint()
            yield content[at : at + PIECE_BYTES]
        if torn:
            raise StoreUnreachable("the virtual store has gone in the middle")

    async def page(self, prefix: str, *, after: str = "", cursor: str = "", folders: bool = False) -> Page:
        check_folder(prefix)
        fault = await self._begin("page", prefix)
        self._end(fault)
        if fault is Fault.FORGETFUL:
            return Page()
        sizes = {name: len(held.content) for name, held in self.objects.items()}
        page = page_of(sizes, prefix, after, "" if fault is Fault.BACKWARDS else cursor, folders)
        if fault is Fault.BACKWARDS:  # the same again and again
            return Page(page.objects, page.folders, page.hostile, cursor or "again")
        if fault is Fault.HOSTILE:
            hostile = tuple(HostileName(shown(name)) for name in HOSTILE_NAMES)
            return Page(page.objects, page.folders, page.hostile + hostile, page.cursor)
        return page

    async def versions(self, prefix: str, *, cursor: str = "") -> VersionPage:
        check_folder(prefix)
        fault = await self._begin("versions", prefix)
        self._end(fault)
        if fault is Fault.FORGETFUL:
            return VersionPage()
        every: list[StoredVersion] = []
        for name in sorted({*self.objects, *self.older}):
            if name.startswith(prefix) and is_name(name):
                every += [_version(name, version, held) for version, held in self._kept(name).items()]
        begin = 0 if fault is Fault.BACKWARDS or cursor == "again" else int(cursor or 0)
        more = str(begin + PAGE_OBJECTS) if begin + PAGE_OBJECTS < len(every) else ""
        hostile = tuple(HostileName(shown(name)) for name in HOSTILE_NAMES) if fault is Fault.HOSTILE else ()
        again = (cursor or "again") if fault is Fault.BACKWARDS else more
        return VersionPage(tuple(every[begin : begin + PAGE_OBJECTS]), hostile, again)

    def _kept(self, name: str) -> dict[str, Held | None]:
        """All that a name has had, by version, the newest first."""
        kept = [*([self.objects[name]] if name in self.objects else []), *self.older.get(name, [])]
        return {str(len(kept) - at): held for at, held in enumerate(kept)}

    async def facts(self) -> StoreFacts:
        self._end(await self._begin("facts", ""))
        return StoreFacts("virtual:", self.lock)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()

    async def _begin(self, kind: str, name: str) -> Fault | None:
        """Count the call, let it take its time, and raise what it suffers before anything is done."""
        self.calls.append(Call(len(self.calls) + 1, kind, name))
        fault = self._fault(self.calls[-1])
        await trio.sleep(SLOW_S if fault is Fault.SLOW else self.latency_s)
        if fault in _BEFORE:
            kind_of_error, text = _BEFORE[fault]
            raise kind_of_error(text)
        return fault

    def _fault(self, call: Call) -> Fault | None:
        struck = self._strikes.get(call.number)
        lasting = (fault for fault, kind, names in self._every if kind in ("", call.kind) and names(call.name))
        return next((fault for fault in (struck, *lasting) if fault in FAULTS[call.kind]), None)

    def _end(self, fault: Fault | None) -> None:
        if fault is Fault.LOST_ANSWER:
            raise StoreUnreachable("the virtual store's answer is lost")


def _version(name: str, version: str, held: Held | None) -> StoredVersion:
    if held is None:
        return StoredVersion(name, version, hides=True)
    return StoredVersion(name, version, len(held.content), hashlib.md5(held.content).hexdigest())  # noqa: S324  an ETag


_BEFORE: Mapping[Fault | None, tuple[type[StoreError], str]] = {
    Fault.UNREACHABLE: (StoreUnreachable, "the virtual store does not answer"),
    Fault.REFUSED: (StoreRefused, "the virtual store does not know the access key"),
    Fault.SKEWED: (ClockSkewed, "the virtual store refuses what is signed with this clock, which is 21 minutes ahead"),
    Fault.MISBEHAVED: (StoreMisbehaved, "the virtual store answers with nonsense"),
}


def page_of(
    sizes: Mapping[str, int], prefix: str, after: str, cursor: str, folders: bool, *, all_names: bool = False
) -> Page:
    """The page of a listing of these objects (bytes by name), as a real store tells it. Its cursor is the last name.

    With `all_names` hostile ones are told like others, as servers do.
    """

    def ours(name: str) -> bool:
        return all_names or is_name(name)

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
        tuple(StoredObject(name, size) for name in told if (size := entries[name]) is not None and ours(name)),
        tuple(name for name in told if entries[name] is None and ours(name[:-1])),
        tuple(HostileName(shown(name)) for name in told if not ours(name.removesuffix("/"))),
        cursor=told[-1] if len(entries) > PAGE_OBJECTS else "",
    )
