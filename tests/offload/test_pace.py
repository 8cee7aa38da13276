"""The limit of the pace: never more than the rate and one burst, and never less than it could be."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from bwvd.clock import NS
from bwvd.offload.pace import BURST_S, Pacer, TokenBucket
from bwvd.testing.clock import VirtualClock

RATE = 125_000.0  # bytes per second


@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 3 * NS)), min_size=1, max_size=60))
def test_what_is_sent_keeps_to_the_rate(takes: list[tuple[int, int]]) -> None:
    bucket, now_ns, sent = TokenBucket(RATE, 0), 0, 0
    for count, pause_ns in takes:
        now_ns += pause_ns
        wait_ns = bucket.take(count, now_ns)
        now_ns += wait_ns
        sent += count
        assert sent <= RATE * now_ns / NS + RATE * BURST_S + 1
        if wait_ns:  # nobody waits longer than the rate asks
            assert sent >= RATE * (now_ns - sum(pause for _, pause in takes)) / NS - 1


def test_a_clock_that_stands_still_gives_nothing() -> None:
    bucket = TokenBucket(RATE, 5 * NS)
    assert bucket.take(int(RATE * BURST_S), 5 * NS) == 0
    assert bucket.take(125_000, 5 * NS) == NS
    assert bucket.take(0, 4 * NS) == NS


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="not a rate"):
        TokenBucket(0, 0)


async def test_without_a_limit_nobody_waits(autojump_clock: MockClock) -> None:
    pacer = Pacer(0, VirtualClock())
    for _ in range(100):
        await pacer.before(1 << 40)
    assert trio.current_time() == 0
