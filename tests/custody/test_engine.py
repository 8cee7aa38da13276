"""Custodians over a real bucket with object lock, SeaweedFS, that share their work by a real PostgreSQL.

The camera, and each custodian, have the rights that the page gives them there, and no more.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio
from sqlalchemy import select

from bwvd.custody import schema
from bwvd.custody.index import Index
from bwvd.evidence.release.receipt import accept_receipt
from bwvd.store import names
from bwvd.store.body import bytes_body
from bwvd.store.errors import ObjectDiffers
from bwvd.store.open import BucketAccess, open_store
from bwvd.store.ports import EveryPage, EveryVersion, Store
from tests.support import seaweed
from tests.support.custody_store import CUSTODIAN, OTHER, Camera, custodian_line, device_line, list_of
from tests.support.documents import page
from tests.support.evidence_keys import write_key
from tests.support.postgresql import a_database
from tests.support.s3_client import Client
from tests.support.seaweed import ADMIN, BUCKET, Engine
from tests.support.source_tree import ROOT

pytestmark = [pytest.mark.engines, pytest.mark.short]

DEVICES, RECORDINGS = 8, 2
WAIT_S = 90.0


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if reason := seaweed.why_not():
        pytest.fail(reason)
    with seaweed.running(tmp_path_factory.mktemp("weed"), seaweed.rights_of(page("offload"))) as engine:
        yield engine


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with a_database() as url:
        yield url


@dataclass
class Site:
    """A bucket's part for one test (`prefix` "": all of it), cameras that fill it, and two custodians' keys."""

    engine: Engine
    root: Path
    prefix: str

    def __post_init__(self) -> None:
        lines = device_line() + custodian_line(CUSTODIAN, "one") + custodian_line(OTHER, "two")
        (self.root / "signers").write_text(lines)
        for name, seed in (("one", 40), ("two", 41)):
            write_key(self.root / name, seed)
        trio.run(self._made)

    @property
    def address(self) -> str:
        return f"s3://{BUCKET}/{self.prefix}".rstrip("/")

    async def _made(self) -> None:
        headers = {"x-amz-bucket-object-lock-enabled": "true"}
        await Client(self.engine, ADMIN).ask("PUT", f"/{BUCKET}", headers=headers)

    def access(self, key: str) -> BucketAccess:
        return BucketAccess(self.engine.endpoint, credentials=str(self.engine.credentials(key)))

    def fill(self, devices: int, *, key: str = ADMIN, but: int = 0) -> list[str]:
        """Cameras put all that they have, locked; returns the recordings. Of every `but`th the first is left out."""
        made: list[str] = []
        until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)

        async def put() -> None:
            store = open_store(self.address, self.access(key))
            for number in range(1, devices + 1):
                camera = Camera(self.root / f"card-{number}", device=f"BWV-{number:04d}")
                ids = camera.record(RECORDINGS)
                made.extend(ids)
                for name, data in camera.objects(but=(ids[0],) if but and number % but == 0 else ()).items():
                    digest = hashlib.sha256(data).digest()
                    await store.put(name, bytes_body(data), size=len(data), sha256=digest, retain_until=until)
            await store.aclose()

        trio.run(put)
        return made

    def command(self, by: str, index: str, *words: str) -> list[str]:
        """`bwvd custody` of this custodian."""
        return [
            *(sys.executable, "-m", "bwvd", "custody", self.address, *words, "--index", index),
            *("--endpoint", self.engine.endpoint, "--credentials", str(self.engine.credentials(seaweed.CUSTODIAN))),
            *("--signers", str(self.root / "signers"), "--key", str(self.root / by), "--by", by),
        ]

    def run(self, by: str, index: str, *words: str) -> tuple[int, Any, str]:
        """Exit code, the JSON document, and what stands on stderr."""
        done = subprocess.run(
            self.command(by, index, *words, "--json"),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr

    async def objects(self) -> dict[str, bytes]:
        """All that is in the bucket's part."""
        store = open_store(self.address, self.access(ADMIN))
        found = {}
        async for each in EveryPage(store):
            for one in each.objects:
                if one.name.startswith(("devices/", "custody/")):  # not what other tests have in parts of their own
                    found[one.name] = await _read(store, one.name)
        await store.aclose()
        return found

    def check_receipts(self, due: list[str]) -> None:
        """Exactly the receipts that are due, each for the manifest that is there."""
        objects = trio.run(self.objects)
        release = list_of(custodian_line(CUSTODIAN, "one"), custodian_line(OTHER, "two"))
        given = {name: data for name, data in objects.items() if "/receipts/" in name}
        assert {name.rpartition("/")[2].removesuffix(".json") for name in given} == set(due)
        for name, data in given.items():
            receipt = accept_receipt(data, None, [release], time.time()).receipt
            manifest = objects[names.recording_file(receipt.device, receipt.recording, "manifest.jsonl")]
            assert receipt.manifest_sha512 == hashlib.sha512(manifest).hexdigest(), name


async def _read(store: Store, name: str) -> bytes:
    async with store.get(name) as pieces:
        return b"".join([piece async for piece in pieces])


def rows(url: str, *leave: str) -> dict[str, list[tuple[Any, ...]]]:
    """What an index has, but for who is at work and the tables to `leave` out."""
    index = Index.open(url, "")
    try:
        tables = [one for one in schema.METADATA.sorted_tables if one.name not in ("custodians", "facts", *leave)]
        return index.do(
            lambda db: {one.name: sorted(map(tuple, db.execute(select(one)).all()), key=repr) for one in tables}
        )
    finally:
        index.close()


def test_two_custodians_share_a_bucket_by_a_database(engine: Engine, database: str, tmp_path: Path) -> None:
    """Invariant 16: each recording has one receipt, and each custodian has given some of them."""
    site = Site(engine, tmp_path, "shared")
    with contextlib.ExitStack() as stack:
        logs = [stack.enter_context((tmp_path / f"{by}.log").open("wb")) for by in ("one", "two")]
        both = []
        for by, log in zip(("one", "two"), logs, strict=True):
            process = subprocess.Popen(site.command(by, database), cwd=ROOT, stdout=log, stderr=log)
            stack.callback(process.kill)
            both.append(process)
        _until(lambda: _at_work(database) == {"one", "two"}, "both are at work")
        there = _beats(database)
        # Each knows of the other from its next word on; until then it takes all devices for its part.
        _until(lambda: all(beat > max(there.values()) for beat in _beats(database).values()), "both know of it")
        made = site.fill(DEVICES)
        _until(lambda: len(_received(database)) == len(made), "everything has its receipt")
        for process in both:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(timeout=30) for process in both] == [0, 0]
    site.check_receipts(made)
    assert _at_work(database) == set()
    assert set(_received(database).values()) == {"one", "two"}

    code, told, _ = site.run("one", database, "findings")
    assert (code, told) == (0, [])
    code, told, _ = site.run("one", database, "log")
    assert (code, told["problems"]) == (0, [])
    assert {entry["custodian"] for entry in told["entries"]} == {"one", "two"}
    code, told, _ = site.run("two", database, "--once")
    assert (code, told["devices"], told["received"], told["failed"]) == (0, DEVICES, 0, {})

    # From the bucket alone the same index is made, of another kind and by another custodian.
    anew = str(tmp_path / "anew.sqlite")
    code, told, _ = site.run("two", anew, "--reindex", "--once")
    assert (code, told["received"], told["bytes"]) == (0, len(made), 0)
    assert rows(anew) == rows(database)


def test_a_pass_over_a_bucket_finds_what_is_missing(engine: Engine, tmp_path: Path) -> None:
    site = Site(engine, tmp_path, "findings")
    index = str(tmp_path / "index.sqlite")
    made = site.fill(3, but=2)
    missing = {made[RECORDINGS]}
    code, told, said = site.run("one", index, "--once")
    assert (code, told["received"]) == (1, len(made) - len(missing))
    assert "nothing shows that it locks" in said or "may not ask about object lock" in said
    assert {row["kind"] for row in told["findings"]} == {"missing_serial"}
    assert {re.findall(r"number 1, (\S+),", row["detail"])[0] for row in told["findings"]} == missing
    code, listed, _ = site.run("one", index, "findings")
    assert (code, listed) == (1, told["findings"])
    site.check_receipts([one for one in made if one not in missing])


def test_what_a_stolen_camera_can_do_is_found_and_takes_nothing_back(engine: Engine, tmp_path: Path) -> None:
    """Invariants 8 and 16: with the rights of the page, by another client than ours; the custodian's do no more."""
    site = Site(engine, tmp_path, "")
    index = str(tmp_path / "index.sqlite")
    early, late = site.fill(1, key=seaweed.CAMERA)
    segment = {one: names.recording_file("BWV-0001", one, "000001.m4s") for one in (early, late)}
    first = trio.run(site.objects)

    async def attack(name: str) -> None:
        for key in (seaweed.CAMERA, seaweed.CUSTODIAN):
            store = open_store(site.address, site.access(key))
            with pytest.raises(ObjectDiffers):
                await store.put(name, bytes_body(b"x"), size=1, sha256=hashlib.sha256(b"x").digest())
            found = await store.head(name)
            assert found is not None
            assert found.version
            client, path = Client(engine, key), f"/{BUCKET}/{name}"
            bypass = {"x-amz-bypass-governance-retention": "true"}
            assert (await client.ask("DELETE", path, {"versionId": found.version}, bypass)).status == 403
            assert (await client.retain(path, found.version, "", None)).status in (400, 403)
            assert await _read(store, name) == first[name]
            await store.aclose()
        camera, path = Client(engine, seaweed.CAMERA), f"/{BUCKET}/{name}"
        assert (await camera.ask("PUT", path, content=b"forged")).status == 200
        receipt = f"/{BUCKET}/{names.receipt('BWV-0001', late)}"
        assert (await camera.ask("PUT", receipt, content=b"in its place")).status == 403
        for more in (path.replace("BWV-0001", "BWV-0002"), f"/{BUCKET}/custody/one/000000000001.jsonl"):
            assert (await camera.ask("PUT", more, content=b"forged")).status == 403
            assert (await camera.ask("GET", more)).status == 403

    async def what_was_first() -> dict[str, bytes]:
        store, found = open_store(site.address, site.access(seaweed.CUSTODIAN)), {}
        async for each in EveryVersion(store, names.device_folder("BWV-0001")):
            for one in each.versions:  # the last of a name was first
                async with store.get(one.name, version=one.version) as pieces:
                    found[one.name] = b"".join([piece async for piece in pieces])
        await store.aclose()
        return found

    trio.run(attack, segment[early])
    code, told, said = site.run("one", index, "--once")
    assert "versions_not_listed" not in said
    assert (code, told["received"]) == (1, 1)
    assert {(row["kind"], row["recording"]) for row in told["findings"]} == {("replaced", early), ("altered", early)}
    trio.run(attack, segment[late])  # behind its receipt
    code, told, _ = site.run("one", index, "--once")
    assert ("replaced", late) in {(row["kind"], row["recording"]) for row in told["findings"]}
    site.check_receipts([late])
    kept = trio.run(what_was_first)
    assert {name: kept[name] for name in first} == first


def _at_work(url: str) -> set[str]:
    index = Index.open(url, "")
    try:
        return index.do(lambda db: set(db.scalars(select(schema.CUSTODIANS.c.name))))
    finally:
        index.close()


def _beats(url: str) -> dict[str, int]:
    """When each custodian has last said that it is at work, by its name: whole seconds."""
    index = Index.open(url, "")
    try:
        columns = schema.CUSTODIANS.c
        return index.do(lambda db: {name: int(beat) for name, beat in db.execute(select(columns.name, columns.beat_s))})
    finally:
        index.close()


def _received(url: str) -> dict[str, str]:
    """Recordings with a receipt, and by whom it is."""
    index = Index.open(url, "")
    try:
        table = schema.METADATA.tables["receipts"]
        return index.do(lambda db: {row.recording: row.by for row in db.execute(select(table))})
    finally:
        index.close()


def _until(holds: Any, what: str) -> None:
    end_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < end_s, what
        time.sleep(0.1)
