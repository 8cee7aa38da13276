"""From a press to an empty card, on real parts: daemon, carrier, store, custodian, and the receipt's way back.

The carrier and the daemon are killed in the middle of it, as a camera that is taken off its dock with an empty battery.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from bwvd.store import names
from bwvd.store.open import BucketAccess, open_store
from bwvd.store.ports import EveryPage
from tests.support import seaweed
from tests.support.custody_store import CUSTODIAN, custodian_line
from tests.support.documents import page
from tests.support.evidence_keys import write_key
from tests.support.process import DEVICE, Process
from tests.support.s3_client import Client
from tests.support.source_tree import ROOT

pytestmark = pytest.mark.slow

SOURCE = """\
[video]
source = "lavfi:testsrc2=size=320x240:rate=10"
encoder = "libx264"
bitrate = 2_000_000
[loop]
seconds = 5
[recording]
post_roll_s = 0.5
"""


@dataclass(frozen=True)
class Target:
    """Where recordings are carried, and how camera, custodian and whoever verifies reach it."""

    address: str
    offload: str = ""  # more of the camera's table
    custodian: tuple[str, ...] = ()  # options
    environment: Mapping[str, str] = field(default_factory=dict)  # of who verifies


def configuration(folder: Path, target: Target, max_mbit: float) -> str:
    keys = f'[keys]\nsigning = "{folder}/keys/device_key"\nrelease = ["{folder}/receipt_signers"]\n'
    return f'{SOURCE}{keys}[offload]\nstore = "{target.address}"\nmax_mbit = {max_mbit}\n{target.offload}'


def bwvd(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bwvd", *map(str, words)]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
    )


def document(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def record(daemon: Process) -> None:
    daemon.ask(cmd="record")
    daemon.wait_until(lambda status: bool(status["recording"] and status["recording"]["committed_s"] > 2))
    daemon.ask(cmd="stop")
    daemon.wait_until(lambda status: status["state"] == "standby" and status["recording"] is None)


def stored(target: Target, prefix: str = "") -> list[str]:
    """The names that whoever verifies sees in the store."""
    access = BucketAccess(target.environment.get("AWS_ENDPOINT_URL", ""), credentials=_credentials(target))

    async def names_of() -> list[str]:
        store = open_store(target.address, access)
        found = [one.name async for page in EveryPage(store, prefix) for one in page.objects]
        await store.aclose()
        return found

    return trio.run(names_of)


def _credentials(target: Target) -> str:
    return target.environment.get("AWS_SHARED_CREDENTIALS_FILE", "")


def test_recordings_are_carried_away_taken_over_and_let_go(tmp_path: Path) -> None:
    """Invariants 8 and 16: what is let go is whole in the store, authentic, and has its receipt."""
    (tmp_path / "store").mkdir()
    close_the_loop(tmp_path, Target(f"file:{tmp_path}/store"))


@pytest.mark.engines
@pytest.mark.short
def test_the_same_by_a_bucket_that_locks_with_the_rights_of_the_page(tmp_path: Path) -> None:
    """Invariants 8 and 16."""
    if reason := seaweed.why_not():
        pytest.fail(reason)
    with seaweed.running(tmp_path / "weed", seaweed.rights_of(page("offload"))) as engine:
        headers = {"x-amz-bucket-object-lock-enabled": "true"}
        trio.run(lambda: Client(engine, seaweed.ADMIN).ask("PUT", f"/{seaweed.BUCKET}", headers=headers))
        camera, custodian = (str(engine.credentials(key)) for key in (seaweed.CAMERA, seaweed.CUSTODIAN))
        access = f'endpoint = "{engine.endpoint}"\ncredentials = "{camera}"\nretain_days = 1\n'
        environment = {"AWS_ENDPOINT_URL": engine.endpoint, "AWS_SHARED_CREDENTIALS_FILE": custodian}
        options = ("--endpoint", engine.endpoint, "--credentials", custodian)
        close_the_loop(tmp_path, Target(f"s3://{seaweed.BUCKET}", access, options, environment))


def close_the_loop(tmp_path: Path, target: Target) -> None:
    """Record three, cut the power in the midst of carrying them, and go on to an empty card."""
    recordings = tmp_path / "evidence/recordings"
    write_key(tmp_path / "custody_key", 40)
    (tmp_path / "receipt_signers").write_text(custodian_line(CUSTODIAN, "evidence-server"))
    with Process(tmp_path, configuration(tmp_path, target, 2)) as daemon:
        daemon.wait_for_loop(2)
        for _ in range(3):
            record(daemon)
        made = sorted(path.name for path in recordings.iterdir())
        assert len(made) == 3
        last = names.recording_file(DEVICE, made[-1], "SHA256SUMS.sig")
        with subprocess.Popen(
            [sys.executable, "-m", "bwvd", "offload", "-c", str(daemon.config), "--once"], cwd=ROOT
        ) as carrier:
            until_s = time.monotonic() + 60
            while sum(name.endswith(".m4s") for name in stored(target)) < 2:
                assert time.monotonic() < until_s
                assert carrier.poll() is None
                time.sleep(0.02)
            carrier.kill()
        daemon.kill()
        assert last not in stored(target)

    custody = [
        *("custody", target.address, "--once", "--index", tmp_path / "index", *target.custodian),
        *("--signers", tmp_path / "keys/allowed_signers", "--key", tmp_path / "custody_key", "--by", "evidence-server"),
    ]
    with Process(tmp_path, configuration(tmp_path, target, 0)) as daemon:
        daemon.wait_for_loop(1)
        sent = bwvd("offload", "-c", daemon.config, "--once", "--json")
        assert sent.returncode == 0, sent.stdout + sent.stderr
        assert last in stored(target)
        assert sorted(path.name for path in recordings.iterdir()) == made  # a store's answer deletes nothing

        taken = bwvd(*custody, "--json")
        assert taken.returncode == 0, taken.stdout + taken.stderr
        assert (document(taken)["received"], document(taken)["findings"]) == (3, [])

        back = bwvd("offload", "-c", daemon.config, "--once", "--json")
        assert back.returncode == 0, back.stdout + back.stderr
        until_s = time.monotonic() + 30
        while list(recordings.iterdir()):
            assert time.monotonic() < until_s, back.stdout
            time.sleep(0.05)
        again = bwvd("offload", "-c", daemon.config, "--once")  # the journal, which says that they were let go
        assert again.returncode == 0, again.stdout + again.stderr
    assert bwvd(*custody).returncode == 0
    signers = tmp_path / "keys/allowed_signers"
    verified = bwvd("verify", "--signers", signers, "--json", target.address, **target.environment)
    assert verified.returncode == 0, verified.stdout
    reports = document(verified)
    assert [report["id"] for report in reports if report["kind"] == "recording"] == made
    assert {report["verdict"] for report in reports} == {"authentic"}
