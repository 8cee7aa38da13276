"""To whom `bwvd keygen` gives the key."""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bwvd.cli.install import shipped_files
from bwvd.cli.keygen import GROUP, group_number, installed_root
from bwvd.cli.main import main

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can lend a key to a group")
NUMBER = 64_987  # none of this machine's


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """Another machine's file system, as it is after systemd-sysusers."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/group").write_text(f"root:x:0:\nmore-bwvd:x:7:\n{GROUP}-more:x:8:\n{GROUP}:x:{NUMBER}:pi\n")
    return tmp_path


def made(folder: Path) -> tuple[Result, os.stat_result]:
    said = CliRunner().invoke(main, ["keygen", str(folder), "--device", "BWV-0001"])
    assert said.exit_code == 0, said.output
    return said, (folder / "device_key").stat()


@AS_ROOT
def test_root_lends_it_to_the_service(card: Path) -> None:
    """The daemon signs with a key that it can read and not write."""
    before = os.umask(0o077)
    try:
        said, status = made(card / "etc/bwvd")
    finally:
        os.umask(before)
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (0, NUMBER, 0o640)
    assert said.stderr == "device_key: root:bwvd 0640, for the service to read\n"
    assert said.stdout.splitlines() == [
        str(card / "etc/bwvd" / name) for name in ("device_key", "device_key.pub", "allowed_signers")
    ]
    assert (card / "etc/bwvd/device_key.pub").stat().st_gid == 0


@AS_ROOT
def test_by_another_name_of_the_folder(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (card / "etc/bwvd").mkdir()
    monkeypatch.chdir(card / "etc/bwvd")
    assert made(Path())[1].st_gid == NUMBER


@AS_ROOT
@pytest.mark.parametrize("groups", [None, "", "root:x:0:\n", "bwvd-more:x:8:\n", "bwvd:x:many:\n", "bwvd\n"])
def test_without_the_group_it_is_root_s_and_says_what_to_do(tmp_path: Path, groups: str | None) -> None:
    (tmp_path / "etc").mkdir()
    if groups is not None:
        (tmp_path / "etc/group").write_text(groups)
    said, status = made(tmp_path / "etc/bwvd")
    assert (status.st_gid, stat.S_IMODE(status.st_mode)) == (os.getegid(), 0o600)
    assert said.stderr.startswith("device_key: root alone can read it, as there is no group bwvd yet: systemd-sysusers")


@AS_ROOT
def test_in_another_folder_it_is_the_owner_s(card: Path) -> None:
    said, status = made(card / "etc/other")
    assert (status.st_gid, stat.S_IMODE(status.st_mode), said.stderr) == (os.getegid(), 0o600, "")


def test_who_is_not_root_lends_nothing(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    said, status = made(card / "etc/bwvd")
    assert (stat.S_IMODE(status.st_mode), said.stderr) == (0o600, "")


def test_on_this_machine_the_system_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert installed_root(Path("/etc/bwvd")) == Path("/")
    asked: list[str] = []

    def known(name: str) -> grp.struct_group:
        asked.append(name)
        return grp.struct_group((name, "x", NUMBER, []))

    monkeypatch.setattr(grp, "getgrnam", known)
    assert (group_number(Path("/")), asked) == (NUMBER, [GROUP])

    def unknown(name: str) -> grp.struct_group:
        raise KeyError(name)

    monkeypatch.setattr(grp, "getgrnam", unknown)
    assert group_number(Path("/")) is None


def test_it_is_the_units_group() -> None:
    unit = (shipped_files() / "systemd/bwvd.service").read_text()
    assert f"\nGroup={GROUP}\n" in unit
