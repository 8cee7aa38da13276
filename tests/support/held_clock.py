"""Virtual time that stands while a thread works: then what threads and tasks do comes in one order, each time.

A MockClock that jumps by itself jumps as soon as every task waits, also where one waits for a thread. How long a thread
takes is real time, so whatever is due meanwhile would be before or behind it by chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import trio
from trio.testing import MockClock


class Inline(Executor):
    """An executor that does what it is given at once, in the thread that gives it."""

    def __init__(self, *_: object) -> None:
        pass

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = Future[Any]()
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001  as an executor does: whoever asks for the result gets it
            future.set_exception(error)
        return future


class _AtWork:
    """How many jobs are at work in threads; the clock jumps by itself while there are none."""

    def __init__(self, clock: MockClock) -> None:
        self._clock = clock
        self._count = 0

    @contextmanager
    def changed_by(self, change: int) -> Iterator[None]:
        self._add(change)
        try:
            yield
        finally:
            self._add(-change)

    def _add(self, change: int) -> None:
        self._count += change
        self._clock.autojump_threshold = math.inf if self._count > 0 else 0


def hold(monkeypatch: pytest.MonkeyPatch) -> MockClock:
    """A clock for `trio.run` that jumps by itself, and never while a job of `trio.to_thread` is at work.

    A job that waits for trio's thread is not at work. It holds for as long as `monkeypatch` lasts.
    """
    clock = MockClock(autojump_threshold=0)
    at_work = _AtWork(clock)
    run_sync, from_thread = trio.to_thread.run_sync, trio.from_thread.run

    async def in_thread(function: Any, *args: Any, limiter: trio.CapacityLimiter | None = None, **more: Any) -> Any:
        async with limiter or nullcontext():  # who waits for another's thread holds nothing
            with at_work.changed_by(1):
                return await run_sync(function, *args, **more)

    def from_a_thread(function: Any, *args: Any, **more: Any) -> Any:
        async def job() -> Any:
            with at_work.changed_by(-1):
                return await function(*args)

        return from_thread(job, **more)

    monkeypatch.setattr(trio.to_thread, "run_sync", in_thread)
    monkeypatch.setattr(trio.from_thread, "run", from_a_thread)
    return clock
