"""Signals: how the service manager, a terminal and other programs ask."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import NoReturn

import trio

from bwvd.clock import Clock
from bwvd.controls.ports import Send
from bwvd.messages import Command, Order

_ORDERS = {signal.SIGUSR1: Order.RECORD, signal.SIGUSR2: Order.MARK}
_ENDS = (signal.SIGTERM, signal.SIGINT)


async def run_signals(
    send: Send,
    clock: Clock,
    shut_down: Callable[[str], None],
    reload: Callable[[], None],
    *,
    let_in: Callable[[], None] = lambda: None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Act on signals until cancelled: the only place that receives any.

    SIGTERM and SIGINT call `shut_down` with the signal's name, each time: ending in order takes its time, and an
    impatient second Ctrl-C must not cut it short. SIGHUP calls `reload`. SIGUSR1 is RECORD, SIGUSR2 is MARK; signals of
    one kind that come together count once, which these orders bear.

    **Synchronization:** must run in the main thread's trio loop.
    Args:
        let_in: called when signals are received, for those that were held until then.

    **Cancellation:** the signals have their former effect again.
    """
    with trio.open_signal_receiver(*_ENDS, signal.SIGHUP, *_ORDERS) as received:
        let_in()
        task_status.started()
        async for number in received:
            name = signal.Signals(number).name
            if number in _ENDS:
                shut_down(name)
            elif number == signal.SIGHUP:
                reload()
            else:
                source = f"signal:{name.removeprefix('SIG')}"
                send(Command(_ORDERS[signal.Signals(number)], source, clock.monotonic_ns()))
    raise AssertionError("a signal receiver has no end")
