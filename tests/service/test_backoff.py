"""How long to wait before a lost device is opened again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.clock import NS
from bwvd.service.backoff import Backoff
from bwvd.service.supervised import Supervised

ROUNDING_S = 1e-6  # of a clock that is added up


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 200)), min_size=1, max_size=30),
    st.floats(0.01, 10),
    st.floats(1, 5),
    st.floats(0, 100),
)
def test_no_wait_is_ever_shorter_than_the_first_or_longer_than_the_limit(
    lives: list[float | None], first_s: float, factor: float, more_s: float
) -> None:
    backoff = Backoff(first_s=first_s, factor=factor, limit_s=first_s + more_s, reset_after_s=60)
    device, now_s, last_s = Supervised(backoff), 0.0, 0.0
    for life in lives:
        if life is not None:
            device.opened(round(now_s * NS))
            now_s += life
        device.lost(round(now_s * NS), "unplugged")
        delay_s = device.delay_s
        assert first_s <= delay_s <= first_s + more_s
        if life is None or life < 60 - ROUNDING_S:
            assert delay_s >= last_s  # a device that doesn't stay up is asked ever more seldom
        elif life > 60 + ROUNDING_S:
            assert delay_s == first_s
        last_s = delay_s
        now_s += delay_s


@pytest.mark.parametrize(
    "make", [lambda: Backoff(first_s=0), lambda: Backoff(factor=0.5), lambda: Backoff(first_s=2, limit_s=1)]
)
def test_a_backoff_that_would_spin_is_refused(make: Callable[[], Backoff]) -> None:
    with pytest.raises(ValueError, match="not a backoff"):
        make()
