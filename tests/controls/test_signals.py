"""Signals, sent for real."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from bwvd.controls.signals import run_signals
from bwvd.messages import Command, Order
from bwvd.testing.clock import VirtualClock


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[list[Command], list[str]]]:
    commands: list[Command] = []
    calls: list[str] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(run_signals, commands.append, VirtualClock(), calls.append, lambda: calls.append("reload"))
        yield commands, calls
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()


async def test_the_service_manager_and_a_terminal_end_it_in_order() -> None:
    async with listening() as (commands, calls):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT, signal.SIGHUP):
            os.kill(os.getpid(), number)
            await trio.testing.wait_all_tasks_blocked(0.01)
    assert calls == ["SIGTERM", "SIGINT", "SIGINT", "reload"]
    assert commands == []


async def test_programs_ask_for_a_recording_and_a_marker() -> None:
    async with listening() as (commands, calls):
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            os.kill(os.getpid(), number)
            await trio.testing.wait_all_tasks_blocked(0.01)
    assert [(command.order, command.source) for command in commands] == [
        (Order.RECORD, "signal:USR1"),
        (Order.MARK, "signal:USR2"),
    ]
    assert calls == []


async def test_the_former_handlers_are_back_at_the_end() -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    before = [signal.getsignal(number) for number in numbers]
    async with listening():
        assert [signal.getsignal(number) for number in numbers] != before
    assert [signal.getsignal(number) for number in numbers] == before
