"""Levers inside a daemon's process: numbers in shared memory that a test sets and the process obeys.

    python -m tests.support.process_levers FILE run -c CONFIG

runs `bwvd run` with levers on what the world can do to it and a test could otherwise not reach: how long the medium
takes to sync, whether a sync fails, what the wall clock says, and whether anybody else has taken all of trio's worker
threads. The process, its threads and its clock are real; the daemon's code is untouched.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_NAMES = ("hold_until_s", "each_s", "errors", "utc_step_s", "threads", "threads_taken", "syncs", "longest_s")
_SIZE = 8  # of one number, a double; written and read whole
_LOOK_S = 0.02


class Levers:
    """One block of levers, in a file that both processes map.

    hold_until_s: CLOCK_MONOTONIC, seconds; until then no sync returns. each_s: so long does every sync take.
    errors: so many of the next syncs fail with EIO. utc_step_s: added to the wall clock. threads: 1 = all worker
    threads of trio's default limiter are taken, 0 = given back; threads_taken: how many are. syncs, longest_s: how
    many there have been, and how long the longest took.

    **Synchronization:** each number has one writer at a time.
    """

    hold_until_s: float
    each_s: float
    errors: float
    utc_step_s: float
    threads: float
    threads_taken: float
    syncs: float
    longest_s: float

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_SIZE * len(_NAMES)))
        with path.open("r+b") as file:
            self.__dict__["_block"] = mmap.mmap(file.fileno(), _SIZE * len(_NAMES))

    def __getattr__(self, name: str) -> float:
        (value,) = struct.unpack_from("d", self.__dict__["_block"], _SIZE * _NAMES.index(name))
        return float(value)

    def __setattr__(self, name: str, value: float) -> None:
        struct.pack_into("d", self.__dict__["_block"], _SIZE * _NAMES.index(name), value)


def _install(levers: Levers) -> None:
    import trio

    def slowly(sync: Callable[[int], None]) -> Callable[[int], None]:
        def synced(fd: int) -> None:
            begun_s = time.monotonic()
            due_s = begun_s + levers.each_s
            while (now_s := time.monotonic()) < max(due_s, levers.hold_until_s):
                time.sleep(min(_LOOK_S, max(due_s, levers.hold_until_s) - now_s))
            levers.syncs += 1
            levers.longest_s = max(levers.longest_s, time.monotonic() - begun_s)
            if levers.errors > 0:
                levers.errors -= 1
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            sync(fd)

        return synced

    os.fdatasync, os.fsync = slowly(os.fdatasync), slowly(os.fsync)  # type: ignore[assignment]  # ours takes the descriptor, which is all that is ever given
    time_ns = time.time_ns
    time.time_ns = lambda: time_ns() + round(levers.utc_step_s * 1e9)
    run = trio.run

    def run_with_levers(async_fn: Callable[..., Any], *args: Any, **options: Any) -> Any:
        async def around() -> None:
            async with trio.open_nursery() as nursery:
                if levers.threads >= 0:
                    nursery.start_soon(_take_threads, levers)
                await async_fn(*args)
                nursery.cancel_scope.cancel()

        return run(around, **options)

    trio.run = run_with_levers  # type: ignore[assignment]  # the same, but for the types of what is passed on


async def _take_threads(levers: Levers) -> None:
    """Take every thread of the pool that libraries use by default, when told to, and give them back."""
    import trio

    limiter = trio.to_thread.current_default_thread_limiter()
    released = threading.Event()
    released.set()
    taken = 0

    def block() -> None:
        nonlocal taken
        taken += 1
        levers.threads_taken = taken
        released.wait()

    async with trio.open_nursery() as nursery:
        while True:
            if levers.threads == 1 and released.is_set():
                released.clear()
                for _ in range(int(limiter.total_tokens)):
                    nursery.start_soon(lambda: trio.to_thread.run_sync(block, abandon_on_cancel=True))
            elif levers.threads != 1 and not released.is_set():
                released.set()
                taken = 0
                levers.threads_taken = 0
            await trio.sleep(_LOOK_S)


if __name__ == "__main__":
    _install(Levers(Path(sys.argv[1])))
    from bwvd.cli.main import main

    sys.argv[1:2] = []
    main()
