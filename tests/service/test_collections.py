"""What only refers to itself is gone within a minute, however little the daemon allocates."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from bwvd.config.schema import Config
from bwvd.daemon import process
from bwvd.service import memory
from bwvd.service.memory import EVERY_S, collect_now_and_then
from bwvd.service.pulse import Ledger


class Circle:
    """Refers to itself, so that only the collector can free it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def by_itself() -> Iterator[None]:
    """The collector that runs by counts could come at any time."""
    gc.disable()
    yield
    gc.enable()


async def test_a_circle_is_gone_after_a_minute(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    gone = weakref.ref(Circle())
    nursery.start_soon(collect_now_and_then)
    await trio.sleep(EVERY_S - 1)
    assert gone() is not None
    await trio.sleep(2)
    assert gone() is None
    gone = weakref.ref(Circle())
    await trio.sleep(EVERY_S)
    assert gone() is None


def test_the_process_collects_while_the_daemon_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its soak says what that is worth: `python -m tests.soak`."""

    class Daemon:
        camera_up = trio.Event()
        ending = False
        ledger = Ledger()
        wait_ending = staticmethod(trio.sleep_forever)

        def __init__(self, *_: object) -> None: ...

        async def run(self) -> None:
            gone = trio.Event()
            looks = weakref.ref(Circle(), lambda _: gone.set())
            with trio.fail_after(20):
                await gone.wait()
            assert looks() is None

    @asynccontextmanager
    async def build(*_: object) -> AsyncIterator[None]:
        yield

    monkeypatch.setattr(memory, "EVERY_S", 0.05)
    monkeypatch.setattr(process, "build", build)
    monkeypatch.setattr(process, "Daemon", Daemon)
    assert process.run_daemon(Config(), tmp_path / "bwvd.toml") == process.GOOD
