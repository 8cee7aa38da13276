"""The storage of a board is opened in its own thread: no control waits until a slow card has taken a write."""

from __future__ import annotations

from pathlib import Path
from threading import Event, get_ident

import pytest
import trio

from bwvd.config.load import load
from bwvd.daemon.board import build
from bwvd.daemon.daemon import Daemon
from bwvd.evidence.startup import admission
from bwvd.evidence.startup.admission import HeldVolume
from tests.support.process import write_configuration

CONFIG = '[video]\nsource = "lavfi:testsrc2=size=160x90:rate=15"\nsize = "160x90"\n[power]\nsupply = "none"\n'
PATIENCE_S = 2.0


async def test_controls_listen_before_the_storage_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 5: a press while the card is slow to answer is heard."""
    config_path = write_configuration(tmp_path, CONFIG)
    config = load(config_path)
    listening = Event()
    opened: list[tuple[bool, bool]] = []
    trios = get_ident()

    def slow(path: str, *, device: str) -> HeldVolume:
        opened.append((listening.wait(PATIENCE_S), get_ident() == trios))
        return admission.open_storage(path, device=device)

    monkeypatch.setattr("bwvd.daemon.board.open_storage", slow)

    async def control(daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        listening.set()
        await daemon.wait_started()
        daemon.shut_down("test")
        await trio.sleep_forever()

    with trio.fail_after(60):
        async with build(config, config_path, extra=[control]) as parts:
            await Daemon(config, parts).run()
    assert opened == [(True, False)]
