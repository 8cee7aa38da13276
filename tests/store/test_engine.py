"""A real S3 store, SeaweedFS: the contract, and that an object which is locked stays what it is.

Against whom: whoever has stolen a camera's access key, or a custodian's, and uses another client than ours. Both may do
more here than they need, deleting included, so that it is the lock that holds.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from bwvd.store.errors import ClockSkewed, LockMissing, ObjectDiffers, StoreRefused
from bwvd.store.names import recording_file
from bwvd.store.open import BucketAccess, open_store
from bwvd.store.ports import EveryPage, Lock, Put
from bwvd.store.s3.store import S3Store
from bwvd.testing.conformance.store import CHECKS, Subject, lists_more_than_a_page, put, read
from tests.support import seaweed
from tests.support.s3_client import Client
from tests.support.seaweed import ADMIN, BUCKET, CAMERA, CUSTODIAN, Engine

pytestmark = pytest.mark.engines

OPEN_BUCKET = f"{BUCKET}-without-lock"
NAME = recording_file("BWV-0001", "20261122T071503Z-BWV-0001-000042", "000001.m4s.age")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if reason := seaweed.why_not():
        pytest.fail(reason)
    with seaweed.running(tmp_path_factory.mktemp("weed")) as engine:
        yield engine


@asynccontextmanager
async def opened(engine: Engine, prefix: str, key: str = CAMERA, bucket: str = BUCKET) -> AsyncIterator[S3Store]:
    """The store of one test, under a prefix of its own."""
    admin = Client(engine, ADMIN)
    await admin.ask("PUT", f"/{BUCKET}", headers={"x-amz-bucket-object-lock-enabled": "true"})
    await admin.ask("PUT", f"/{OPEN_BUCKET}")
    access = BucketAccess(engine.endpoint, credentials=str(engine.credentials(key)))
    store = open_store(f"s3://{bucket}/{prefix}", access)
    assert isinstance(store, S3Store)
    try:
        yield store
    finally:
        await store.aclose()


def _until(days: int = 1) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)


# .ci/run has a minute: the thousand objects of a long listing take a third of it.
@pytest.mark.parametrize(
    "check",
    [pytest.param(check, marks=() if check is lists_more_than_a_page else pytest.mark.short) for check in CHECKS],
    ids=lambda check: check.__name__,
)
async def test_the_contract(check: Callable[[Subject], Awaitable[None]], engine: Engine) -> None:
    """Invariant 8: an object that is there is never replaced."""
    prefix = f"contract-{check.__name__}"
    async with opened(engine, prefix) as store:
        client = Client(engine, CAMERA)

        async def plant(name: str, content: bytes) -> None:
            answer = await client.ask("PUT", f"/{BUCKET}/{prefix}/{name}", content=content)
            assert answer.status == 200

        await check(Subject(store, plant, locks=True, keeps_versions=True))


@pytest.mark.short
@pytest.mark.parametrize("key", [CAMERA, CUSTODIAN, ADMIN])
async def test_a_locked_object_is_neither_overwritten_nor_shortened_nor_deleted(key: str, engine: Engine) -> None:
    """Invariant 8: not with the camera's access key, the custodian's or the administrator's."""
    prefix = f"locked-{key.lower()}"
    path = f"/{BUCKET}/{prefix}/{NAME}"
    client = Client(engine, key)
    async with opened(engine, prefix, key) as store:
        assert await put(store, NAME, b"evidence", until=_until()) is Put.NEW
        found = await store.head(NAME)
        assert found is not None
        assert found.retain_until is not None
        assert found.version
        with pytest.raises(ObjectDiffers):
            await put(store, NAME, b"another")

        # What our own client does not do.
        version = {"versionId": found.version}
        assert (await client.ask("DELETE", path, version)).status == 403
        assert (await client.ask("DELETE", path, version, {"x-amz-bypass-governance-retention": "true"})).status == 403
        for mode, until in (("COMPLIANCE", _until(0)), ("GOVERNANCE", _until(2)), ("", None)):
            assert (await client.retain(path, found.version, mode, until)).status in (400, 403)
        batch = f"<Delete><Object><Key>{path}</Key><VersionId>{found.version}</VersionId></Object></Delete>"
        await client.ask("POST", f"/{BUCKET}", {"delete": ""}, content=batch.encode())
        await client.ask("PUT", path, content=b"forged")  # another version, in front of it
        await client.ask("DELETE", path)  # a mark that hides it
        await client.ask("DELETE", f"/{BUCKET}")

        async with store.get(NAME, version=found.version) as pieces:
            assert b"".join([piece async for piece in pieces]) == b"evidence"
        retention = await client.ask("GET", path, {"retention": "", **version})
        assert f"{found.retain_until:%Y-%m-%dT%H:%M:%SZ}".encode() in retention.body
        assert b"COMPLIANCE" in retention.body


@pytest.mark.short
async def test_a_bucket_without_a_lock_is_named(engine: Engine) -> None:
    async with opened(engine, "x", ADMIN, OPEN_BUCKET) as store:
        assert (await store.facts()).lock is Lock.NONE
        with pytest.raises(LockMissing) as raised:
            await put(store, NAME, b"evidence", until=_until())
        assert raised.value.stored == (await store.head(NAME) is not None)
        assert await put(store, "b", b"evidence") is Put.NEW


@pytest.mark.short
async def test_what_credentials_and_clocks_do(engine: Engine) -> None:
    async with opened(engine, "x") as store:
        assert (await store.facts()).lock is Lock.UNREADABLE
        store._now = lambda: datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=30)
        with pytest.raises(ClockSkewed, match="30 minutes ahead"):
            await store.head(NAME)
    async with opened(engine, "x", ADMIN) as store:
        assert (await store.facts()).lock is Lock.OFFERED
    async with opened(engine, "x", CAMERA, "another-fleets") as store:
        assert (await store.facts()).lock is Lock.UNREADABLE
        with pytest.raises(StoreRefused):
            await put(store, NAME, b"evidence")


async def test_large_and_many(engine: Engine) -> None:
    """Segments of some megabytes and more of them than a page, listed as a custodian does."""
    async with opened(engine, "many") as store:
        content = hashlib.sha256().digest() * 300_000
        assert await put(store, NAME, content) is Put.NEW
        assert await put(store, NAME, content) is Put.SAME
        assert await read(store, NAME) == content
        for number in range(30):
            for part in ("recordings/R1/000001.m4s", "recordings/R2/manifest.jsonl", "journal/x"):
                await put(store, f"devices/D{number:03d}/{part}", b"")
        folders = [one async for page in EveryPage(store, "devices/", folders=True) for one in page.folders]
        assert folders == sorted(["devices/BWV-0001/", *(f"devices/D{number:03d}/" for number in range(30))])
        inside = [
            one async for page in EveryPage(store, "devices/D007/recordings/", folders=True) for one in page.folders
        ]
        assert inside == ["devices/D007/recordings/R1/", "devices/D007/recordings/R2/"]
