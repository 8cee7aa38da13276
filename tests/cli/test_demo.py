"""What the demo says: of a key that was refused, and of what was recorded."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from bwvd.cli.demo import ANSWER_SHOWN_S, LOOP_LEAST, Said, _conclude
from bwvd.cli.demo_view import status_line
from bwvd.cli.desk import Order, desk
from bwvd.cli.main import main
from bwvd.config.rules import GROUPS_IN_LOOP
from bwvd.config.schema import Config, Storage
from bwvd.messages import Answer
from bwvd.service.status_document import read_status
from tests.cli.test_printing import STATUS
from tests.support.absent_library import take_away
from tests.support.evidence_folder import make_recording, make_storage


def test_a_refusal_says_why_and_goes_after_five_seconds() -> None:
    said = Said()
    said.take(Answer(False, "the flash is full"), 100.0)
    assert said.now(100.0) == ("", "the flash is full")
    assert said.now(104.9) == ("", "the flash is full")
    assert ANSWER_SHOWN_S == 5
    assert said.now(105.0) == ("", "")
    said.take(Answer(False, "the flash is full"), 200.0)
    said.take(Answer(True, "marker"), 201.0)
    assert said.now(201.0) == ("marker set", "")


def test_a_refusal_is_in_the_line_also_while_a_stop_is_asked() -> None:
    line = status_line(read_status({**STATUS, "stop_asked": True}), refused="recording").plain
    assert "refused: a recording runs" in line
    assert "stop asked: space confirms" in line
    assert "in 1 segment " in line
    assert "refused" not in status_line(read_status(STATUS)).plain


def test_on_a_narrow_terminal_state_refusal_and_faults_are_what_is_left() -> None:
    status = read_status({**STATUS, "faults": ["camera"], "fault_details": {}})
    assert (
        "RECORDING  refused: the flash is full  ! camera" in status_line(status, refused="the flash is full").plain[:80]
    )


def test_every_recording_is_named_at_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage = make_storage(tmp_path / "evidence")
    recordings = [make_recording(storage, serial) for serial in (1, 2)]
    (tmp_path / "keys").mkdir()
    (storage / "allowed_signers").rename(tmp_path / "keys" / "allowed_signers")
    assert _conclude(tmp_path, Config(storage=Storage(path=str(storage)))) == 0
    said = capsys.readouterr().out.splitlines()
    for folder in recordings:
        output = tmp_path / f"{folder.name}.mp4"
        assert output.is_file()
        assert f"Recording   {folder}" in said
        assert said[-5:].count(f"Play it     ffplay {output}") == 1
        assert said[-5:].count(f"or as it is ffplay {folder / 'index.m3u8'}") == 1
    label, command = said[-1][:12], shlex.split(said[-1][12:])
    assert (label, command[:2]) == ("In the desk ", ["bwvd", "desk"])
    given = desk.make_context("desk", command[2:]).params  # which are options that there are
    assert (given["places"], Path(given["signers"]).read_text()) == (
        (str(storage),),
        (tmp_path / "keys" / "allowed_signers").read_text(),
    )


def test_with_desk_the_demo_ends_in_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = make_storage(tmp_path / "evidence")
    make_recording(storage)
    (tmp_path / "keys").mkdir()
    (storage / "allowed_signers").rename(tmp_path / "keys" / "allowed_signers")
    (tmp_path / "keys" / "device_key").touch()
    shown: list[Order] = []
    monkeypatch.setattr("bwvd.cli.desk.run_desk", shown.append)
    monkeypatch.setattr("bwvd.cli.demo.trio.run", lambda *_: None)  # nothing more is recorded
    done = CliRunner().invoke(main, ["demo", "--headless", "--keep", str(tmp_path), "--desk"])
    assert done.exit_code == 0, done.output
    assert [(order.places, order.browser) for order in shown] == [((str(storage),), True)]


def test_the_desk_is_asked_for_before_anything_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    take_away(monkeypatch, "hypercorn", "bwvd.desk")
    done = CliRunner().invoke(main, ["demo", "--headless", "--desk"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "bwvd: hypercorn is not installed: pip install 'bwvd[desk]'\n"


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf"])
def test_a_time_that_is_none_is_refused(seconds: str) -> None:
    done = CliRunner().invoke(main, ["demo", "--headless", "--loop", "5", "--record", seconds])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"bwvd: --record {seconds}: must be from 0 to 3600 seconds\n"


@pytest.mark.parametrize("seconds", ["3", "-1", "nan", "3601"])
def test_a_loop_that_is_none_names_its_option(seconds: str) -> None:
    """Not a key of a configuration that nobody has written."""
    done = CliRunner().invoke(main, ["demo", "--headless", "--loop", seconds])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"bwvd: --loop {seconds}: must be from 5 to 3600 seconds\n"
    assert Config().video.keyframe_s * GROUPS_IN_LOOP == LOOP_LEAST


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = CliRunner().invoke(main, ["demo", "--headless", "--keep", str(tmp_path / "file")])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"bwvd: {tmp_path / 'file' / 'evidence'}: Not a directory\n"


def test_nothing_recorded_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage = make_storage(tmp_path / "evidence")
    (tmp_path / "keys").mkdir()
    (storage / "allowed_signers").rename(tmp_path / "keys" / "allowed_signers")
    assert _conclude(tmp_path, Config(storage=Storage(path=str(storage)))) == 0
    assert capsys.readouterr().out.startswith("Nothing was recorded")
