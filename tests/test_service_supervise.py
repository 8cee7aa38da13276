"""Reopening what was lost, in virtual time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from bwvd.service.backoff import Backoff, Losses
from bwvd.service.supervise import RunOnce, supervise


class Lost(Exception):
    pass


class Diary:
    """What the supervisor said, with the time."""

    def __init__(self) -> None:
        self.lines: list[tuple[float, str]] = []

    def up(self, value: object) -> None:
        self.lines.append((trio.current_time(), f"up {value}"))

    def lost(self, error: Exception) -> None:
        self.lines.append((trio.current_time(), f"lost {error}"))


def device(*lives: float | Exception | None) -> RunOnce[int]:
    """Each life: seconds until it is lost, an error before it is up, or None = it ends by itself after a second."""
    left = list(enumerate(lives))

    async def run_once(*, task_status: trio.TaskStatus[int]) -> None:
        number, life = left.pop(0)
        if isinstance(life, Exception):
            raise life
        task_status.started(number)
        await trio.sleep(1 if life is None else life)
        if life is not None:
            raise Lost(str(number))

    return run_once


BACKOFF = Backoff(first_s=1, factor=2, limit_s=5, reset_after_s=60)


async def test_waits_grow_up_to_a_limit_and_begin_anew_after_a_good_time(autojump_clock: MockClock) -> None:
    diary = Diary()
    await supervise(
        device(Lost("a"), Lost("b"), 10.0, Lost("c"), Lost("d"), 60.0, Lost("e"), None),
        lost=(Lost,),
        on_lost=diary.lost,
        on_up=diary.up,
        backoff=BACKOFF,
    )
    assert diary.lines == [
        (0, "lost a"),
        (1, "lost b"),
        (3, "up 2"),
        (13, "lost 2"),
        (17, "lost c"),
        (22, "lost d"),
        (27, "up 5"),
        (87, "lost 5"),
        (88, "lost e"),
        (90, "up 7"),
    ]
    assert trio.current_time() == 91


async def test_any_other_error_is_raised_on(autojump_clock: MockClock) -> None:
    diary = Diary()
    with pytest.raises(RuntimeError, match="a mistake"):
        await supervise(
            device(Lost("a"), RuntimeError("a mistake"), None), lost=(Lost,), on_lost=diary.lost, on_up=diary.up
        )
    assert [line for _, line in diary.lines] == ["lost a"]


async def test_a_group_is_a_loss_only_if_it_is_nothing_else(autojump_clock: MockClock) -> None:
    diary = Diary()
    pure = ExceptionGroup("", [Lost("a"), ExceptionGroup("", [Lost("b")])])
    mixed = ExceptionGroup("", [Lost("a"), ValueError("b")])
    with pytest.RaisesGroup(Lost, ValueError):
        await supervise(device(pure, mixed), lost=(Lost,), on_lost=diary.lost, on_up=diary.up)
    assert len(diary.lines) == 1


async def test_cancelling_ends_the_device_and_the_wait(autojump_clock: MockClock) -> None:
    for lives in ((1000.0,), (Lost("a"),)):
        diary = Diary()
        with trio.move_on_after(5) as scope:
            await supervise(
                device(*lives),
                lost=(Lost,),
                on_lost=diary.lost,
                on_up=diary.up,
                backoff=Backoff(first_s=100, limit_s=100),
            )
        assert scope.cancelled_caught
        assert len(diary.lines) == 1


async def test_a_device_that_says_twice_that_it_works_is_a_mistake() -> None:
    async def run_once(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.lowlevel.checkpoint()
        task_status.started()

    with pytest.raises(RuntimeError, match="twice"):
        await supervise(run_once, lost=(Lost,), on_lost=lambda _: None, on_up=lambda _: None)


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
    losses, now_s, last_s = Losses(backoff), 0.0, 0.0
    for life in lives:
        if life is not None:
            losses.up(now_s)
            now_s += life
        delay_s = losses.lost(now_s)
        assert first_s <= delay_s <= first_s + more_s
        if life is None or life < 60:
            assert delay_s >= last_s  # a device that doesn't stay up is asked ever more seldom
        else:
            assert delay_s == first_s
        last_s = delay_s
        now_s += delay_s


@pytest.mark.parametrize(
    "make", [lambda: Backoff(first_s=0), lambda: Backoff(factor=0.5), lambda: Backoff(first_s=2, limit_s=1)]
)
def test_a_backoff_that_would_spin_is_refused(make: Callable[[], Backoff]) -> None:
    with pytest.raises(ValueError, match="not a backoff"):
        make()
