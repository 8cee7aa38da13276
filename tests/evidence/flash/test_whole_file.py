"""Files outside the storage: what is left and what is said where one can't be made."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.flash.whole_file import claimed, create_whole


def refused(path: object, *_: Any, **__: Any) -> Any:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))


def test_a_file_system_that_is_read_only_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses the removal of what was never made as well."""
    monkeypatch.setattr(os, "open", refused)
    monkeypatch.setattr(Path, "unlink", refused)
    out = tmp_path / "out.mp4"
    with pytest.raises(ExportRefused, match=rf"^{out}: Read-only file system$"), claimed([out]):
        pytest.fail("there is nowhere to write")


def test_what_fails_is_told_by_the_name_that_was_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"

    def fill() -> None:
        with claimed([out]) as temporary:
            temporary.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(temporary))

    with pytest.raises(ExportRefused, match=rf"^{out}: No space left on device$"):
        fill()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError) as error:
        create_whole(tmp_path / "missing" / "key", b"", 0o600)
    assert error.value.filename == str(tmp_path / "missing" / "key")
