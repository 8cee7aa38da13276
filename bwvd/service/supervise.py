"""Keeps something running that has a device which may go away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar, cast, overload

import trio

from bwvd.service.backoff import Backoff, Losses

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class RunOnce(Protocol[T_co]):
    """Opens the device, says `task_status.started(value)` when it works, and runs until the device is lost."""

    async def __call__(self, *, task_status: trio.TaskStatus[T_co]) -> None: ...


class _Up(trio.TaskStatus[T]):
    """A `trio.TaskStatus` that notes when it was told. Without a nursery there is no exception group to unpack."""

    def __init__(self, losses: Losses, on_up: Callable[[T], None]) -> None:
        self._losses = losses
        self._on_up = on_up
        self._told = False

    @overload
    def started(self: _Up[None]) -> None: ...
    @overload
    def started(self, value: T) -> None: ...
    def started(self, value: T | None = None) -> None:
        if self._told:
            raise RuntimeError("called 'started' twice on the same task status")
        self._told = True
        self._losses.up(trio.current_time())
        self._on_up(cast(T, value))  # without a value T is None: the first overload


async def supervise(
    run_once: RunOnce[T],
    *,
    lost: tuple[type[Exception], ...],
    on_lost: Callable[[Exception], None],
    on_up: Callable[[T], None],
    backoff: Backoff | None = None,
) -> None:
    """Run `run_once` again and again with growing waits; return when it returns.

    Args:
        run_once: told to begin anew after each loss.
        lost: the errors that mean the device went away or did not open. Every other error is raised on: it is not the
            device's, and ends the daemon in order.
        on_lost: called once for each loss, before the wait, with the error (a group if `run_once` raised one).
        on_up: called with what `run_once` said when it worked.
        backoff: the waits; they begin anew once the device has worked for `backoff.reset_after_s`.

    An exception group counts as a loss if it holds nothing but `lost` errors.

    **Cancellation:** ends `run_once`, or the wait, and is raised on.
    **Synchronization:** one task; the callbacks run in it and must not block.
    """
    losses = Losses(backoff or Backoff())
    while True:
        try:
            return await run_once(task_status=_Up(losses, on_up))
        except Exception as error:
            if not _means_lost(error, lost):
                raise
            delay_s = losses.lost(trio.current_time())
            on_lost(error)
        await trio.sleep(delay_s)


def _means_lost(error: Exception, lost: tuple[type[Exception], ...]) -> bool:
    if isinstance(error, ExceptionGroup):
        return all(_means_lost(one, lost) for one in error.exceptions)
    return isinstance(error, lost)
