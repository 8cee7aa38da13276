# ruff: noqa: S101  # a conformance suite is made of asserts
"""The checks of every `Store`: a folder, a bucket, the virtual one, and any that somebody else writes.

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_my_store(check): await check(Subject(my_empty_store()))

Each check needs a subject whose store is empty, or at least empty below its own address. None needs pytest.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import trio

from bwvd.store.body import bytes_body
from bwvd.store.errors import BodyDiffers, LockMissing, NameRefused, ObjectDiffers, ObjectMissing
from bwvd.store.names import recording_file
from bwvd.store.ports import EveryPage, EveryVersion, Lock, Page, Put, Store

E = TypeVar("E", bound=Exception)

RECORDING = "20261122T071503Z-BWV-0001-000042"
NAME = recording_file("BWV-0001", RECORDING, "000001.m4s.age")
MANY = 1_100  # objects: more than a page


@dataclass(frozen=True, slots=True)
class Subject:
    """The store under test, and who goes behind its back."""

    store: Store
    plant: Callable[[str, bytes], Awaitable[None]] | None = None  # an object under any name; None: can't be made to
    locks: bool = False  # it really locks: a retention that is asked for is there
    keeps_versions: bool = False  # what is planted in front of an object leaves it behind it
    tolerates: int = MANY  # objects that are made for the test of long listings


async def put(store: Store, name: str, content: bytes, *, until: datetime.datetime | None = None) -> Put:
    """Put bytes."""
    return await store.put(
        name, bytes_body(content), size=len(content), sha256=hashlib.sha256(content).digest(), retain_until=until
    )


async def read(store: Store, name: str, start: int = 0, end: int | None = None) -> bytes:
    """Get bytes."""
    async with store.get(name, start, end) as pieces:
        return b"".join([piece async for piece in pieces])


async def _pages(store: Store, prefix: str = "", *, after: str = "", folders: bool = False) -> list[Page]:
    return [page async for page in EveryPage(store, prefix, after=after, folders=folders)]


async def _names(store: Store, prefix: str = "", after: str = "") -> list[str]:
    return [one.name for page in await _pages(store, prefix, after=after) for one in page.objects]


async def gives_back_what_was_put(subject: Subject) -> None:
    for size in (0, 1, 1_048_576, 2_500_001):
        name, content = f"devices/A/recordings/R/{size}", bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        assert await put(subject.store, name, content) is Put.NEW
        assert await read(subject.store, name) == content
        found = await subject.store.head(name)
        assert found is not None
        assert (found.name, found.size) == (name, size)
        assert found.sha256 in (None, hashlib.sha256(content).digest())


async def gives_a_part(subject: Subject) -> None:
    content = bytes(range(256)) * 10
    await put(subject.store, NAME, content)
    for start, end in ((0, 0), (0, 1), (5, 300), (2_000, None), (2_000, 5_000), (2_560, None), (9_999, None)):
        assert await read(subject.store, NAME, start, end) == content[start:end]


async def puts_once(subject: Subject) -> None:
    assert await put(subject.store, NAME, b"first") is Put.NEW
    assert await put(subject.store, NAME, b"first") is Put.SAME
    for other in (b"other", b"longer than first", b""):
        with _raised(ObjectDiffers) as errors:
            await put(subject.store, NAME, other)
        assert errors[0].name == NAME
        assert NAME in str(errors[0])
    assert await read(subject.store, NAME) == b"first"


async def takes_no_other_body_than_announced(subject: Subject) -> None:
    digest = hashlib.sha256(b"announced").digest()
    for body in (b"announceX", b"announced, and more", b"announ", b""):
        with _raised(BodyDiffers) as errors:
            await subject.store.put(NAME, bytes_body(body), size=9, sha256=digest)
        assert errors[0].name == NAME
        assert await subject.store.head(NAME) is None
    assert await put(subject.store, NAME, b"announced") is Put.NEW


async def lets_the_bodys_error_out(subject: Subject) -> None:
    @asynccontextmanager
    async def torn() -> AsyncIterator[AsyncIterator[bytes]]:
        async def pieces() -> AsyncGenerator[bytes]:
            yield b"half"
            raise OSError(5, "the flash does not read")

        async with aclosing(pieces()) as opened:
            yield opened

    with _raised(OSError) as errors:
        await subject.store.put(NAME, torn, size=8, sha256=bytes(32))
    assert errors[0].errno == 5
    assert await subject.store.head(NAME) is None
    assert await put(subject.store, NAME, b"whole") is Put.NEW


async def a_put_that_is_cancelled_leaves_nothing_half(subject: Subject) -> None:
    @asynccontextmanager
    async def endless() -> AsyncIterator[AsyncIterator[bytes]]:
        async def pieces() -> AsyncGenerator[bytes]:
            yield b"half"
            begun.set()
            await trio.sleep_forever()

        async with aclosing(pieces()) as opened:
            yield opened

    begun = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: subject.store.put(NAME, endless, size=8, sha256=bytes(32)))
        await begun.wait()
        nursery.cancel_scope.cancel()
    assert await subject.store.head(NAME) is None
    assert await put(subject.store, NAME, b"whole") is Put.NEW


async def of_two_that_put_at_once_one_is_first(subject: Subject) -> None:
    outcomes: list[object] = []

    async def one(content: bytes) -> None:
        try:
            outcomes.append(await put(subject.store, NAME, content))
        except ObjectDiffers:
            outcomes.append(ObjectDiffers)

    for contents in ((b"a", b"a", b"a", b"a"), (b"a", b"b", b"c", b"d")):
        outcomes.clear()
        name_free = await subject.store.head(NAME) is None
        async with trio.open_nursery() as nursery:
            for content in contents:
                nursery.start_soon(one, content)
        assert outcomes.count(Put.NEW) == name_free
    assert await read(subject.store, NAME) == b"a"


async def knows_what_is_not_there(subject: Subject) -> None:
    assert await subject.store.head(NAME) is None
    with _raised(ObjectMissing) as errors:
        await read(subject.store, NAME)
    assert errors[0].name == NAME


async def refuses_names_that_no_object_has(subject: Subject) -> None:
    for name in ("", "/etc/passwd", "a//b", "a/../b", "..", "a/./b", "a/.hidden", "a\nb", "a b", "ä", "a/", "x" * 600):
        for call in (
            lambda name=name: put(subject.store, name, b""),
            lambda name=name: subject.store.head(name),
            lambda name=name: read(subject.store, name),
            lambda name=name: subject.store.page(name + "?"),
        ):
            with _raised(NameRefused):
                await call()


async def lists_each_once(subject: Subject) -> None:
    names = ["a-b/x", "a.b", "a/1", "a/B/z", "a/b", "b/c/d/e", "b/c/d0", "bb"]
    for name in reversed(names):
        await put(subject.store, name, name.encode())
    for prefix in ("", "a/", "b/", "b/c/", "b/c/d/", "c/"):
        assert sorted(await _names(subject.store, prefix)) == [name for name in names if name.startswith(prefix)]
    sizes = {one.name: one.size for page in await _pages(subject.store) for one in page.objects}
    assert sizes == {name: len(name) for name in names}


async def lists_a_folder_in_order(subject: Subject) -> None:
    names = [f"flat/{name}" for name in ("000001-0012", "000001-0100", "000002", "2", "SUMS", "SUMS.sig", "_", "a")]
    for name in reversed(names):
        await put(subject.store, name, b"")
    assert await _names(subject.store, "flat/") == names
    for after in (*names, "flat/0", "flat/000001-0099", "flat/zzz"):
        assert await _names(subject.store, "flat/", after) == [name for name in names if name > after]


async def lists_folders(subject: Subject) -> None:
    for name in ("devices/A/1", "devices/A/2", "devices/B/x/y", "devices/C", "other/z"):
        await put(subject.store, name, b"")
    (page,) = await _pages(subject.store, "devices/", folders=True)
    assert page.folders == ("devices/A/", "devices/B/")
    assert [one.name for one in page.objects] == ["devices/C"]
    (page,) = await _pages(subject.store, "devices/", after="devices/A/", folders=True)
    assert page.folders == ("devices/B/",)
    (page,) = await _pages(subject.store, folders=True)
    assert page.folders == ("devices/", "other/")
    assert page.objects == ()


async def lists_more_than_a_page(subject: Subject) -> None:
    names = sorted(f"many/{number:07d}" for number in range(subject.tolerates))

    async def some(part: list[str]) -> None:
        for name in part:
            await (subject.plant(name, b"") if subject.plant else put(subject.store, name, b""))

    async with trio.open_nursery() as nursery:
        for first in range(4):
            nursery.start_soon(some, names[first::4])
    assert await _names(subject.store) == names
    assert await _names(subject.store, "many/", after=names[1_000]) == names[1_001:]
    assert len(await _pages(subject.store)) == -(-subject.tolerates // 1000)


async def tells_of_hostile_names_and_opens_none(subject: Subject) -> None:
    await put(subject.store, "devices/A/good", b"good")
    if subject.plant is None:
        return
    for name in ("devices/A/a b", "devices/A/\x1b[2J", "devices/A/.hidden", "devices/ä/x", "devices/A/" + "x" * 200):
        await subject.plant(name, b"bad")
    pages = await _pages(subject.store)
    assert [one.name for page in pages for one in page.objects] == ["devices/A/good"]
    hostile = [one.shown for page in pages for one in page.hostile]
    assert len(hostile) == 5
    assert all(shown.isprintable() for shown in hostile)


async def tells_what_was_put_first(subject: Subject) -> None:
    """Whoever goes behind its back puts something in front of an object: both are told, and can be read."""
    await put(subject.store, NAME, b"first")
    await put(subject.store, "devices/A/other", b"other")
    if subject.plant is not None:
        await subject.plant(NAME, b"forged")
    told = [one for page in [page async for page in EveryVersion(subject.store)] for one in page.versions]
    below = [
        one for page in [page async for page in EveryVersion(subject.store, "devices/A/")] for one in page.versions
    ]
    assert below == [one for one in told if one.name == "devices/A/other"]
    if not subject.keeps_versions:
        assert len({one.name for one in told}) == len(told)
        return
    forged, first = (one for one in told if one.name == NAME)
    assert [one.name for one in told].count("devices/A/other") == 1
    assert (forged.size, first.size) == (6, 5)
    assert forged.etag != first.etag
    assert not forged.hides
    for one, content in ((forged, b"forged"), (first, b"first")):
        async with subject.store.get(NAME, version=one.version) as pieces:
            assert b"".join([piece async for piece in pieces]) == content
    with _raised(ObjectMissing):
        async with subject.store.get(NAME, version="f" * 32):
            pass


async def locks_or_says_that_it_does_not(subject: Subject) -> None:
    until = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(days=1)
    facts = await subject.store.facts()
    assert len(facts.address.splitlines()) == 1
    if subject.locks:
        assert facts.lock in (Lock.OFFERED, Lock.UNREADABLE)
        assert await put(subject.store, NAME, b"locked", until=until) is Put.NEW
        assert await put(subject.store, NAME, b"locked", until=until) is Put.SAME
        found = await subject.store.head(NAME)
        assert found is not None
        assert found.retain_until is not None
        assert found.retain_until >= until
        return
    with _raised(LockMissing) as errors:
        await put(subject.store, NAME, b"locked", until=until)
    assert errors[0].stored == (await subject.store.head(NAME) is not None)


@contextmanager
def _raised(kind: type[E]) -> Iterator[list[E]]:
    """The error that the body raises, which has to be of that kind and one printable line."""
    found: list[E] = []
    try:
        yield found
    except kind as error:
        found.append(error)
    assert found, f"no {kind.__name__}"
    assert str(found[0]).isprintable()


CHECKS = (
    gives_back_what_was_put,
    gives_a_part,
    puts_once,
    takes_no_other_body_than_announced,
    lets_the_bodys_error_out,
    a_put_that_is_cancelled_leaves_nothing_half,
    of_two_that_put_at_once_one_is_first,
    knows_what_is_not_there,
    refuses_names_that_no_object_has,
    lists_each_once,
    lists_a_folder_in_order,
    lists_folders,
    lists_more_than_a_page,
    tells_of_hostile_names_and_opens_none,
    tells_what_was_put_first,
    locks_or_says_that_it_does_not,
)
