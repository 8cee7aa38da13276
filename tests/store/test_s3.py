"""A bucket as a store, against a server that does what servers do: the contract, and each way it may go wrong."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import pytest
import trio
import trio.lowlevel

from bwvd.store.address import BucketAddress
from bwvd.store.body import bytes_body
from bwvd.store.errors import (
    AddressWrong,
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
from bwvd.store.ports import Lock, Put
from bwvd.store.s3.http import Server
from bwvd.store.s3.sigv4 import AccessKey
from bwvd.store.s3.store import S3Store
from bwvd.testing.conformance.store import CHECKS, Subject, put, read
from tests.support import s3_server
from tests.support.s3_server import KEY, Does, S3Server, Stored

UNTIL = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=30)


def connected(
    server: S3Server,
    *,
    key: AccessKey = KEY,
    bucket: str = s3_server.BUCKET,
    prefix: str = "",
    renew: Callable[[], AccessKey] | None = None,
) -> S3Store:
    where, address = Server("127.0.0.1", server.port, None), BucketAddress(bucket, prefix)
    return S3Store(address, where, key, region=s3_server.REGION, path_style=True, renew=renew)


@asynccontextmanager
async def bucket(prefix: str = "") -> AsyncIterator[tuple[S3Server, S3Store]]:
    async with s3_server.serving() as server:
        store = connected(server, prefix=prefix)
        yield server, store
        await store.aclose()


@pytest.mark.parametrize("prefix", ["", "fleet/north/"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_contract(check: Callable[[Subject], Awaitable[None]], prefix: str) -> None:
    """Invariant 8: an object that is there is never replaced."""
    async with bucket(prefix) as (server, store):
        if prefix:
            server.objects |= {key: Stored(b"another's") for key in ("elsewhere", "fleet/northern", "fleet/z")}

        async def plant(name: str, content: bytes) -> None:
            server.objects[prefix + name] = Stored(content)

        await check(Subject(store, plant, locks=True))


async def test_a_store_that_vouches_for_no_digest_is_read_before_it_is_believed() -> None:
    async with bucket() as (server, store):
        server.vouches = False
        assert await put(store, "a", b"content") is Put.NEW
        assert await put(store, "a", b"content") is Put.SAME
        assert [asked.method for asked in server.asked] == ["PUT", "PUT", "HEAD", "GET"]
        with pytest.raises(ObjectDiffers):
            await put(store, "a", b"contenT")
        server.may_read = False
        assert await put(store, "a", b"contenT") is Put.UNSEEN
        assert await put(store, "b", b"content", until=UNTIL) is Put.NEW  # its lock can't be read back either


@pytest.mark.parametrize("does", [Does.FAIL, Does.BUSY, Does.HANG_UP, Does.LOSE, Does.HANG_UP_AFTER])
@pytest.mark.parametrize("times", [1, 3])
async def test_what_fails_once_is_asked_again(does: Does, times: int, delays: list[float]) -> None:
    """Invariant 8: a put whose answer is lost is found done, and nothing is put twice."""
    async with bucket() as (server, store):
        server.does.extend([does] * times)
        assert await put(store, "a", b"content") is (Put.SAME if does is Does.LOSE else Put.NEW)
        assert await read(store, "a") == b"content"
        server.does.extend([does] * times)
        assert (await store.page("")).objects[0].name == "a"
        server.does.extend([does] * times)
        found = await store.head("a")
        assert found is not None
        assert found.size == 7


@pytest.mark.parametrize(("does", "error"), [(Does.FAIL, StoreUnreachable), (Does.HANG_UP, StoreUnreachable)])
async def test_what_goes_on_failing_is_told_soon(does: Does, error: type[StoreError], delays: list[float]) -> None:
    async with bucket() as (server, store):
        server.does.extend([does] * 4)
        with pytest.raises(error) as raised:
            await put(store, "a", b"content")
        assert str(raised.value).isprintable()
        assert len(server.asked) == 4
        assert sum(delays) < 5
        assert await put(store, "a", b"content") is Put.NEW


async def test_nobody_listens(delays: list[float]) -> None:
    store = connected(S3Server(port=1))
    with pytest.raises(StoreUnreachable, match=r"127\.0\.0\.1:1: "):
        await store.head("a")

    assert len(delays) == 3


async def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bwvd.store.s3.http.ANSWER_S", 0.05)
    monkeypatch.setattr("bwvd.store.s3.store.PATIENCE_S", 0.0)
    async with bucket() as (server, store):
        server.does.append(Does.SILENT)
        with pytest.raises(StoreUnreachable, match="does not answer"):
            await store.facts()


async def test_a_refusal_is_heard_before_all_of_the_body_has_gone() -> None:
    async with bucket() as (server, store):
        server.does.append(Does.EARLY)
        server.objects["a"] = Stored(b"x" * 10)
        given = 0

        @asynccontextmanager
        async def endless() -> AsyncIterator[AsyncIterator[bytes]]:
            async def pieces() -> AsyncGenerator[bytes]:
                nonlocal given
                while True:
                    given += 1
                    yield bytes(65_536)
                    await trio.lowlevel.checkpoint()

            async with aclosing(pieces()) as opened:
                yield opened

        with pytest.raises(ObjectDiffers):
            await store.put("a", endless, size=4 * 1024**3, sha256=bytes(32))
        assert given < 1_000
        assert await put(store, "b", b"afterwards") is Put.NEW


async def test_bytes_that_break_off_are_no_content() -> None:
    async with bucket() as (server, store):
        await put(store, "a", bytes(2_000_000))
        server.does.append(Does.TORN)
        with pytest.raises(StoreUnreachable, match="in the middle"):
            await read(store, "a")
        assert len(await read(store, "a")) == 2_000_000


async def test_who_reads_only_the_beginning_leaves_nothing_behind() -> None:
    async with bucket() as (_, store):
        await put(store, "a", bytes(5_000_000))
        async with store.get("a") as pieces:
            assert await anext(pieces)
        assert await read(store, "a", 4_999_999) == b"\0"


async def test_a_part_is_a_part() -> None:
    """A server that does not know ranges gives all: that is not the part that was asked for."""
    async with bucket() as (server, store):
        await put(store, "a", b"content")
        server.answers.append(b"content")
        with pytest.raises(StoreMisbehaved, match="a part of a"):
            await read(store, "a", 3)
        server.answers.append(b"content, and more than was asked for")
        assert await read(store, "a", 0, 3) == b"con"


@pytest.mark.parametrize(
    ("code", "error", "says"),
    [
        ("InvalidAccessKeyId", StoreRefused, "does not know the access key"),
        ("SignatureDoesNotMatch", StoreRefused, "secret"),
        ("AccessDenied", StoreRefused, "may not"),
        ("ExpiredToken", StoreRefused, "no longer valid"),
        ("AuthorizationHeaderMalformed", StoreRefused, "another region"),
        ("MethodNotAllowed", StoreRefused, "refuses (HTTP 400 MethodNotAllowed)"),
        ("QuotaExceeded", StoreFull, "no room"),
        ("XMinioStorageFull", StoreFull, "no room"),
        ("BadDigest", BodyDiffers, "not what was announced"),
    ],
)
async def test_a_refusal_is_one_clear_line(code: str, error: type[StoreError], says: str) -> None:
    async with bucket() as (server, store):
        server.refuses = code
        with pytest.raises(error) as raised:
            await put(store, "a", b"content")
        assert says in str(raised.value)
        assert str(raised.value).isprintable()
        assert KEY.secret not in str(raised.value)


async def test_wrong_keys_and_buckets() -> None:
    async with bucket() as (server, _):
        for key, says in ((AccessKey(KEY.id, "wrong"), "secret"), (AccessKey("NOBODY", "x"), "does not know")):
            store = connected(server, key=key)
            for call in (store.facts(), store.head("a"), store.page(""), put(store, "a", b""), read(store, "a")):
                with pytest.raises(StoreRefused, match=says):
                    await call
            await store.aclose()
        store = connected(server, bucket="nobodys")
        for call in (store.facts(), store.page(""), put(store, "a", b"")):
            with pytest.raises(StoreRefused, match="no such bucket"):
                await call
        await store.aclose()


@pytest.mark.parametrize(("minutes", "says"), [(21, "21 minutes ahead"), (-3_000, "3000 minutes behind")])
async def test_a_clock_that_is_off_is_named(minutes: int, says: str) -> None:
    """Invariant 9: a wrong wall clock keeps recordings from the store, and says so; it changes nothing else."""
    async with bucket() as (server, store):
        server.now = lambda: datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=minutes)
        for call in (store.facts(), store.head("a"), put(store, "a", b"")):
            with pytest.raises(ClockSkewed, match=says):
                await call


@pytest.mark.parametrize(
    ("lock", "stored", "says"),
    [
        (s3_server.Lock.NONE, False, "locks nothing"),
        (s3_server.Lock.CLAIMED, True, "shows no lock"),
        (s3_server.Lock.SHORTENED, True, "only"),
        (s3_server.Lock.GOVERNANCE, True, "governance"),
    ],
)
async def test_a_lock_that_is_not_there_is_found_out(lock: s3_server.Lock, stored: bool, says: str) -> None:
    """Invariant 8: what only claims to lock is not relied on."""
    async with bucket() as (server, store):
        server.lock = lock
        with pytest.raises(LockMissing, match=says) as raised:
            await put(store, "a", b"content", until=UNTIL)
        assert raised.value.stored == stored == ("a" in server.objects)
        assert await put(store, "b", b"content") is Put.NEW
        assert (await store.facts()).lock is (Lock.NONE if lock is s3_server.Lock.NONE else Lock.OFFERED)


async def test_what_was_locked_at_an_earlier_try_is_not_asked_for_a_longer_lock() -> None:
    async with bucket() as (_, store):
        assert await put(store, "a", b"content", until=UNTIL) is Put.NEW
        assert await put(store, "a", b"content", until=UNTIL + datetime.timedelta(days=1)) is Put.SAME


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html/>", 9_000_000 * b"x", b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><ListBucketResult/>'],
    ids=["empty", "html", "endless", "doctype"],
)
async def test_a_listing_that_is_none(answer: bytes) -> None:
    async with bucket() as (server, store):
        server.answers.append(answer)
        with pytest.raises(StoreMisbehaved) as raised:
            await store.page("")
        assert str(raised.value).isprintable()
        assert (await store.page("")).objects == ()


async def test_names_that_are_not_below_the_prefix_are_hostile() -> None:
    async with bucket("fleet/") as (server, store):
        keys = ("fleet/devices/A/x", "other/devices/A/x", "../x", "fleet/devices/../../x")
        listed = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys)
        server.answers.append(f"<ListBucketResult>{listed}</ListBucketResult>".encode())
        page = await store.page("devices/")
        assert [one.name for one in page.objects] == ["devices/A/x"]
        assert [one.shown for one in page.hostile] == list(keys[1:])


async def test_what_is_no_http() -> None:
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")

        async def rude(stream: trio.SocketStream) -> None:
            await stream.send_all(b"220 mail.example ESMTP\r\n" * 10_000)

        nursery.start_soon(trio.serve_listeners, rude, listeners)
        store = connected(S3Server(port=listeners[0].socket.getsockname()[1]))
        with pytest.raises(StoreMisbehaved, match=r"no HTTP/1\.1"):
            await store.facts()
        nursery.cancel_scope.cancel()


async def test_a_missing_object_and_a_version() -> None:
    async with bucket() as (server, store):
        with pytest.raises(ObjectMissing):
            await read(store, "a")
        await put(store, "a", b"content")
        async with store.get("a", version="v 1") as pieces:
            assert await anext(pieces) == b"content"
        assert server.asked[-1].query == {"versionId": "v 1"}


async def test_a_body_of_another_size_than_announced_stores_nothing() -> None:
    async with bucket() as (server, store):
        digest = hashlib.sha256(b"content").digest()
        for body in (b"conten", b"content and more"):
            with pytest.raises(BodyDiffers, match="that were announced"):
                await store.put("a", bytes_body(body), size=7, sha256=digest)
        assert server.objects == {}
        with pytest.raises(StoreRefused, match="one put takes"):
            await store.put("a", bytes_body(b""), size=6 * 1024**3, sha256=digest)


ENDED = AccessKey("ASIAENDED", "secret of an hour ago", "token")
ASKS: list[Callable[[S3Store], Awaitable[object]]] = [
    lambda store: put(store, "a", b"content"),
    lambda store: put(store, "b", b"new"),
    lambda store: store.head("a"),
    lambda store: read(store, "a"),
    lambda store: store.page(""),
    lambda store: store.versions(""),
    lambda store: store.facts(),
]


@pytest.mark.parametrize("ask", ASKS)
async def test_a_key_that_has_ended_is_read_anew(ask: Callable[[S3Store], Awaitable[object]]) -> None:
    """Invariant 8: a temporary key ends in the midst of anything, and the same call is answered by the next key."""
    async with bucket() as (server, store):
        await put(store, "a", b"content")
        wanted = await ask(store) if ask is not ASKS[1] else Put.NEW
        server.expired.add(ENDED.id)
        read_anew: list[AccessKey] = []

        def renew() -> AccessKey:
            read_anew.append(KEY)
            return KEY

        later = connected(server, key=ENDED, renew=renew)
        assert await ask(later) == wanted
        assert await ask(later) in (wanted, Put.SAME)
        assert read_anew == [KEY]  # not again while it counts
        await later.aclose()


async def test_a_key_that_has_ended_without_another_is_told_by_each_request() -> None:
    async with bucket() as (server, store):
        await put(store, "a", b"content")
        server.expired.add(ENDED.id)
        news: list[AccessKey | AddressWrong] = [ENDED, AddressWrong("credentials: no aws_access_key_id"), KEY]

        def renew() -> AccessKey:
            found = news.pop(0)
            if isinstance(found, AddressWrong):  # it is being written
                raise found
            return found

        later = connected(server, key=ENDED, renew=renew)
        for _ in range(2):
            with pytest.raises(StoreRefused, match="the temporary key is no longer valid"):
                await later.head("a")
        assert await read(later, "a") == b"content"
        await later.aclose()


async def test_many_requests_with_a_key_that_has_ended_read_it_anew() -> None:
    async with bucket() as (server, store):
        await put(store, "a", b"content")
        server.expired.add(ENDED.id)
        later = connected(server, key=ENDED, renew=lambda: KEY)
        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(put, later, f"b{number}", b"content")
        assert len(server.objects) == 5
        await later.aclose()


@pytest.fixture
def delays(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The delays before new tries, which are not waited for."""
    found: list[float] = []

    async def pause(seconds: float) -> None:
        found.append(seconds)
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr("bwvd.store.s3.store.pause", pause)
    return found
