"""The carrier against a real S3 store, SeaweedFS, with the rights that the page gives a camera there."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import trio
from click.testing import CliRunner, Result

from bwvd.cli.main import main
from bwvd.store.names import recording_file
from bwvd.store.open import BucketAccess, open_store
from tests.support import seaweed
from tests.support.documents import page
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.s3_client import Client
from tests.support.seaweed import ADMIN, BUCKET, CAMERA, SECRETS, Engine

pytestmark = pytest.mark.engines

OPEN_BUCKET = f"{BUCKET}-without-lock"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if reason := seaweed.why_not():
        pytest.fail(reason)
    with seaweed.running(tmp_path_factory.mktemp("weed")) as engine:
        yield engine


async def made(engine: Engine) -> None:
    admin = Client(engine, ADMIN)
    await admin.ask("PUT", f"/{BUCKET}", headers={"x-amz-bucket-object-lock-enabled": "true"})
    await admin.ask("PUT", f"/{OPEN_BUCKET}")


def once(engine: Engine, root: Path, store: str, more: str = "", key: str = CAMERA) -> Result:
    """`bwvd offload --once` of a camera with one recording."""
    if not (root / "evidence").exists():
        make_recording(make_storage(root / "evidence"))
    config = root / "bwvd.toml"
    config.write_text(
        f'[storage]\npath = "{root}/evidence"\n[socket]\npath = "{root}/s.sock"\n[offload]\nstore = "{store}"\n'
        f'endpoint = "{engine.endpoint}"\ncredentials = "{engine.credentials(key)}"\n{more}'
    )
    return CliRunner().invoke(main, ["offload", "--once", "--json", "-c", str(config)])


@pytest.mark.short
def test_a_recording_is_stored_and_locked(engine: Engine, tmp_path: Path) -> None:
    """Invariant 8: what the camera has sent, nobody deletes."""
    trio.run(made, engine)
    done = once(engine, tmp_path, f"s3://{BUCKET}/force", "retain_days = 1\n")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["faults"], told["complete"]) == (0, {}, True)
    (row,) = told["recordings"]
    assert once(engine, tmp_path, f"s3://{BUCKET}/force", "retain_days = 1\n").exit_code == 0
    trio.run(_same_and_locked, engine, tmp_path / "evidence/recordings" / row["recording"])


async def _same_and_locked(engine: Engine, folder: Path) -> None:
    access = BucketAccess(engine.endpoint, credentials=str(engine.credentials(CAMERA)))
    store = open_store(f"s3://{BUCKET}/force", access)
    tomorrow = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=23)
    for file in await trio.to_thread.run_sync(lambda: list(folder.iterdir())):
        found = await store.head(recording_file("BWV-0001", folder.name, file.name))
        content = file.read_bytes()
        assert found is not None
        assert (found.size, found.sha256) == (len(content), hashlib.sha256(content).digest())
        assert found.retain_until is not None
        assert found.retain_until > tomorrow
    await store.aclose()


@pytest.mark.short
def test_a_bucket_without_a_lock_is_named(engine: Engine, tmp_path: Path) -> None:
    trio.run(made, engine)
    done = once(engine, tmp_path, f"s3://{OPEN_BUCKET}", key=ADMIN)  # a camera may not ask the bucket
    assert "offload:lock" in json.loads(done.stdout)["faults"]
    done = once(engine, tmp_path, f"s3://{OPEN_BUCKET}/more", "retain_days = 1\n")
    assert done.exit_code == 1
    assert "offload:lock" in json.loads(done.stdout)["faults"]


@pytest.mark.short
def test_wrong_credentials_and_a_bucket_that_is_not_there_are_a_line(engine: Engine, tmp_path: Path) -> None:
    trio.run(made, engine)
    done = once(engine, tmp_path, "s3://nobody-has-this")
    assert done.exit_code == 1
    assert len(json.loads(done.stdout)["faults"]["offload:store"].splitlines()) == 1
    right, SECRETS[CAMERA] = SECRETS[CAMERA], "wrong"
    try:
        done = once(engine, tmp_path, f"s3://{BUCKET}/force")
    finally:
        SECRETS[CAMERA] = right
    assert done.exit_code == 1
    assert "secret does not belong" in json.loads(done.stdout)["faults"]["offload:store"]
    assert "wrong" not in done.stdout


@pytest.mark.short
def test_the_rights_of_the_page_are_enough(tmp_path: Path) -> None:
    """The identities that the page gives SeaweedFS, and its command for the bucket, as they stand there."""
    if reason := seaweed.why_not():
        pytest.fail(reason)
    text = page("offload")
    (create,) = re.findall(r"^echo '(s3\.bucket\.create [^']*)'", text, re.MULTILINE)
    with seaweed.running(tmp_path / "weed", seaweed.rights_of(text)) as engine:
        program = seaweed.command()
        assert program is not None
        done = subprocess.run(
            [program, "shell", f"-master={engine.master}"],
            input=f"{create}\nexit\n", capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert "Object Lock: enabled" in done.stdout
        done_once = once(engine, tmp_path, "s3://evidence", "retain_days = 1\n")
        told = json.loads(done_once.stdout)
        assert (told["complete"], told["faults"]) == (True, {})


@pytest.mark.short
def test_put_alone_and_its_receipts_are_enough(tmp_path: Path) -> None:
    """Invariant 8: the least that the page names; a start that can't look puts again, and replaces nothing."""
    if reason := seaweed.why_not():
        pytest.fail(reason)
    mine = "evidence/devices/BWV-0001"
    identities = seaweed.rights_of(page("offload"))
    (camera,) = (one for one in identities if one["name"] == CAMERA.lower())
    writes = [action for action in cast(list[str], camera["actions"]) if action.startswith("Write:")]
    camera["actions"] = [*writes, f"Read:{mine}/receipts/*"]
    with seaweed.running(tmp_path / "weed", identities) as engine:
        trio.run(made, engine)
        for standing in ("stored", "stored", "receipt"):
            told = json.loads(once(engine, tmp_path, f"s3://{BUCKET}", "release = false\n").stdout)
            assert (told["complete"], told["faults"]) == (True, {})
            (row,) = told["recordings"]
            assert row["standing"] == standing
            if standing == "stored":
                folder, path = f"/{mine}/recordings/{row['recording']}", f"/{mine}/receipts/{row['recording']}.json"
                secret = trio.run(lambda: Client(engine, CAMERA).ask("GET", f"{folder}/manifest.jsonl"))  # noqa: B023  run at once
                assert secret.status == 403
                if (tmp_path / "again").exists():
                    trio.run(lambda: Client(engine, ADMIN).ask("PUT", path, content=b"{}"))  # noqa: B023  run at once
                (tmp_path / "again").touch()
