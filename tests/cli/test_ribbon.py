"""Ribbon cameras in `bwvd devices` and `bwvd check`, through a verified fake of rpicam-vid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bwvd.cli.check import check_all
from bwvd.cli.main import main
from bwvd.config.schema import Config, Keys, Rpicam, Socket, Storage, Video
from bwvd.testing.rpicam_vid import Board, script


def ribbon(monkeypatch: pytest.MonkeyPatch, folder: Path, board: Board) -> list[dict[str, str]]:
    script(folder, board)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    done = CliRunner().invoke(main, ["devices", "--json"])
    assert done.exit_code == 0, done.output
    return [one for one in json.loads(done.stdout) if str(one["where"]).startswith("ribbon")]


def test_devices_lists_them_with_what_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = ribbon(monkeypatch, tmp_path, Board())
    assert found["what"].startswith("imx708_wide [4608x2592 10-bit RGGB], ")
    assert found["toml"] == '[video]\nsource = "rpicam:imx708_wide"'
    assert ribbon(monkeypatch, tmp_path, Board(plug="/nowhere/at/all")) == []


@pytest.mark.parametrize(
    ("board", "encoder", "expected"),
    [
        (Board("vc4"), "copy", "64x48 at 30/s, h264 by copy"),
        (Board("pisp"), "libx264", "raw frames are encoded here"),
        (Board(plug="/nowhere/at/all"), "copy", "no camera is attached"),
    ],
)
def test_check_opens_it_and_says_who_encodes(board: Board, encoder: str, expected: str, tmp_path: Path) -> None:
    config = Config(
        video=Video(source="rpicam:0", size="64x48", encoder=encoder, keyframe_s=0.2, stamp=False),
        rpicam=Rpicam(program=script(tmp_path, board)),
        storage=Storage(path=str(tmp_path)),
        keys=Keys(signing=str(tmp_path / "key")),
        socket=Socket(path=str(tmp_path / "socket")),
    )
    said = [finding for finding in check_all(config) if finding.area == "camera"]
    assert any(expected in finding.text for finding in said), said
    assert all(finding.ok for finding in said) == (expected != "no camera is attached")
