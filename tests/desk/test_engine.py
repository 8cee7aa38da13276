"""The desk over a real bucket, SeaweedFS, and over a custodian's index in a real PostgreSQL that is of it."""

from __future__ import annotations

import datetime
import hashlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pyrage
import pytest
import trio

from bwvd.evidence.format import records
from bwvd.evidence.format.decode import decode
from bwvd.evidence.format.layout import MANIFEST, RECORDINGS
from bwvd.evidence.keys.age import AgeSealer
from bwvd.store.body import bytes_body
from bwvd.store.open import BucketAccess, open_store
from tests.support import seaweed
from tests.support.custody_store import CUSTODIAN, Camera, custodian_line, device_line
from tests.support.desk import export_mp4
from tests.support.documents import page
from tests.support.evidence_keys import write_key
from tests.support.postgresql import a_database
from tests.support.s3_client import Client
from tests.support.seaweed import ADMIN, BUCKET
from tests.support.source_tree import ROOT

pytestmark = [pytest.mark.engines, pytest.mark.short]

SECONDS = 3
WAIT_S = 60.0


@dataclass(frozen=True)
class Taken:
    """A bucket with an encrypted recording and a plain one, which a custodian has taken over into an index."""

    address: str
    index: str
    root: Path
    identity: pyrage.x25519.Identity
    sealed: Path  # the encrypted recording, on the card
    plain: Path
    options: tuple[str, ...]  # with which the bucket is read, and believed


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taken]:
    if reason := seaweed.why_not():
        pytest.fail(reason)
    root = tmp_path_factory.mktemp("taken")
    rights = seaweed.rights_of(page("offload"))
    with seaweed.running(tmp_path_factory.mktemp("weed"), rights) as engine, a_database() as database:
        identity = pyrage.x25519.Identity.generate()
        (root / "identity").write_text(f"{identity}\n")
        (root / "signers").write_text(device_line() + custodian_line(CUSTODIAN, "one"))
        write_key(root / "one", 40)
        sealed = Camera(root / "sealed", sealer=AgeSealer([str(identity.to_public())]))
        plain = Camera(root / "plain", device="BWV-0002")
        (first,) = sealed.record(seconds=SECONDS, label="Straße 7")
        (second,) = plain.record(seconds=SECONDS, officer="4712")

        async def put() -> None:
            lock = {"x-amz-bucket-object-lock-enabled": "true"}
            await Client(engine, ADMIN).ask("PUT", f"/{BUCKET}", headers=lock)
            store = open_store(
                f"s3://{BUCKET}", BucketAccess(engine.endpoint, credentials=str(engine.credentials(ADMIN)))
            )
            until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
            for camera in (sealed, plain):
                for name, data in camera.objects().items():
                    digest = hashlib.sha256(data).digest()
                    await store.put(name, bytes_body(data), size=len(data), sha256=digest, retain_until=until)
            await store.aclose()

        trio.run(put)
        reading = ("--endpoint", engine.endpoint, "--credentials", str(engine.credentials(seaweed.CUSTODIAN)))
        options = (*reading, "--signers", str(root / "signers"), "--identity", str(root / "identity"))
        words = ("custody", f"s3://{BUCKET}", "--once", "--index", database, *options)
        key = ("--key", str(root / "one"), "--by", "one")
        subprocess.run([sys.executable, "-m", "bwvd", *words, *key], check=True, cwd=ROOT, timeout=120)
        yield Taken(
            f"s3://{BUCKET}", database, root, identity,
            sealed.root / RECORDINGS / first, plain.root / RECORDINGS / second, options,
        )  # fmt: skip


@contextmanager
def desk(place: str, taken: Taken, home: Path) -> Iterator[httpx.Client]:
    """`bwvd desk` on one place, and somebody who has come in."""
    words = [sys.executable, "-m", "bwvd", "desk", place, "--no-browser", "--port", "0", *taken.options]
    words += ["-o", str(home / "out"), "--log", str(home / "log"), "--key", str(home / "key"), "--by", "desk"]
    write_key(home / "key", 50)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            origin = address.partition("/enter")[0]
            with httpx.Client(base_url=origin, timeout=60, headers={"origin": origin}) as client:
                assert client.get(address).status_code == 200
                said = {"name": "Ann Smith", "reason": "case 7", "next": "/"}
                assert client.post("/who", data=said).status_code == 303
                yield client
        finally:
            process.terminate()
            process.wait(20)


def until(client: httpx.Client, address: str, over: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What an address says when it is over."""
    end = time.monotonic() + WAIT_S
    while not over(told := client.get(address).raise_for_status().json()):
        assert time.monotonic() < end, told
        time.sleep(0.1)
    return dict(told)


def segments_of(folder: Path) -> list[records.Segment]:
    found = [decode(line) for line in (folder / MANIFEST).read_bytes().splitlines()]
    return [one for one in found if isinstance(one, records.Segment)]


@pytest.mark.parametrize("of", ["bucket", "index"])
def test_a_recording_is_found_played_verified_and_handed_out(taken: Taken, tmp_path: Path, of: str) -> None:
    """Invariants 7, 14: from where it lies, byte for byte, by keys that somebody vouches for."""
    with desk(taken.address if of == "bucket" else taken.index, taken, tmp_path) as client:
        end = time.monotonic() + WAIT_S
        while "data-pending" in client.get("/").text:  # of a bucket nothing is known but ids until it is looked at
            assert time.monotonic() < end
            time.sleep(0.1)
        for query, folder in (("?marker=STRASSE", taken.sealed), ("?officer=4712", taken.plain), ("", taken.plain)):
            text = client.get(f"/{query}").raise_for_status().text
            assert folder.name in text
            assert ("by the custodian" in text) == (of == "index")
            assert (len(re.findall("<tr data-key=", text)) == 1) == bool(query)
        for folder in (taken.sealed, taken.plain):
            (place,) = re.findall(rf'href="(/r/[^"]+{folder.name})"', client.get(f"/?text={folder.name}").text)
            line = client.get(f"{place}/timeline.json").raise_for_status().json()
            assert not line["sealed"]
            named = [name for name in line["playlist"].splitlines() if name.startswith("seg/")]
            assert len(named) == SECONDS
            for name, record in zip(named, segments_of(folder), strict=True):
                answer = client.get(f"{place}/{name}").raise_for_status()
                assert answer.headers.get("bwvd-why", "") == ""
                stored = (folder / record.file).read_bytes()
                assert stored == answer.content or hashlib.sha256(answer.content).hexdigest() == record.plain_sha256
            assert client.get(f"{place}/init-1.mp4").raise_for_status().content
            told = until(client, f"{place}/verdict.json", lambda told: told["known"] or "failed" in told)
            assert (told["verdict"], told["problems"]) == ("authentic", [])
            clip = {"from": "1", "to": "2.5"}
            job = client.post(f"/out{place[2:]}/mp4", data=clip, headers={"accept": "application/json"})
            address = job.raise_for_status().json()["address"]
            over = until(client, address, lambda told: told["state"] not in ("waiting", "running"))
            assert (over["state"], over["problem"]) == ("done", "")
            own = tmp_path / f"{folder.name}.mp4"
            export_mp4(folder, own, identities=[taken.identity], from_s=1, to_s=2.5)
            assert Path(over["files"][0]["path"]).read_bytes() == own.read_bytes()


def test_who_may_not_read_the_bucket_is_told_so_and_has_the_list(taken: Taken, tmp_path: Path) -> None:
    wrong = tmp_path / "credentials"
    wrong.write_text("[default]\naws_access_key_id = NOBODY\naws_secret_access_key = nothing\n")
    wrong.chmod(0o600)
    options = list(taken.options)
    options[options.index("--credentials") + 1] = str(wrong)
    with desk(taken.index, replace(taken, options=tuple(options)), tmp_path) as client:
        (place,) = re.findall(rf'href="(/r/[^"]+{taken.sealed.name})"', client.get("/").text)
        answer = client.get(f"{place}/timeline.json")
        assert answer.status_code == 502
        assert "InvalidAccessKeyId" in answer.text
        assert taken.plain.name in client.get("/?officer=4712").text
