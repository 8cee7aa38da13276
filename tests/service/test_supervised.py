"""What is told of a device that comes and goes, and when it is tried again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bwvd.clock import NS
from bwvd.service.backoff import Backoff
from bwvd.service.supervised import Supervised

BACKOFF = Backoff(first_s=1, limit_s=8, reset_after_s=60)


def test_a_loss_is_told_once_and_so_is_its_end() -> None:
    device = Supervised(BACKOFF)
    assert not device.opened(0), "nothing was told that could be over"
    assert [device.lost(at * NS, reason) for at, reason in enumerate(("unplugged", "no such file", "busy"))] == [
        True,
        False,
        False,
    ]
    assert device.opened(9 * NS)
    assert not device.opened(10 * NS)


def test_a_new_reason_is_news_where_it_is_asked_for() -> None:
    device = Supervised(BACKOFF)
    reasons = ("absent", "absent", "no permission", "no permission", "absent")
    told = [device.lost(0, reason, new_reason_is_news=True) for reason in reasons]
    assert told == [True, False, True, False, True]


def test_a_loss_without_words_is_told_once_too() -> None:
    device = Supervised(BACKOFF)
    assert [device.lost(0, ""), device.lost(0, "")] == [True, False]
    assert device.opened(NS)


def test_the_delays_grow_until_the_device_has_lasted_or_has_worked() -> None:
    device = Supervised(BACKOFF)

    def delay_s(now_s: int) -> float:
        device.lost(now_s * NS, "gone")
        return device.delay_s

    assert [delay_s(0) for _ in range(5)] == [1, 2, 4, 8, 8]
    device.opened(100 * NS)
    assert delay_s(159) == 8, "it has not lasted"
    device.opened(200 * NS)
    assert delay_s(260) == 1
    assert delay_s(261) == 2
    device.opened(262 * NS)
    device.works()
    assert delay_s(263) == 1


@given(st.lists(st.booleans(), max_size=40))
def test_what_is_told_alternates(openings: list[bool]) -> None:
    """Whoever hears of it never hears twice of the same loss, nor of the end of one that was not told."""
    device = Supervised(BACKOFF)
    told = [opens for opens in openings if (device.opened(0) if opens else device.lost(0, "gone"))]
    assert told == [bool(index % 2) for index in range(len(told))]
