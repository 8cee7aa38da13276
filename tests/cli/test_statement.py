"""`bwvd statement`, and `bwvd verify` of what it leaves: as the page for the desk shows it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bwvd.cli import vouching
from bwvd.cli.main import main
from tests.support.desk import export_mp4, export_proof
from tests.support.documents import section
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer, write_key
from tests.support.source_tree import ROOT
from tests.support.stock import need


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an export, what was made of it, and the cameras' list."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(vouching, "SYSTEM_LIST", tmp_path / "etc" / "allowed_signers")
    kept = make_recording(make_storage(tmp_path / "card"), seconds=1)
    folder = tmp_path / "desk"
    folder.mkdir()
    export_mp4(kept, folder / "original.mp4")
    (folder / "redacted.mp4").write_bytes((folder / "original.mp4").read_bytes()[:-100])
    (folder / "allowed_signers").write_text(fixed_signer().allowed_signers("BWV-0001"))
    monkeypatch.chdir(folder)
    return folder


def bwvd(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def one_line(done: Result, code: int) -> str:
    assert (done.exit_code, done.stdout) == (code, ""), done.output
    assert done.stderr.count("\n") == 1
    return str(done.stderr)


def test_the_page_for_the_desk_is_true(desk: Path) -> None:
    """Every command of the part on redactions runs as it stands there."""
    need("ssh-keygen")
    blocks = re.findall(r"^```sh\n(.*?)^```$", section("desk", "Redactions"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    (desk / "bin").mkdir()
    (desk / "bin" / "bwvd").write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m bwvd "$@"\n')
    (desk / "bin" / "bwvd").chmod(0o755)
    environment = {**os.environ, "PATH": f"{desk}/bin:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-e", "-c", "".join(blocks)], cwd=desk, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^stated +redacted\.mp4 \(statement\)$", done.stdout, re.MULTILINE)
    assert 'Good "bwvd-statement" signature for clerk' in done.stdout


def test_what_a_person_and_a_program_are_told(desk: Path) -> None:
    write_key(desk / "key", 7)
    done = bwvd("statement", "original.mp4", "redacted.mp4", "--key", "key", "--by", "clerk", "--note", "A\n  note")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("redacted.mp4.statement.json: made from original.mp4, an export of recording 2026")
    listed = f'clerk namespaces="bwvd-statement" {fixed_signer(7).public_key}\n'
    (desk / "allowed_signers").write_text(listed)
    done = bwvd("verify", "--signers", "allowed_signers", "redacted.mp4")
    assert done.exit_code == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0] == "stated redacted.mp4 (statement)"
    assert lines[1].endswith("(trusted)")
    assert lines[2].startswith("clerk states on ")
    assert lines[2].endswith("What was done: A note")
    assert [line.split()[0] for line in lines[3:]] == ["redacted.mp4", "original.mp4", "This"]
    (said,) = json.loads(bwvd("verify", "--json", "--signers", "allowed_signers", "redacted.mp4").stdout)
    assert (said["id"], said["kind"], said["verdict"]) == ("redacted.mp4", "statement", "stated")
    assert said["statement"]["note"] == "A note"
    assert len(said["sentences"]) == 4
    done = bwvd("verify", "redacted.mp4")
    assert done.exit_code == 1
    assert done.stdout.startswith("unvouched ")


def test_beside_recordings(desk: Path) -> None:
    """A summary counts statements for themselves."""
    write_key(desk / "key", 7)
    bwvd("statement", "original.mp4", "redacted.mp4", "--key", "key", "--by", "clerk", "--note", "x")
    with (desk / "allowed_signers").open("a") as file:
        file.write(f'clerk namespaces="bwvd-statement" {fixed_signer(7).public_key}\n')
    shutil.copytree(desk.parent / "card" / "recordings", desk / "copies")
    done = bwvd("verify", "--signers", "allowed_signers", "redacted.mp4", "copies")
    assert done.exit_code == 0
    first = " ".join(done.stdout.splitlines()[0].split())
    assert first == "stated 1 recording, 1 statement: 1 authentic, 1 stated"


@pytest.mark.parametrize("original", ["original.mp4", "recording", "proof.zip"])
def test_the_cameras_own_key_makes_no_statement(original: str, desk: Path) -> None:
    """Also where no list names it: whoever makes something of a recording is not the camera that made it."""
    [kept] = (desk.parent / "card" / "recordings").iterdir()
    shutil.copytree(kept, desk / "recording" / kept.name)
    export_proof(kept, desk / "proof.zip")
    write_key(desk / "camera", 1)
    named = next((desk / original).iterdir()) if (desk / original).is_dir() else original
    done = bwvd("statement", named, "redacted.mp4", "--key", "camera", "--note", "x", "--by", "clerk")
    assert "signed by this very key" in one_line(done, 1)
    assert not list(desk.glob("*.statement.json*"))


def test_what_is_refused(desk: Path) -> None:
    write_key(desk / "key", 7)
    write_key(desk / "camera", 1)

    def stated(key: str = "key", note: str = "x", original: str = "original.mp4") -> Result:
        words = ["statement", original, "redacted.mp4", "--key", key, "--note", note, "--by", "clerk"]
        return bwvd(*words, "--signers", "allowed_signers")

    assert "nowhere" in one_line(stated(key="nowhere"), 2)
    assert "listed for what devices sign" in one_line(stated(key="camera"), 2)
    assert "the note says what was done" in one_line(stated(note=" "), 1)
    assert "No such file" in one_line(stated(original="nowhere.mp4"), 1)
    assert not list(desk.glob("*.statement.json*"))
    done = bwvd("statement", "original.mp4", "redacted.mp4", "--key", "key", "--note", "x")
    assert done.exit_code == 2
    assert "give --by NAME" in done.stderr
