"""Bounds on how often something may happen: within a window, or from a bucket. Pure: the time is an argument."""

from __future__ import annotations

from collections import deque


class Rate:
    """Counts what happened within the last `window_ns` and says when that is too often, and when it is calm again.

    Too often is `bound` times in the window; calm is half of that, so that a rate near the bound does not flutter.
    Memory is bounded by `bound` times. **Synchronization:** one caller at a time; times never go back.
    """

    __slots__ = ("_bound", "_calm", "_times", "_window_ns")

    def __init__(self, bound: int, window_ns: int) -> None:
        self._bound = bound
        self._calm = bound // 2
        self._window_ns = window_ns
        self._times: deque[int] = deque(maxlen=bound)

    def note(self, at_ns: int, count: int = 1) -> bool:
        """It happened `count` times up to `at_ns`; True if it happens too often."""
        times = self._times
        times.append(at_ns)
        for _ in range(min(count, self._bound) - 1):
            times.append(at_ns)
        return len(times) == self._bound and at_ns - times[0] < self._window_ns

    @property
    def first_ns(self) -> int:
        """The oldest time that is remembered. There must be one."""
        return self._times[0]

    @property
    def calm_at_ns(self) -> int:
        """From when on, if nothing more happens, the window holds no more than half of the bound."""
        if len(self._times) <= self._calm:
            return 0
        return self._times[-self._calm - 1] + self._window_ns

    def forget(self) -> None:
        self._times.clear()


class Bucket:
    """A bucket of `burst` that fills by one every `refill_ns`. **Synchronization:** one caller at a time."""

    def __init__(self, burst: int, refill_ns: int) -> None:
        self._burst = burst
        self._refill_ns = refill_ns
        self._room = burst
        self._since_ns: int | None = None  # up to when it has been filled

    def lets_through(self, now_ns: int) -> bool:
        """Take one out at CLOCK_MONOTONIC `now_ns`; False if there is none."""
        since_ns = now_ns if self._since_ns is None else self._since_ns
        more = max(now_ns - since_ns, 0) // self._refill_ns
        self._room = min(self._room + more, self._burst)
        self._since_ns = now_ns if self._room == self._burst else since_ns + more * self._refill_ns
        if not self._room:
            return False
        self._room -= 1
        return True
