"""One suite for the real volume and its fake: what the fake promises is what the kernel does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bwvd.evidence.volume import PosixVolume
from bwvd.testing.conformance_storage import CHECKS, Subject
from bwvd.testing.storage import VirtualVolume


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_posix_volume(check: Callable[[Subject], None], tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()

    def plant(path: str, kind: str) -> None:
        if kind == "link":
            (root / path).symlink_to(tmp_path)
        else:
            os.mkfifo(root / path)

    with PosixVolume(root) as volume:
        check(Subject(volume, plant))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("max_write", [None, 100_000])
def test_virtual_volume(check: Callable[[Subject], None], max_write: int | None) -> None:
    volume = VirtualVolume(capacity=1 << 24, max_write=max_write, trace=True)
    check(Subject(volume, volume.plant))
