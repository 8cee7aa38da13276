"""The exit code of `bwvd run`: 2, which is never tried again, for the configuration alone."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from bwvd.config.load import load
from bwvd.daemon import process
from bwvd.evidence.startup.admission import open_storage
from tests.support.process import DEVICE, write_configuration

CONFIG = '[video]\nsource = "lavfi:testsrc2=size=160x90:rate=15"\nsize = "160x90"\n[power]\nsupply = "none"\n'


def run(folder: Path) -> int:
    config_path = write_configuration(folder, CONFIG)
    return process.run_daemon(load(config_path), config_path)


def broken(number: int) -> Callable[..., int]:
    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ENOMEM, errno.EMFILE, errno.ETIMEDOUT, errno.ESTALE])
@pytest.mark.parametrize("call", ["fsync", "scandir", "ftruncate"])
def test_a_storage_that_fails_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    write_configuration(tmp_path, CONFIG)
    monkeypatch.setattr(os, call, broken(number))
    assert run(tmp_path) == process.FAILED


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE])
def test_a_key_on_a_disk_that_fails_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write_configuration(tmp_path, CONFIG)
    monkeypatch.setattr("bwvd.evidence.keys.sshsig.read_bounded", broken(number))
    assert run(tmp_path) == process.FAILED


def test_a_storage_that_the_last_process_still_holds_is_tried_again(tmp_path: Path) -> None:
    write_configuration(tmp_path, CONFIG)
    held = open_storage(tmp_path / "evidence", device=DEVICE)
    try:
        assert run(tmp_path) == process.FAILED
    finally:
        held.close()


def test_a_socket_that_still_answers_is_tried_again(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "s.sock"))
        other.listen()
        assert run(tmp_path) == process.FAILED
        assert (tmp_path / "s.sock").exists()


def _no_storage(folder: Path) -> None:
    (folder / "evidence").rename(folder / "elsewhere")
    (folder / "evidence").write_text("no folder")


def _foreign(folder: Path) -> None:
    (folder / "evidence" / "holiday.jpg").write_bytes(b"")


def _no_key(folder: Path) -> None:
    (folder / "keys" / "device_key").unlink()


def _open_key(folder: Path) -> None:
    (folder / "keys" / "device_key").chmod(stat.S_IRUSR | stat.S_IROTH)


def _no_socket(folder: Path) -> None:
    (folder / "s.sock").mkdir()


@pytest.mark.parametrize("spoil", [_foreign, _no_key, _open_key, _no_socket])
def test_what_a_person_has_to_put_right_is_not(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    write_configuration(tmp_path, CONFIG)
    spoil(tmp_path)
    assert run(tmp_path) == process.USAGE


def test_a_storage_that_is_no_folder_is_not(tmp_path: Path) -> None:
    config_path = write_configuration(tmp_path, CONFIG)
    config = load(config_path)
    _no_storage(tmp_path)
    assert process.run_daemon(config, config_path) == process.USAGE
