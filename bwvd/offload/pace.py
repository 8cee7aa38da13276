"""The pace at which bytes are sent: a limit, and less beside a recording. Pure but for `Pacer`, which waits."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio

from bwvd.clock import NS, Clock
from bwvd.controls import client
from bwvd.controls.client import Unreachable

BURST_S = 0.25  # of the rate may go at once
LEAST_PIECE_BYTES = 8_192
AT_ONCE = 4  # files on their way; more gain nothing, and each holds a piece in memory
# Megabits a second while something is recorded: more than a recording makes itself, so that a camera which always
# records on its charger empties all the same, and a small part of what the cheapest card can do.
WHILE_RECORDING_MBIT = 16.0
ASK_EVERY_S = 1.0  # the recorder, while something is sent: a fraction of a millisecond of its time
ANSWER_S = 5.0  # of a recorder that hangs

Recording = Callable[[], Awaitable[bool]]
"""Whether something is being recorded. Raises bwvd.controls.client.Unreachable."""


class TokenBucket:
    """So many bytes per second on average, and a quarter of a second's at once.

    Bytes are given before they are there, and whoever comes next waits for that: so a piece may be larger than the
    bucket. Times are CLOCK_MONOTONIC in nanoseconds. **Synchronization:** one task at a time.
    """

    def __init__(self, bytes_per_s: float, now_ns: int) -> None:
        if bytes_per_s <= 0:
            raise ValueError(f"not a rate: {bytes_per_s} bytes per second")
        self._rate = bytes_per_s / NS  # bytes per nanosecond
        self._most = bytes_per_s * BURST_S
        self._has = self._most
        self._at_ns = now_ns

    def take(self, count: int, now_ns: int) -> int:
        """Take `count` bytes; returns the nanoseconds to wait before they are sent."""
        self._has = min(self._most, self._has + max(0, now_ns - self._at_ns) * self._rate)
        self._at_ns = max(self._at_ns, now_ns)
        self._has -= count
        return 0 if self._has >= 0 else math.ceil(-self._has / self._rate)


class Pacer:
    """Waits so that what is sent keeps to `offload.max_mbit` (0 = no limit), and beside a recording to less.

    A recorder that records has the flash first, and the processor: idle classes let the carrier wait, but what it has
    asked of a disk already is in the way of the next commit. So little is asked at a time then.

    Args:
        recording: asks whether something is being recorded; None = nobody is asked. Raises Unreachable.
        beside_mbit: megabits a second while something is.

    **Synchronization:** trio's thread; any number of calls at once.
    """

    def __init__(
        self,
        max_mbit: float,
        clock: Clock,
        recording: Recording | None = None,
        *,
        beside_mbit: float = WHILE_RECORDING_MBIT,
    ) -> None:
        self._clock = clock
        self._recording = recording
        self._bucket = TokenBucket(max_mbit * 125_000, clock.monotonic_ns()) if max_mbit else None
        self._max_mbit, self._beside_mbit = max_mbit, min(beside_mbit, max_mbit or beside_mbit)
        self._beside: TokenBucket | None = None
        self._places = trio.CapacityLimiter(AT_ONCE)
        self._asked_ns: int | None = None

    @property
    def beside_a_recording(self) -> bool:
        """Something was being recorded when the recorder was asked last."""
        return self._beside is not None

    @property
    def limited(self) -> bool:
        return self._bucket is not None or self._beside is not None

    @property
    def piece_bytes(self) -> int:
        """Small pieces at a low pace: a server gives up a connection on which nothing comes for long."""
        mbit = self._beside_mbit if self._beside is not None else self._max_mbit
        return max(LEAST_PIECE_BYTES, int(mbit * 125_000 * BURST_S)) if mbit else 1 << 62

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait until another file may be on its way: AT_ONCE are, beside a recording one."""
        await self._look()
        async with self._places:
            await self._look()
            yield

    async def before(self, count: int) -> None:
        """Wait until `count` more bytes may be sent."""
        await self._look()
        now_ns = self._clock.monotonic_ns()
        wait_ns = max((one.take(count, now_ns) for one in (self._bucket, self._beside) if one is not None), default=0)
        if wait_ns:
            await trio.sleep(wait_ns / NS)

    async def _look(self) -> None:
        """Ask the recorder, if it was not asked for a while."""
        now_ns = self._clock.monotonic_ns()
        if self._recording is None or (self._asked_ns is not None and now_ns - self._asked_ns < ASK_EVERY_S * NS):
            return
        self._asked_ns = now_ns
        try:
            recording = await self._recording()
        except Unreachable:  # it is down, and records nothing; that it is down is told by who needs it
            recording = False
        if recording and self._beside is None:
            self._beside = TokenBucket(self._beside_mbit * 125_000, self._clock.monotonic_ns())
            self._places.total_tokens = 1
        elif not recording and self._beside is not None:
            self._beside = None
            self._places.total_tokens = AT_ONCE


def socket_recording(path: str) -> Recording:
    """Asks at the recorder's control socket, where the carrier may see the status."""

    async def recording() -> bool:
        ask = partial(client.request, path, {"cmd": "status"}, ANSWER_S)
        answer = await trio.to_thread.run_sync(ask, abandon_on_cancel=True)
        status = answer.get("status")
        return isinstance(status, dict) and bool(status.get("recording"))

    return recording
