"""One suite for the real volume and its fake: what the fake promises is what the kernel does."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from bwvd.evidence.flash.posix import PosixStorage, PosixVolume
from bwvd.evidence.flash.volume import Storage
from bwvd.testing.conformance import jobs as conformance_jobs
from bwvd.testing.conformance.storage import CHECKS, Subject
from bwvd.testing.flash.storage import VirtualStorage, VirtualVolume


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


@pytest.mark.parametrize("check", conformance_jobs.CHECKS, ids=lambda check: check.__name__)
async def test_posix_storage(check: Callable[[Storage], Awaitable[None]], tmp_path: Path) -> None:
    with PosixVolume(tmp_path) as volume:
        await check(PosixStorage(volume))


@pytest.mark.parametrize("check", conformance_jobs.CHECKS, ids=lambda check: check.__name__)
async def test_virtual_storage(
    check: Callable[[Storage], Awaitable[None]], autojump_clock: trio.testing.MockClock
) -> None:
    volume = VirtualVolume()
    volume.gate.latency.per_operation["sync"] = 0.1
    await check(VirtualStorage(volume))
