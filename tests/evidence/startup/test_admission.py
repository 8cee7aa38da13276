"""What the daemon looks at before it trusts a folder with evidence."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bwvd.evidence.flash.posix import PosixFile, PosixVolume
from bwvd.evidence.format import records
from bwvd.evidence.startup.admission import StorageInUse, StorageRefused, open_storage


def refusal(path: Path, device: str = "BWV-0001") -> str:
    """The one line that the opening is refused with; it names the key and the folder."""
    with pytest.raises(StorageRefused) as raised:
        open_storage(path, device=device)
    line = str(raised.value)
    assert line.startswith(f"storage.path: {path} ")
    assert "\n" not in line
    return line.removeprefix(f"storage.path: {path} ")


def journal(device: str) -> bytes:
    record = records.Journal(n=0, format=1, device=device, signer="", file_number=1, last_serial=0, previous=None)
    return msgspec.json.encode(record) + b"\n" + b'{"sig":""}\n'


def test_an_empty_folder_becomes_storage(tmp_path: Path) -> None:
    with open_storage(tmp_path, device="BWV-0001") as volume:
        assert volume.names("") == [".lock", "recordings/"]
    with open_storage(tmp_path, device="BWV-0001") as volume:
        assert volume.names("") == [".lock", "recordings/"]


def test_absent(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent") == "does not exist"


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refusal(tmp_path / "file") == "is not a folder"


def test_ours_are_no_foreigners(tmp_path: Path) -> None:
    for name in ("journal.jsonl", "journal.jsonl.new", "journal-000001.jsonl", "allowed_signers", ".reserve", ".probe"):
        (tmp_path / name).touch()
    for name in ("recordings/anything", "lost+found/anything", "empty"):
        (tmp_path / name).mkdir(parents=True)
    open_storage(tmp_path, device="BWV-0001").close()
    assert not (tmp_path / ".probe").exists()


@pytest.mark.parametrize("name", ["DCIM/", "photo.jpg", ".bashrc", "journal-1.jsonl", "journal.jsonl.bak"])
def test_a_foreign_thing_is_named_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    if name.endswith("/"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").touch()
    else:
        (tmp_path / name).touch()
    assert refusal(tmp_path) == f"holds {name}, which is not bwvd's: give it a folder of its own"
    assert [path.name for path in tmp_path.iterdir()] == [name.rstrip("/")]


@pytest.mark.parametrize("name", ["journal.jsonl", "allowed_signers", ".lock", ".reserve", ".probe"])
def test_a_planted_link_in_the_place_of_ours(tmp_path: Path, name: str) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    root = tmp_path / "root"
    root.mkdir()
    (root / name).symlink_to(target)
    assert refusal(root).startswith(f"holds {name} (a symbolic link)")
    assert target.read_bytes() == b"precious"


def test_a_link_in_the_place_of_the_recordings(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "recordings").symlink_to(tmp_path)
    assert refusal(root).startswith("holds recordings, ")


def test_another_devices_storage(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_bytes(journal("BWV-0002"))
    assert refusal(tmp_path) == "belongs to device BWV-0002 (its journal says so), not to BWV-0001"
    open_storage(tmp_path, device="BWV-0002").close()


def test_another_devices_storage_whose_rotation_was_cut(tmp_path: Path) -> None:
    (tmp_path / "journal-000001.jsonl").write_bytes(journal("BWV-0002"))
    (tmp_path / "journal.jsonl.new").write_bytes(b"\0" * 100)
    assert "BWV-0002" in refusal(tmp_path)


def test_a_journal_that_cannot_be_read_is_not_a_reason_to_stay_off(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_bytes(b"\xff\0{torn")
    open_storage(tmp_path, device="BWV-0001").close()


def test_a_second_daemon(tmp_path: Path) -> None:
    with open_storage(tmp_path, device="BWV-0001"):
        assert refusal(tmp_path) == f"is in use by another bwvd (pid {os.getpid()})"
        with pytest.raises(StorageInUse):
            open_storage(tmp_path, device="BWV-0001")
    open_storage(tmp_path, device="BWV-0001").close()


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    program = f"""
import sys
from bwvd.evidence.startup.admission import open_storage
volume = open_storage({str(tmp_path)!r}, device="BWV-0001")
print("held", flush=True)
sys.stdin.read()
"""
    holder = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert refusal(tmp_path) == f"is in use by another bwvd (pid {holder.pid})"
        holder.kill()
    open_storage(tmp_path, device="BWV-0001").close()


@pytest.mark.parametrize(
    ("number", "text"), [(errno.EROFS, "Read-only file system"), (errno.EIO, "Input/output error")]
)
def test_storage_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, text: str
) -> None:
    def fail(self: PosixVolume, path: str) -> PosixFile:
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(PosixVolume, "create", fail)
    assert refusal(tmp_path) == f"can't be written: {text} (.probe)"


def test_storage_that_does_not_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: PosixFile) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), ".probe")

    monkeypatch.setattr(PosixFile, "sync", fail)
    assert refusal(tmp_path) == "can't be written: Input/output error (.probe)"


def test_a_full_flash_is_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 12: what is on a full flash must still be recovered and closed."""

    def full(self: PosixFile, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), ".probe")

    monkeypatch.setattr(PosixFile, "write", full)
    with open_storage(tmp_path, device="BWV-0001") as volume:
        assert ".probe" not in volume.names("")


def test_no_permission(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root is refused nothing")
    tmp_path.chmod(0o500)
    try:
        assert re.fullmatch(r"can't be written: Permission denied \(.*\)", refusal(tmp_path))
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("byte", [b"\xff", b"\0", b'"'])
def test_one_damaged_byte_of_the_journals_first_line(tmp_path: Path, byte: bytes) -> None:
    """Whose storage it is can't be read then: the next file is asked, and the daemon starts."""
    damaged = journal("BWV-0001").replace(b"0001", b"00" + byte + b"1")
    (tmp_path / "journal.jsonl").write_bytes(damaged)
    open_storage(tmp_path, device="BWV-0001").close()
    (tmp_path / "journal-000001.jsonl").write_bytes(journal("BWV-0002"))
    assert refusal(tmp_path).startswith("belongs to device BWV-0002")
