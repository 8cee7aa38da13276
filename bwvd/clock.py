"""Monotonic and wall-clock time, and how far the second can be trusted.

Everything that is measured or compared is CLOCK_MONOTONIC; UTC only annotates (invariant 9).
"""

from __future__ import annotations

import ctypes
import datetime
import time
from dataclasses import dataclass
from typing import Protocol

NS = 1_000_000_000  # nanoseconds in a second


# A wall clock before this was never set: the project is younger than that.
NOT_SET_BEFORE_UTC_NS = int(datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC).timestamp()) * NS


@dataclass(frozen=True, slots=True)
class Reading:
    """The two clocks read at one moment."""

    mono_ns: int
    utc_ns: int
    quality: str  # "synchronised" (the kernel says so) | "free" (set once, running free) | "not_set"
    uncertainty_us: int | None  # the kernel's bound on the error; None where it gives none

    @property
    def utc(self) -> str:
        """ISO 8601 with milliseconds and Z."""
        return utc_text(self.utc_ns)


def utc_text(utc_ns: int) -> str:
    """`2026-11-22T07:15:03.250Z` of Unix nanoseconds, truncated to the millisecond."""
    seconds, ns = divmod(utc_ns, NS)
    stamp = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
    return f"{stamp:%Y-%m-%dT%H:%M:%S}.{ns // 1_000_000:03d}Z"


class Clock(Protocol):
    """The world's clocks. Real: `SystemClock`; virtual: `bwvd.testing.clock.VirtualClock`."""

    def monotonic_ns(self) -> int:
        """CLOCK_MONOTONIC in nanoseconds."""
        ...

    def read(self) -> Reading:
        """Both clocks, and the quality of the wall clock."""
        ...


class _Timex(ctypes.Structure):
    """`struct timex` of <sys/timex.h>, up to the last field that is read here; the rest is room."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_byte * 256),
    ]


_TIME_ERROR = 5  # adjtimex's return value: the clock is not synchronised


class SystemClock:
    """The kernel's clocks. **Synchronization:** any thread."""

    monotonic_ns = staticmethod(time.monotonic_ns)  # itself, not a call of it: it is asked for each packet and more

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def read(self) -> Reading:
        timex = _Timex()
        state = self._libc.adjtimex(ctypes.byref(timex))
        utc_ns = time.time_ns()
        mono_ns = time.monotonic_ns()
        if utc_ns < NOT_SET_BEFORE_UTC_NS:
            return Reading(mono_ns, utc_ns, "not_set", None)
        if state in (-1, _TIME_ERROR):
            return Reading(mono_ns, utc_ns, "free", None)
        return Reading(mono_ns, utc_ns, "synchronised", int(timex.maxerror))
