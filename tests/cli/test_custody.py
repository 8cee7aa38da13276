"""`bwvd custody` and `bwvd verify` on a store in a folder: what a person types, and what he reads (invariant 16)."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result

from bwvd.cli import vouching
from bwvd.cli.main import main
from bwvd.store import names
from bwvd.store.folder import FolderStore
from tests.support.custody_store import CUSTODIAN, OTHER, Camera, carry, custodian_line, draft, recording_id
from tests.support.evidence_keys import fixed_signer, write_key


class Site:
    """A folder with a store, the camera that fills it, the lists, a custodian's key."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.camera = Camera(root / "card")
        (root / "store").mkdir()
        (root / "cameras").write_text(fixed_signer().allowed_signers("BWV-0001"))
        write_key(root / "key", 40)
        (root / "key.pub").write_text(f"{CUSTODIAN.public_key} evidence-server\n")
        self.address = f"file:{root / 'store'}"

    def carry(self, *but: str) -> None:
        async def put() -> None:
            store = FolderStore(str(self.root / "store"))
            await carry(store, self.camera, but=but)
            await store.aclose()

        trio.run(put)

    def file(self, name: str) -> Path:
        return self.root / "store" / name


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(vouching, "SYSTEM_LIST", tmp_path / "etc" / "allowed_signers")
    monkeypatch.chdir(tmp_path)
    return Site(tmp_path)


def bwvd(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def custody(site: Site, *words: str, key: str = "key", signers: str = "cameras") -> Result:
    return bwvd("custody", site.address, *words, "--signers", signers, "--key", key)


def document(done: Result) -> Any:
    return json.loads(done.stdout)


def refused(done: Result, what: str, code: int = 2) -> None:
    assert (done.exit_code, done.stdout) == (code, ""), done.output
    *_, last = done.stderr.splitlines()
    assert re.search(what, last), done.stderr


def test_once_takes_over_what_has_come(site: Site) -> None:
    """Invariant 16."""
    site.camera.record(2)
    site.carry()
    done = custody(site, "--once")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        f"received  {recording_id(1)} authentic",
        f"received  {recording_id(2)} authentic",
        "1 device, 2 recordings received; 0 open findings",
    ]
    assert "a folder locks nothing" in done.stderr
    assert site.file(names.receipt("BWV-0001", recording_id(1))).is_file()
    again = custody(site, "--once", "--json")
    assert again.exit_code == 0
    assert (document(again)["received"], document(again)["findings"]) == (0, [])


def test_a_finding_is_exit_1_until_a_person_resolves_it(site: Site) -> None:
    site.camera.record(2)
    site.carry()
    path = site.file(names.recording_file("BWV-0001", recording_id(2), "000001.m4s"))
    path.write_bytes(path.read_bytes()[:-1])
    done = custody(site, "--once", "--json")
    assert done.exit_code == 1
    (row,) = document(done)["findings"]
    assert (row["kind"], row["recording"]) == ("altered", recording_id(2))
    listed = bwvd("custody", site.address, "findings")
    assert listed.exit_code == 1
    assert re.fullmatch(rf"{row['id']} \S+Z altered +{recording_id(2)}: 000001\.m4s.*\n", listed.stdout)
    assert document(bwvd("custody", site.address, "findings", "--json")) == [row]
    refused(custody(site, "resolve", row["id"]), "--note")
    refused(custody(site, "resolve", "nothing", "--note", "x"), "no finding in this index", 1)
    assert custody(site, "resolve", row["id"], "--note", "the court has the card").exit_code == 0
    assert bwvd("custody", site.address, "findings").exit_code == 0
    kept = document(bwvd("custody", site.address, "findings", "--all", "--json"))
    assert [one["resolution"] for one in kept] == ["evidence-server: the court has the card"]
    assert custody(site, "--once").exit_code == 0
    assert not site.file(names.receipt("BWV-0001", recording_id(2))).exists()


def test_findings_of_what_is_no_index_of_this_version_are_one_line_and_make_none(site: Site) -> None:
    """Invariant 16: who looks writes nothing, whatever he names."""

    def listed(what: str, index: str) -> None:
        before = {path.name: path.read_bytes() for path in site.root.iterdir() if path.is_file()}
        refused(bwvd("custody", site.address, "findings", "--index", index), what)
        assert {path.name: path.read_bytes() for path in site.root.iterdir() if path.is_file()} == before

    listed("no.sqlite: there is no index", "no.sqlite")
    listed("no.sqlite: there is no index", f"sqlite:///{site.root}/no.sqlite")
    Path("empty").write_bytes(b"")
    listed("no index of a custodian", "empty")
    sqlite3.connect("other").execute("create table recordings (x)").connection.close()
    listed("no index of a custodian", "other")
    site.camera.record()
    site.carry()
    assert custody(site, "--once").exit_code == 0
    with closing(sqlite3.connect("custody.sqlite")) as database, database:
        database.execute("update facts set value = '1' where name = 'schema'")
    with closing(sqlite3.connect("custody.sqlite")) as database:
        database.execute("pragma journal_mode=delete")
    listed("version '1'.* brings them up to date", "custody.sqlite")


def test_the_log_is_read_and_held_to_be_whole(site: Site) -> None:
    site.camera.record(2)
    site.carry()
    custody(site, "--once")
    done = custody(site, "log", "--json")
    assert done.exit_code == 0
    assert [entry["event"] for entry in document(done)["entries"]] == ["head", "receipt", "receipt"]
    assert re.search(r" evidence-server receipt .*authentic", custody(site, "log").stdout)
    path = sorted(site.file("custody/evidence-server").iterdir())[1]
    path.write_bytes(path.read_bytes().replace(b"authentic", b"recovered"))
    done = custody(site, "log", "--json")
    assert done.exit_code == 1
    assert len(document(done)["problems"]) == 2  # nor does the next one go on from what it is now
    assert document(bwvd("custody", site.address, "log", "--signers", "cameras", "--json"))["entries"] == []


def test_the_index_is_made_anew(site: Site) -> None:
    site.camera.record(3)
    site.carry(recording_id(2))
    assert custody(site, "--once").exit_code == 1
    before = document(bwvd("custody", site.address, "findings", "--json"))
    assert [row["kind"] for row in before] == ["missing_serial"]
    Path("custody.sqlite").write_bytes(b"")
    shutil.rmtree(site.root / "card")
    done = custody(site, "--once", "--reindex", "--json")
    assert done.exit_code == 1
    assert (document(done)["bytes"], document(done)["received"]) == (0, 2)
    assert document(bwvd("custody", site.address, "findings", "--json")) == before


def test_what_can_not_be_used_is_said_in_one_line(site: Site) -> None:
    refused(bwvd("custody", site.address, "--once"), "--signers FILE and --key FILE")
    refused(bwvd("custody", "nonsense", "--once", "--signers", "cameras", "--key", "key"), "no store")
    refused(bwvd("custody", "file:/nowhere", "--once", "--signers", "cameras", "--key", "key"), "/nowhere", 1)
    refused(custody(site, "--once", signers="nothing"), "nothing")
    refused(custody(site, "--once", key="cameras"), "cameras")
    refused(bwvd("custody", site.address, "findings"), "there is no index")
    write_key(site.root / "device", 1)
    refused(custody(site, "--once", "--by", "me", key="device"), "listed for what devices sign")
    refused(custody(site, "--once", "--index", "mysql://x/y"), "sqlite or postgresql")
    # Not 2, after which the unit is started no more: a database may come up later than its custodian.
    refused(custody(site, "--once", "--index", "nowhere/index.sqlite"), "the index: unable to open database file", 1)


def test_a_key_that_is_not_listed_for_receipts_where_others_are(site: Site) -> None:
    lines = fixed_signer().allowed_signers("*") + custodian_line(OTHER, "other")
    (site.root / "cameras").write_text(lines)
    refused(custody(site, "--once"), "names other keys for bwvd-receipt, and not SHA256:")
    (site.root / "cameras").write_text(lines + custodian_line(CUSTODIAN, "evidence-server"))
    assert custody(site, "--once").exit_code == 0


def test_the_daemon_takes_over_what_comes_and_ends_at_a_signal(site: Site) -> None:
    site.camera.record(1)
    site.carry()
    command = [sys.executable, "-m", "bwvd", "custody", site.address, "--signers", "cameras", "--key", "key"]
    with subprocess.Popen(command, cwd=site.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as daemon:
        try:
            assert daemon.stdout is not None
            assert daemon.stdout.readline() == f"received  {recording_id(1)} authentic\n"
            site.camera.record(1)
            site.carry()
            assert daemon.stdout.readline() == f"received  {recording_id(2)} authentic\n"
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(timeout=20) == 0
        finally:
            daemon.kill()


# --- bwvd verify on a store -------------------------------------------------------------------------------------------


def verify(*words: object) -> tuple[int, list[dict[str, Any]]]:
    done = bwvd("verify", "--signers", "cameras", "--json", *words)
    return done.exit_code, document(done)


def test_a_recording_a_device_and_a_store_are_verified_where_they_lie(site: Site) -> None:
    """Invariant 7: the same verdicts as of the card."""
    site.camera.limit_bytes = 9000
    site.camera.record(3)
    site.carry()
    code, (report,) = verify(f"{site.address}/devices/BWV-0001/recordings/{recording_id(2)}")
    assert (code, report["verdict"], report["id"], report["segments"]) == (0, "authentic", recording_id(2), 1)
    for path in (f"{site.address}/devices/BWV-0001", f"{site.address}/", site.address):
        code, reports = verify(path)
        assert code == 0, reports
        assert [(report["kind"], report["verdict"]) for report in reports] == [
            ("storage", "authentic"),
            *[("recording", "authentic")] * 3,
        ]
    assert "3 authentic" in bwvd("verify", "--signers", "cameras", site.address).stdout


def test_nobody_vouches_without_a_list(site: Site) -> None:
    """Invariant 14."""
    site.camera.record(1)
    site.carry()
    done = bwvd("verify", site.address, "--json")
    assert done.exit_code == 1
    assert {report["verdict"] for report in document(done)} == {"unvouched"}


@pytest.mark.parametrize("kind", ["altered", "missing", "not whole", "journal", "stranger"])
def test_what_is_wrong_in_a_store_is_said(kind: str, site: Site) -> None:
    """Invariants 7 and 13."""
    site.camera.record(3)
    site.carry(*([recording_id(2)] if kind == "missing" else []))
    folder = site.file(names.recording_folder("BWV-0001", recording_id(2)))
    match kind:
        case "altered":
            (folder / "000001.m4s").write_bytes(b"x")
        case "not whole":
            (folder / "SHA256SUMS.sig").unlink()
        case "journal":
            heads = site.file(names.heads_folder("BWV-0001", site.camera.storage))
            for head in heads.iterdir():
                head.unlink()
            site.camera.enter(draft("boot"))
            shutil.rmtree(site.root / "card")
            site.camera = Camera(site.root / "card")
            site.carry()
        case "stranger":
            (folder / "more").write_bytes(b"x")
        case _:
            pass
    code, reports = verify(site.address)
    assert code == 1
    verdicts = {report["id"]: report["verdict"] for report in reports if report["verdict"] != "authentic"}
    expected = {
        "altered": {recording_id(2): "altered"},
        "not whole": {recording_id(2): "not_closed"},
        "missing": {f"BWV-0001/{site.camera.storage[:8]}": "altered"},
        "journal": {recording_id(serial): "altered" for serial in (1, 2, 3)},
        "stranger": {recording_id(2): "altered"},
    }
    assert verdicts == expected[kind]


@pytest.mark.parametrize(
    "path", ["devices/BWV-0009", "devices/BWV-0001/recordings/x", "devices/BWV-0001/x", "devices/.."]
)
def test_what_is_not_in_a_store(path: str, site: Site) -> None:
    site.camera.record(1)
    site.carry()
    code, (report,) = verify(f"{site.address}/{path}")
    assert (code, report["verdict"]) == (1, "unreadable")
