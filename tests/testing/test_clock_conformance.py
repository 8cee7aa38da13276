"""Every clock does what `Clock` promises: the kernel's, and the virtual one in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from bwvd.clock import SystemClock
from bwvd.testing.clock import VirtualClock
from bwvd.testing.conformance.clock import CHECKS, Subject

Check = Callable[[Subject], Awaitable[None]]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_kernel(check: Check) -> None:
    await check(Subject(SystemClock()))


@pytest.mark.parametrize("kwargs", [{}, {"drift_ppm": 400.0}, {"quality": "not_set", "utc_ns": 0}], ids=str)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_virtual(check: Check, kwargs: dict[str, object], autojump_clock: trio.testing.MockClock) -> None:
    clock = VirtualClock(**kwargs)  # type: ignore[arg-type]  # as parametrised
    await check(Subject(clock, clock.step))
