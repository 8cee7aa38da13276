"""A limit of the pace at which bytes are sent. Pure but for `Pacer`, which waits."""

from __future__ import annotations

import math

import trio

from bwvd.clock import NS, Clock

BURST_S = 0.25  # of the rate may go at once
LEAST_PIECE_BYTES = 8_192


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
    """Waits so that what is sent keeps to `offload.max_mbit`; 0 = it never waits."""

    def __init__(self, max_mbit: float, clock: Clock) -> None:
        self._clock = clock
        self._bucket = TokenBucket(max_mbit * 125_000, clock.monotonic_ns()) if max_mbit else None
        # Small pieces at a low pace: a server gives up a connection on which nothing comes for long.
        self.piece_bytes = max(LEAST_PIECE_BYTES, int(max_mbit * 125_000 * BURST_S)) if max_mbit else 1 << 62

    @property
    def limited(self) -> bool:
        return self._bucket is not None

    async def before(self, count: int) -> None:
        """Wait until `count` more bytes may be sent."""
        if self._bucket is None:
            return
        wait_ns = self._bucket.take(count, self._clock.monotonic_ns())
        if wait_ns:
            await trio.sleep(wait_ns / NS)
