"""A carrier before a store that is not as it should be, while the real daemon records: a fault, and nothing else."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from bwvd.clock import SystemClock
from bwvd.config.load import load
from bwvd.config.schema import Config
from bwvd.evidence.keys.sshsig import KeySigner
from bwvd.offload.process import Outcome, _once, connector
from bwvd.store import names
from bwvd.store.s3.sigv4 import AccessKey
from tests.support.carried import receipt_text
from tests.support.custody_store import CUSTODIAN, OTHER, custodian_line
from tests.support.process import DEVICE, Process
from tests.support.s3_server import BUCKET, KEY, Lock, S3Server, Stored, serving, write_credentials

pytestmark = pytest.mark.slow

SOURCE = """\
[video]
source = "lavfi:testsrc2=size=320x240:rate=30"
encoder = "libx264"
keyframe_s = 0.2
[loop]
seconds = 5
[recording]
post_roll_s = 0.5
"""


@dataclass
class Site:
    """A camera that records, and has a closed recording."""

    daemon: Process
    folder: Path
    recording: str  # that is closed
    now: str  # that goes on

    def files(self) -> dict[str, bytes]:
        folder = self.folder / "evidence/recordings" / self.recording
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    def config(self, server: S3Server, retain_days: int) -> Config:
        write_credentials(self.folder / "credentials", KEY)
        table = {
            "store": f"s3://{BUCKET}",
            "endpoint": server.endpoint,
            "credentials": str(self.folder / "credentials"),
            "retain_days": retain_days,
        }
        loaded = load(self.daemon.config)
        return msgspec.structs.replace(loaded, offload=msgspec.structs.replace(loaded.offload, **table))

    def check_records(self) -> None:
        """It goes on, whole, and without a fault of its own."""
        before = self.daemon.status()
        after = self.daemon.wait_until(
            lambda status: bool(status["recording"]) and status["video"]["frames"] >= before["video"]["frames"] + 3
        )
        assert after["recording"]["id"] == self.now
        assert after["recording"]["committed_s"] >= before["recording"]["committed_s"]
        assert (after["faults"], after["video"]["dropped"], after["storage"]["backlog_bytes"] < 1_000_000) == (
            [],
            0,
            True,
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "receipt_signers").write_text(custodian_line(CUSTODIAN, "evidence-server"))
    keys = f'[keys]\nsigning = "{folder}/keys/device_key"\nrelease = ["{folder}/receipt_signers"]\n'
    with Process(folder, SOURCE + keys) as daemon:
        daemon.wait_for_loop(1)
        closed = daemon.ask(cmd="record")["recording"]
        daemon.wait_until(lambda status: bool(status["recording"] and status["recording"]["committed_s"] > 1))
        daemon.ask(cmd="stop")
        daemon.wait_until(lambda status: status["state"] == "standby" and status["recording"] is None)
        sums = folder / "evidence/recordings" / closed / "SHA256SUMS.sig"
        daemon.wait_until(lambda _: sums.exists())  # the last that is written of it
        now = daemon.ask(cmd="record")["recording"]
        daemon.wait_until(lambda status: bool(status["recording"] and status["recording"]["committed_s"] > 1))
        yield Site(daemon, folder, closed, now)


@dataclass(frozen=True)
class Case:
    """What is wrong with a store, and what is told of it."""

    fault: str  # "" = none
    says: str = ""
    complete: bool = False  # everything closed is stored
    retain_days: int = 0
    prepare: Callable[[Site, S3Server], None] = lambda _site, _server: None
    put: Callable[[Site], dict[str, bytes]] = field(default=lambda _site: {})  # what is there already


def _key(server: S3Server, key: AccessKey) -> None:
    server.key = key


def _clock(server: S3Server, minutes: float) -> None:
    server.now = lambda: datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)


def _lock(server: S3Server, lock: Lock) -> None:
    server.lock = lock


def _object(site: Site, file: str) -> str:
    return names.recording_file(DEVICE, site.recording, file)


def _in_receipts_place(site: Site, data: bytes) -> dict[str, bytes]:
    return {names.receipt(DEVICE, site.recording): data}


def _receipt(recording: str, manifest: bytes, signer: KeySigner = CUSTODIAN) -> bytes:
    return receipt_text(recording, manifest, signer, by="evidence-server")


def _hostile(site: Site) -> dict[str, bytes]:
    folders = (names.device_folder(DEVICE), names.recordings_folder(DEVICE), names.receipts_folder(DEVICE))
    strange = ("../../etc/passwd", "\x1b[2J\x07", "x" * 900, "%2e%2e/x", "a\nb", "\u202etxt.exe", "//", " ")
    every = {f"{folder}{name}": b"x" for folder in folders for name in strange}
    return every | {f"{names.receipts_folder(DEVICE)}{number:07d}": b"" for number in range(3_000)}


CASES = {
    "wrong secret": Case(
        "offload:store", "secret does not belong", prepare=lambda _, server: _key(server, AccessKey(KEY.id, "another"))
    ),
    "unknown key": Case(
        "offload:store", "does not know", prepare=lambda _, server: _key(server, AccessKey("AKIAOTHER", "x"))
    ),
    "clock 10 minutes off": Case("", complete=True, prepare=lambda _, server: _clock(server, 10)),
    "clock 10 minutes off, with a lock": Case(
        "", complete=True, retain_days=1, prepare=lambda _, server: _clock(server, 10)
    ),
    "clock 20 minutes off": Case("offload:store", "20 minutes behind", prepare=lambda _, server: _clock(server, 20)),
    "no lock": Case(
        "offload:lock", "no object lock", complete=True, prepare=lambda _, server: _lock(server, Lock.NONE)
    ),
    "no lock, where one is asked for": Case(
        "offload:lock", "lock", retain_days=1, prepare=lambda _, server: _lock(server, Lock.NONE)
    ),
    "a lock that is none": Case(
        "offload:lock", "shows no lock", complete=True, retain_days=1,
        prepare=lambda _, server: _lock(server, Lock.CLAIMED),
    ),
    "a lock that can be taken back": Case(
        "offload:lock", "governance", complete=True, retain_days=1,
        prepare=lambda _, server: _lock(server, Lock.GOVERNANCE),
    ),
    "another fleet's store": Case(
        "", complete=True, put=lambda _: {f"devices/CAM-{n:04d}/recordings/x/SHA256SUMS.sig": b"" for n in range(50)}
    ),
    "another fleet's camera of the same id": Case(
        "offload:differs", "another content",
        put=lambda site: {_object(site, file): b"theirs" for file in site.files()},
    ),
    "an object with other bytes": Case(
        "offload:differs", "000001.m4s", put=lambda site: {_object(site, "000001.m4s"): b"other"}
    ),
    "hostile names": Case("", complete=True, put=_hostile),
    "a receipt for something else": Case(
        "offload:receipt", "is for", complete=True,
        put=lambda site: _in_receipts_place(site, _receipt("20261122T071505Z-BWV-0001-000099", b"")),
    ),
    "a receipt for another manifest": Case(
        "offload:receipt", "another manifest", complete=True,
        put=lambda site: _in_receipts_place(site, _receipt(site.recording, b"other")),
    ),
    "a receipt by a key that is not in keys.release": Case(
        "offload:receipt", "may not sign receipts", complete=True,
        put=lambda site: _in_receipts_place(site, _receipt(site.recording, site.files()["manifest.jsonl"], OTHER)),
    ),
    "garbage in a receipt's place": Case(
        "offload:receipt", "not text", complete=True, put=lambda site: _in_receipts_place(site, b"\xff\x00" * 500)
    ),
    "a receipt without an end": Case(
        "offload:receipt", "larger than", complete=True, put=lambda site: _in_receipts_place(site, b"{" * 1_000_000)
    ),
}  # fmt: skip


async def carried(site: Site, server: S3Server, case: Case) -> tuple[Outcome, Outcome]:
    """`bwvd offload --once`, all of it but the process, twice: the second time nobody knows of the first."""
    config = site.config(server, case.retain_days)
    with trio.fail_after(60):
        first = await _once(config, SystemClock(), connector(config))
        return first, await _once(config, SystemClock(), connector(config))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_what_is_wrong_with_a_store_is_a_line_and_the_recording_goes_on(site: Site, case: Case) -> None:
    """Invariants 8, 10 and 16."""
    before = site.files()
    async with serving() as server:
        server.objects = {name: Stored(data) for name, data in case.put(site).items()}
        theirs = dict(server.objects)
        case.prepare(site, server)
        first, outcome = await carried(site, server, case)
        if case.fault != "offload:receipt":  # of what was sent just now nobody asks for a receipt
            assert first.faults == outcome.faults
        assert set(outcome.faults) == ({case.fault} if case.fault else set()), outcome
        detail = outcome.faults.get(case.fault, "")
        assert case.says in detail
        assert detail.isprintable()
        assert (outcome.complete, len(outcome.rows)) == (case.complete, 1)
        assert {name: server.objects[name] for name in theirs} == theirs
        stored: dict[str, Any] = {file: server.objects.get(_object(site, file)) for file in before}
        if case.complete:
            assert {file: one.content for file, one in stored.items()} == before
        elif case.fault != "offload:differs":
            assert not any(stored.values())
    await trio.to_thread.run_sync(site.check_records)
    assert site.files() == before
