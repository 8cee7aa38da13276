"""`bwvd desk` as a person types it: a real server on a real socket, its address, its log, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from bwvd.cli.main import main
from bwvd.custody.index import Index
from tests.support.absent_library import take_away
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.source_tree import ROOT

RECORDING = "20261122T071505Z-BWV-0001-000001"


@pytest.fixture
def card(tmp_path: Path) -> Path:
    make_recording(make_storage(tmp_path / "card"))
    return tmp_path / "card"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and the address that it has printed."""
    words = [sys.executable, "-m", "bwvd", "desk", "--no-browser", *arguments]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/enter\?token=[\w-]{43}", address), process.communicate()
            yield process, address
        finally:
            process.kill()


def test_a_page_on_a_real_socket_and_its_log(card: Path, tmp_path: Path) -> None:
    with serving(str(card), "-o", str(tmp_path / "out")) as (process, address):
        origin = address.partition("/enter")[0]
        with httpx.Client(base_url=origin, timeout=60) as client:
            assert client.get("/").status_code == 403
            assert client.get(address).status_code == 200
            said = {"name": "Ann Smith", "reason": "case 7", "next": "/"}
            assert client.post("/who", data=said, headers={"origin": origin}).status_code == 303
            assert RECORDING in client.get("/").text
            assert client.get(f"/r/BWV-0001/{RECORDING}").status_code == 200
            assert "bwvd" not in client.get("/").headers.get("server", "")
            assert client.get("/", headers={"host": "evil.example"}).status_code == 421
        assert process.stdout is not None
        assert process.stdout.readline().startswith(origin)  # the next browser's
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    told = CliRunner().invoke(main, ["journal", "--desk", "--json"])
    assert told.exit_code == 0, told.output
    entries = json.loads(told.stdout)
    assert [entry["event"] for entry in entries] == ["entered", "listed", "viewed"]
    assert entries[2]["detail"]["recording"] == RECORDING
    assert entries[2]["detail"]["reason"] == "case 7"
    plain = CliRunner().invoke(main, ["journal", "--desk"])
    assert "Ann Smith" in plain.stdout


def test_a_log_that_was_changed_is_exit_1(card: Path, tmp_path: Path) -> None:
    """Invariant 7, of the desk's own records."""
    with serving(str(card)) as (process, address):
        origin = address.partition("/enter")[0]
        with httpx.Client(base_url=origin, timeout=60) as client:
            client.get(address)
            client.post("/who", data={"name": "Ann"}, headers={"origin": origin})
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    (entry,) = (tmp_path / "state" / "bwvd" / "desk" / "log" / "desk").rglob("*.jsonl")
    entry.chmod(0o600)
    entry.write_bytes(entry.read_bytes().replace(b'"Ann"', b'"Eve"'))
    told = CliRunner().invoke(main, ["journal", "--desk"])
    assert told.exit_code == 1
    assert "does not hold" in told.stderr or "signature" in told.stderr
    named = CliRunner().invoke(main, ["journal", str(tmp_path / "state" / "bwvd" / "desk" / "log")])
    assert named.exit_code == 1  # nobody says whose logs count


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "neither a folder nor a proof"),
        (["s3://x"], "bucket"),
        (["CARD", "--signers", "none"], "none"),
        (["CARD", "--identity", "none"], "none"),
        (["CARD", "--trust-header", "X-User"], "all three"),
        (["CARD", "--trust-header", "X-U", "--proxy-user", "root", "--public-url", "here"], "--public-url"),
        (
            ["CARD", "--trust-header", "X-U", "--proxy-user", "no-such", "--public-url", "https://x.xy"],
            "no such user",
        ),
    ],
)
def test_what_can_t_be_served_is_one_line(card: Path, arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(
        main, ["desk", "--no-browser", *[str(card) if one == "CARD" else one for one in arguments]]
    )
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_index_of_a_bucket_on_a_server_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never looked for at AWS; the server is named by what it is called here."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    place = tmp_path / "index.sqlite"
    Index.open(str(place), "s3://evidence/site at 127.0.0.1:8333").close()
    done = CliRunner().invoke(main, ["desk", "--no-browser", str(place)])
    assert done.exit_code == 2
    assert "of s3://evidence/site at 127.0.0.1:8333: name that server with --endpoint" in done.stderr
    with (
        serving(str(place), "--endpoint", "http://nas.example:8333") as (_, address),
        httpx.Client(timeout=60) as client,
    ):
        assert client.get(address).status_code == 200
    other = tmp_path / "other.sqlite"
    (tmp_path / "dock at home").mkdir()
    Index.open(str(other), f"file:{tmp_path}/dock at home").close()
    with serving(str(other)) as (_, address), httpx.Client(timeout=60) as client:
        assert client.get(address).status_code == 200


def test_a_port_that_is_taken_is_one_line(card: Path) -> None:
    with serving(str(card)) as (_, address):
        port = re.findall(r":(\d+)/", address)[0]
        done = CliRunner().invoke(main, ["desk", "--no-browser", "--port", port, str(card)])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert port in done.stderr


def test_a_library_that_was_taken_away_leaves_no_other_modules_behind(card: Path) -> None:
    """Later tests put their doubles into the modules that the code of theirs runs in."""
    import bwvd.desk.index_source

    before = bwvd.desk, bwvd.desk.index_source
    with pytest.MonkeyPatch.context() as monkeypatch:
        take_away(monkeypatch, "hypercorn", "bwvd.desk")
        assert CliRunner().invoke(main, ["desk", "--no-browser", str(card)]).exit_code == 2
    assert (bwvd.desk, bwvd.desk.index_source) == before
    assert sys.modules["bwvd.desk.index_source"] is before[1]


def test_without_the_extra_it_says_what_to_install(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take_away(monkeypatch, "hypercorn", "bwvd.desk")
    done = CliRunner().invoke(main, ["desk", "--no-browser", str(card)])
    assert (done.exit_code, done.stderr) == (2, "bwvd: hypercorn is not installed: pip install 'bwvd[desk]'\n")


def test_the_page_s_libraries_are_no_other_command_s() -> None:
    code = (
        "import sys; from bwvd.cli.main import main; import bwvd.cli.desk, bwvd.cli.journal, bwvd.cli.demo; "
        "print(*{'starlette', 'hypercorn', 'jinja2', 'sqlalchemy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.split() == []
