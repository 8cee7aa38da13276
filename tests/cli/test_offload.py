"""`bwvd offload`: real folders, a real process, a recorder that lets go of what has a receipt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bwvd.cli.check_gnss import gnss_findings
from bwvd.cli.check_offload import offload_findings
from bwvd.cli.check_witness import witness_findings
from bwvd.cli.main import main
from bwvd.config.load import load
from bwvd.config.schema import Config
from bwvd.evidence.format.layout import RECORDINGS
from bwvd.offload.state import State, Waiting, Witness, write_state
from tests.support.carried import CUSTODIAN, receipt_text
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.process import Process
from tests.support.source_tree import ROOT
from tests.support.time_authority import Authority, honest, time_server

SMALL = '[video]\nsource = "lavfi:testsrc2=size=160x120:rate=10"\n[loop]\nseconds = 5\n[recording]\npost_roll_s = 0.5\n'


class Desk:
    """A camera's folders and its configuration."""

    def __init__(self, root: Path, store: str = "", more: str = "") -> None:
        self.storage, self.dock = make_storage(root / "evidence"), root / "dock"
        self.dock.mkdir()
        self.store = store or f"file:{self.dock}"
        self.config = root / "bwvd.toml"
        self.config.write_text(
            f'[storage]\npath = "{self.storage}"\n[socket]\npath = "{root}/s.sock"\n'
            f'[offload]\nstore = "{self.store}"\ncredentials = "{root}/credentials"\n{more}'
        )

    def once(self, *more: str) -> Result:
        return CliRunner().invoke(main, ["offload", "--once", "-c", str(self.config), *more])


def test_a_row_for_each_recording_and_all_of_it_in_the_folder(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    made = [make_recording(desk.storage, serial) for serial in (1, 2)]
    done = desk.once()
    assert done.exit_code == 0, done.output
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [[path.name, "stored"] for path in made]
    for path in made:
        copy = desk.dock / "devices/BWV-0001/recordings" / path.name
        assert {one.name: one.read_bytes() for one in copy.iterdir()} == {
            one.name: one.read_bytes() for one in path.iterdir()
        }
    assert done.stderr == ""
    again = desk.once("--json")
    assert again.exit_code == 0
    told = json.loads(again.stdout)
    assert told["complete"] is True
    assert [row["standing"] for row in told["recordings"]] == ["stored", "stored"]
    assert told["faults"] == {}


def test_what_is_not_stored_is_exit_1_and_a_line(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    first, second = (make_recording(desk.storage, serial) for serial in (1, 2))
    (first / "000002.m4s").write_bytes(b"altered")
    done = desk.once()
    assert done.exit_code == 1
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["unfit", "stored"]
    assert f"bwvd: offload:unfit: {first.name}: 000002.m4s is not what SHA256SUMS says" in done.stderr
    assert (desk.dock / "devices/BWV-0001/recordings" / second.name / "SHA256SUMS.sig").exists()


def test_an_object_with_other_bytes_is_named_and_stays(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    made = make_recording(desk.storage, 1)
    taken = desk.dock / "devices/BWV-0001/recordings" / made.name / "000001.m4s"
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"somebody else's")
    done = desk.once()
    assert done.exit_code == 1
    assert "differs" in done.stdout
    assert "000001.m4s" in done.stderr
    assert taken.read_bytes() == b"somebody else's"


def test_a_dock_that_is_not_there_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bwvd.offload.process.ONCE_TRIES", 1)
    desk = Desk(tmp_path, store=f"file:{tmp_path}/nowhere")
    make_recording(desk.storage, 1)
    done = desk.once()
    assert done.exit_code == 1
    assert "waiting" in done.stdout
    assert f"bwvd: offload:store: {tmp_path}/nowhere: No such file or directory" in done.stderr


def test_a_storage_that_is_not_there_is_a_line(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    (desk.storage / "allowed_signers").unlink()
    (desk.storage / RECORDINGS).rmdir()
    desk.storage.rmdir()
    done = desk.once()
    assert done.exit_code == 1
    assert "bwvd: offload:storage: " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "table", "said"),
    [
        (["--once"], 'store = ""', 'offload.store = "", witness.tsa = []: nothing says where to'),
        ([], 'store = ""', 'offload.store = "", witness.tsa = []: nothing says where to'),
        (["--json"], 'store = "file:/mnt/dock"', "--json belongs to --once"),
        (["--once"], 'store = "dock"', "offload.store"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(tmp_path: Path, arguments: list[str], table: str, said: str) -> None:
    config = tmp_path / "bwvd.toml"
    config.write_text(f"[offload]\n{table}\n")
    done = CliRunner().invoke(main, ["offload", "-c", str(config), *arguments])
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


# --- what `bwvd check` says ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("store", "more", "ok", "said"),
    [
        ("file:{root}/dock", "", True, "a folder locks nothing"),
        ("file:{root}/nowhere", "", True, "not now: {root}/nowhere: No such file or directory"),
        ("s3://evidence", 'endpoint = "http://127.0.0.1:1"\n', False, "{root}/credentials: No such file or directory"),
    ],
)
def test_check_says_whether_the_store_can_be_used(tmp_path: Path, store: str, more: str, ok: bool, said: str) -> None:
    """A store that is away now is advice: a camera records without it. Credentials that can't be used are a mistake."""
    config = load(Desk(tmp_path, store.format(root=tmp_path), more).config)
    advice, found = offload_findings(config, probe=True)
    assert (advice.ok, advice.advice) == (True, True)
    assert "no key may sign receipts" in advice.text
    assert found.ok is ok
    assert said.format(root=tmp_path) in found.text
    assert list(offload_findings(Config(), probe=True)) == []


# --- what `bwvd status` shows ----------------------------------------------------------------------------------------


STATE = State(
    store="file:/mnt/dock",
    pid=7,
    written_ns=0,
    doing="idle",
    waiting=Waiting(recordings=2, bytes=12_300_000),
    stored=5,
    receipts=1,
    released=3,
    faults={"offload:unfit": "REC: 000003.m4s is not what SHA256SUMS says"},
)


def test_status_shows_what_waits_what_is_stored_and_what_has_a_receipt(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bwvd.cli.offload_state import with_offload
    from bwvd.cli.printing import print_status
    from bwvd.config.load import parse
    from tests.cli.test_printing import STATUS

    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    config = parse('[offload]\nstore = "file:/mnt/dock"\n', "f")

    def lines() -> list[str]:
        print_status(with_offload(STATUS, config))
        return [line for line in capsys.readouterr().out.splitlines() if "offload" in line]

    assert lines() == ["offload    no carrier runs; systemctl status bwvd-offload"]
    now_ns = time.monotonic_ns()
    write_state(tmp_path / "state.json", State(**{**vars_of(STATE), "written_ns": now_ns}))
    assert lines() == [
        "offload    file:/mnt/dock, idle: 2 recordings waiting, 12.3 MB, 5 stored, 1 with a receipt, 3 released",
        "fault      offload:unfit: REC: 000003.m4s is not what SHA256SUMS says",
    ]
    write_state(tmp_path / "state.json", State(**{**vars_of(STATE), "written_ns": now_ns - 75_000_000_000}))
    assert lines()[0] == "offload    no sign of life for 75 s"
    assert "offload" not in with_offload(STATUS, parse("", "f"))


def vars_of(state: State) -> dict[str, Any]:
    return {name: getattr(state, name) for name in state.__struct_fields__}


# --- as a service, beside a recorder ---------------------------------------------------------------------------------


def wait_until(true: Callable[[], bool], limit_s: float = 60) -> None:
    until_s = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < until_s
        time.sleep(0.05)


@pytest.mark.slow
def test_a_camera_empties_itself_by_receipts_alone(tmp_path: Path) -> None:
    """Invariants 8 and 16: two processes, a folder as the store, and a custodian in three lines."""
    (tmp_path / "camera").mkdir()
    (tmp_path / "dock").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "desk").write_text(f'desk namespaces="bwvd-receipt" {CUSTODIAN.key.line}\n')
    keys = f'[keys]\nsigning = "{tmp_path}/camera/keys/device_key"\nrelease = ["{tmp_path}/desk"]\n'
    table = f'[offload]\nstore = "file:{tmp_path}/dock"\nwhen = "always"\n'
    environment = {**os.environ, "RUNTIME_DIRECTORY": str(tmp_path / "run")}
    with Process(tmp_path / "camera", SMALL + keys + table) as daemon:
        daemon.wait_for_loop(1)
        recordings = daemon.folder / "evidence/recordings"
        carrier = subprocess.Popen(
            [sys.executable, "-m", "bwvd", "offload", "-c", str(daemon.config)],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            daemon.ask(cmd="record")
            daemon.wait_until(lambda status: bool(status["recording"] and status["recording"]["committed_s"] > 1))
            daemon.ask(cmd="stop")
            stored = tmp_path / "dock/devices/BWV-0001/recordings"
            wait_until(lambda: any(stored.glob("*/SHA256SUMS.sig")))
            (copy,) = stored.iterdir()
            assert {one.name: one.read_bytes() for one in copy.iterdir()} == {
                one.name: one.read_bytes() for one in (recordings / copy.name).iterdir()
            }
            receipts = tmp_path / "dock/devices/BWV-0001/receipts"
            receipts.mkdir()
            manifest = (copy / "manifest.jsonl").read_bytes()
            (receipts / f"{copy.name}.json").write_bytes(receipt_text(copy.name, manifest))
            wait_until(lambda: not any(recordings.iterdir()))
            wait_until(lambda: json.loads((tmp_path / "run/state.json").read_text())["released"] == 1)
            carrier.send_signal(signal.SIGTERM)
            assert carrier.wait(20) == 0
            assert not (tmp_path / "run/state.json").exists()
        finally:
            carrier.kill()
            carrier.wait()


# --- time-stamps -----------------------------------------------------------------------------------------------------


def witnessed(root: Path, url: str) -> str:
    return f'[witness]\ntsa = ["{url}"]\ncerts = "{root}/tsa/root.pem"\n'


@pytest.mark.slow
def test_a_recorder_keeps_the_time_stamps_and_verify_reads_them_without_a_network(tmp_path: Path) -> None:
    """Invariants 7 and 8, over real processes: the carrier asks, the recorder writes, the desk verifies."""
    authority = Authority(tmp_path / "tsa")
    with time_server(honest(authority)) as server, Process(tmp_path, SMALL + witnessed(tmp_path, server.url)) as daemon:
        daemon.wait_for_loop(1)
        daemon.ask(cmd="record")
        daemon.wait_until(lambda status: bool(status["recording"] and status["recording"]["committed_s"] > 1))
        daemon.ask(cmd="stop")
        storage = daemon.folder / "evidence"
        daemon.wait_until(lambda _: any((storage / RECORDINGS).glob("*/SHA256SUMS.sig")))
        done = CliRunner().invoke(main, ["offload", "--once", "-c", str(daemon.config), "--json"])
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        assert told["witness"]["waiting"] == 0
        assert told["witness"]["tokens"] == 1
        assert told["recordings"] == []
        server.answer = lambda _: (200, "text/html", b"<html>")
        again = CliRunner().invoke(main, ["offload", "--once", "-c", str(daemon.config)])
        assert again.exit_code == 1  # the journal has grown, and is not stamped
        assert "bwvd: offload:tsa: 127.0.0.1-" in again.stderr
        assert "answers text/html instead of a time-stamp" in again.stderr
        (finding,) = [one for one in witness_findings(load(daemon.config), probe=True) if "not now" in one.text]
        assert (finding.ok, finding.advice) == (True, True)
    arguments = ["verify", "-c", str(daemon.config), "--tsa-certs", str(authority.root)]
    done = CliRunner().invoke(main, arguments)
    assert done.stdout.count("existed before 20") == 2, done.stdout  # the journal, and the recording
    reports = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)
    assert [len(report["existed_before"]) for report in reports] == [1, 1]
    assert [report["verdict"] for report in reports] == ["authentic", "authentic"]


def test_verify_names_certificates_that_are_none(tmp_path: Path) -> None:
    storage = make_storage(tmp_path / "evidence")
    make_recording(storage)
    done = CliRunner().invoke(main, ["verify", str(storage), "--tsa-certs", str(tmp_path / "nothing.pem")])
    assert done.exit_code == 2
    assert done.stderr == f"bwvd: {tmp_path}/nothing.pem: No such file or directory\n"


def test_check_says_what_each_authority_says(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tsa")
    config = tmp_path / "bwvd.toml"
    with time_server(honest(authority)) as server:
        config.write_text(witnessed(tmp_path, server.url))
        (finding,) = witness_findings(load(config), probe=True)
        assert finding.text.endswith(", CN=time authority of the tests")
    (finding,) = witness_findings(load(config), probe=False)
    assert finding.ok
    authority.root.unlink()
    (finding,) = witness_findings(load(config), probe=False)
    assert (finding.ok, finding.text) == (False, f"witness.certs: {authority.root}: No such file or directory")
    assert list(witness_findings(Config(), probe=True)) == []


def test_status_shows_what_waits_for_a_time_stamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bwvd.cli.offload_state import offload_rows, with_offload
    from bwvd.config.load import parse

    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    witness = Witness(authorities=2, waiting=3, tokens=40, last_utc="2026-11-22T07:16:01Z", last_by="CN=a")
    state = State(store="", pid=7, written_ns=time.monotonic_ns(), doing="no store", witness=witness)
    write_state(tmp_path / "state.json", state)
    status = with_offload({}, parse('[witness]\ntsa = ["https://x.example/"]\n', "f"))
    assert list(offload_rows(status)) == [
        (
            "time",
            "3 recordings waiting for a time-stamp, 40 tokens on the flash, the last 2026-11-22T07:16:01Z by CN=a",
        )
    ]


# --- the receiver ----------------------------------------------------------------------------------------------------


def test_check_says_whether_a_receiver_answers(tmp_path: Path) -> None:
    config = tmp_path / "bwvd.toml"
    config.write_text('[gnss]\nsource = "gpsd://127.0.0.1:1"\n')
    (finding,) = gnss_findings(load(config), probe=True)
    assert (finding.ok, finding.advice) == (True, True)
    assert "gpsd does not answer" in finding.text
    config.write_text(f'[gnss]\nsource = "serial:{tmp_path}/ttyACM0"\n')
    (finding,) = gnss_findings(load(config), probe=True)
    assert "not now" in finding.text
    (finding,) = gnss_findings(load(config), probe=False)
    assert not finding.advice
    assert list(gnss_findings(Config(), probe=True)) == []
