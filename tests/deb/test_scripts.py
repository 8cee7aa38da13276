"""The order in which the maintainer scripts do things, with stand-ins for the tools that would change this machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.source_tree import ROOT

TOOLS = ("systemctl", "systemd-sysusers", "systemd-tmpfiles", "udevadm", "py3compile", "py3clean")
LOWEST = 19


class Board:
    """What the scripts find: systemd running, and which units are active."""

    def __init__(self, folder: Path, *active: str) -> None:
        self.folder, self._log = folder, folder / "log"
        (folder / "run/systemd/system").mkdir(parents=True)
        (folder / "active").mkdir()
        for unit in active:
            (folder / "active" / f"{unit}.service").touch()
        (folder / "bin").mkdir()
        for tool in TOOLS:
            stand_in = folder / "bin" / tool
            stand_in.write_text(
                f'#!/bin/sh\necho "{tool} $* nice=$(nice)" >>{self._log}\n'
                f'[ "{tool} $2" != "systemctl is-active" ] || exec test -e "{folder}/active/$3"\n'
                f'[ "{tool} $1" != "systemctl stop" ] || rm "{folder}/active/$2"\n'
                f'[ "{tool} $1" != "systemctl start" ] || touch "{folder}/active/$2"\n'
            )
            stand_in.chmod(0o755)

    def run(self, name: str, *arguments: str) -> list[str]:
        """What the script called, in order, with the niceness of each."""
        self._log.write_text("")
        text = (ROOT / "deb" / name).read_text()
        assert "/run/" in text
        script = self.folder / name
        text = text.replace("/run/", f"{self.folder}/run/")
        script.write_text(text.replace("/opt/", f"{self.folder}/opt/") if name == "postrm" else text)
        environment = {"PATH": f"{self.folder}/bin:/usr/bin:/bin"}
        command = ["sh", str(script), *arguments]
        done = subprocess.run(command, check=True, env=environment, timeout=60, stderr=subprocess.PIPE, text=True)
        self.said = "".join(line for line in done.stderr.splitlines(keepends=True) if "next: " not in line)
        return self._log.read_text().splitlines()


def where(calls: list[str], what: str) -> int:
    (found,) = [number for number, call in enumerate(calls) if call.startswith(what)]
    return found


def test_an_upgrade_keeps_the_camera_down_for_no_byte_code(tmp_path: Path) -> None:
    """Invariant 12: it is closed in order before files change; what can be done while it runs is not done between."""
    board = Board(tmp_path, "bwvd", "bwvd-offload")
    before = board.run("prerm", "upgrade", "2.0")
    assert (
        where(before, "py3clean") < where(before, "systemctl stop bwvd-offload") < where(before, "systemctl stop bwvd.")
    )
    after = board.run("postinst", "configure", "1.0")
    start, compiled = where(after, "systemctl start bwvd."), where(after, "py3compile -p bwvd /opt/bwvd")
    assert where(after, "systemd-sysusers") < where(after, "systemctl daemon-reload") < start < compiled
    assert where(after, "systemctl start bwvd-offload.") < compiled
    assert after[compiled].endswith(f"nice={LOWEST}")
    assert after[start].endswith(f"nice={os.nice(0)}")
    assert not (tmp_path / "run/bwvd-upgrade").exists()


@pytest.mark.parametrize("how", ["abort-upgrade", "abort-remove", "abort-deconfigure"])
def test_a_failed_upgrade_starts_what_ran_and_brings_its_byte_code_back(tmp_path: Path, how: str) -> None:
    board = Board(tmp_path, "bwvd")
    board.run("prerm", "upgrade", "2.0")
    calls = board.run("postinst", how, "2.0")
    assert where(calls, "systemctl start bwvd.") < where(calls, "py3compile")
    assert not any("bwvd-offload" in call for call in calls)


def test_what_did_not_run_is_not_started(tmp_path: Path) -> None:
    board = Board(tmp_path)
    assert not any(" stop " in call for call in board.run("prerm", "upgrade", "2.0"))
    calls = board.run("postinst", "configure", "1.0")
    assert not any(" start " in call for call in calls)
    where(calls, "py3compile")


def test_removed_it_is_stopped_for_good(tmp_path: Path) -> None:
    board = Board(tmp_path, "bwvd")
    where(board.run("prerm", "remove"), "systemctl stop bwvd.")
    assert not any(" start " in call for call in board.run("postinst", "configure", "1.0"))


def test_without_room_for_byte_code_it_is_installed_and_says_so(tmp_path: Path) -> None:
    """A half-installed package is refused by every later upgrade."""
    board = Board(tmp_path, "bwvd")
    board.run("prerm", "upgrade", "2.0")
    (tmp_path / "bin/py3compile").write_text("#!/bin/sh\nexit 1\n")
    where(board.run("postinst", "configure", "1.0"), "systemctl start bwvd.")
    assert board.said.startswith("bwvd: not all byte code could be made")


def test_byte_code_that_nobody_knows_of_keeps_no_folder(tmp_path: Path) -> None:
    """Of another optimisation, of a tool. What else somebody has put there stays."""
    board = Board(tmp_path)
    site = tmp_path / "opt/bwvd/venv/lib/site-packages/bwvd"
    (site / "__pycache__").mkdir(parents=True)
    (site / "__pycache__/text.cpython-313.opt-1.pyc").touch()
    board.run("postrm", "remove")
    assert list((tmp_path / "opt").iterdir()) == []
    (site / "__pycache__").mkdir(parents=True)
    (site / "__pycache__/text.cpython-313.opt-1.pyc").touch()
    (site / "patched.py").touch()
    board.run("postrm", "remove")
    assert [path.name for path in site.iterdir()] == ["patched.py"]
    board.run("postrm", "upgrade", "2.0")
