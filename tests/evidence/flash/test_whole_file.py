"""Files outside the storage: whole or not there; what is left and what is said where one can't be made."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.flash import whole_file
from bwvd.evidence.flash.whole_file import create_whole, is_left, left_beside, new_files


def refused(path: object, *_: Any, **__: Any) -> Any:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))


@pytest.fixture(params=["", "links alone"])
def file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that renames where nothing is, as most do; and NFS, which has links for that."""

    def rename(*_: Any) -> int:
        ctypes.set_errno(errno.EINVAL)
        return -1

    class Library:
        renameat2 = staticmethod(rename)

    if request.param:
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library)


def test_a_file_system_that_is_read_only_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses the removal of what was never made as well."""
    monkeypatch.setattr(os, "open", refused)
    monkeypatch.setattr(Path, "unlink", refused)
    out = tmp_path / "out.mp4"
    with pytest.raises(ExportRefused, match=rf"^{out}: Read-only file system$"), new_files([out]):
        pytest.fail("there is nowhere to write")


def test_what_fails_is_told_by_the_name_that_was_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"

    def fill() -> None:
        with new_files([out]) as (temporary,):
            temporary.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(temporary))

    with pytest.raises(ExportRefused, match=rf"^{out}: No space left on device$"):
        fill()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError) as error:
        create_whole(tmp_path / "missing" / "key", b"", 0o600)
    assert error.value.filename == str(tmp_path / "missing" / "key")


@pytest.mark.usefixtures("file_system")
def test_nothing_has_the_name_before_all_is_whole(tmp_path: Path) -> None:
    """Invariant 14: a kill at any moment leaves no file under a name that was asked for, and names that of what it
    leaves."""
    first, second = tmp_path / "a.mp4", tmp_path / "a.vtt"
    with new_files([first, second]) as (one, other):
        one.write_bytes(b"one")
        other.write_bytes(b"other")
        assert sorted(tmp_path.iterdir()) == sorted([one, other])
        assert is_left(one)
        assert (left_beside(first), left_beside(second)) == ([one], [other])
        assert stat.S_IMODE(one.stat().st_mode) & 0o007 == 0
    assert (first.read_bytes(), second.read_bytes()) == (b"one", b"other")
    assert sorted(tmp_path.iterdir()) == [first, second]
    assert left_beside(first) == []


@pytest.mark.usefixtures("file_system")
@pytest.mark.parametrize("kind", ["before", "meanwhile", "a link to nothing"])
def test_a_name_that_is_taken_stays_as_it_is(tmp_path: Path, kind: str) -> None:
    """Also one that somebody takes while the work goes on; then none of the files is there."""
    first, taken = tmp_path / "a.json", tmp_path / "b.json"

    def take() -> None:
        if kind == "a link to nothing":
            taken.symlink_to("nowhere")
        else:
            taken.write_text("precious")

    def work() -> None:
        with new_files([first, taken]):
            if kind != "meanwhile":
                pytest.fail("the work has begun")
            take()

    if kind != "meanwhile":
        take()
    with pytest.raises(ExportRefused, match=rf"^{taken} exists; an export overwrites nothing$"):
        work()
    assert list(tmp_path.iterdir()) == [taken]
    assert taken.is_symlink() or taken.read_text() == "precious"


def test_a_signal_on_the_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the first of two that are to be there together."""
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    whole = whole_file.sync_path

    def sync(path: Path) -> None:
        whole(path)
        if path == tmp_path and first.exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(whole_file, "sync_path", sync)
    with pytest.raises(KeyboardInterrupt), new_files([first, second]):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("file_system")
def test_a_key_is_made_where_none_was(tmp_path: Path) -> None:
    create_whole(tmp_path / "key", b"secret", 0o600)
    with pytest.raises(FileExistsError):
        create_whole(tmp_path / "key", b"another", 0o600)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("key", b"secret")]
