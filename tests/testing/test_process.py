"""Checkpoints are counted the same each time, and any of them can be struck."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from bwvd.testing.process import Checkpoints, without_dice


class Broken(Exception):
    pass


async def _player(name: str, heard: list[str], rounds: int, send: trio.MemorySendChannel[str]) -> None:
    async with send:
        for number in range(rounds):
            await trio.sleep(1)
            await send.send(f"{name}{number}")
    heard.append(f"{name} is done")


async def _listener(heard: list[str], receive: trio.MemoryReceiveChannel[str]) -> None:
    async with receive:
        heard.extend([word async for word in receive])


async def _game(heard: list[str]) -> None:
    try:
        async with trio.open_nursery() as nursery:
            send, receive = trio.open_memory_channel[str](0)
            nursery.start_soon(_listener, heard, receive)
            for name in "abc":
                nursery.start_soon(_player, name, heard, 3, send.clone())
            send.close()
    finally:
        heard.append("the end")


def _play(strikes: Checkpoints) -> list[str]:
    heard: list[str] = []
    without_dice(7)
    trio.run(_game, heard, clock=trio.testing.MockClock(autojump_threshold=0), instruments=[strikes])
    return heard


def test_a_run_is_counted_the_same_each_time() -> None:
    first, second = Checkpoints(), Checkpoints()
    assert _play(first) == _play(second)
    assert first.log == second.log
    assert first.count > 20


def test_only_the_tasks_that_are_asked_for_are_counted() -> None:
    strikes = Checkpoints(only=["_listener"])
    _play(strikes)
    assert strikes.count >= 3
    assert all("_listener" in checkpoint.task for checkpoint in strikes.log)


def test_an_error_strikes_at_every_checkpoint_and_the_others_end_in_order() -> None:
    counted = Checkpoints(only=["_player", "_listener"])
    _play(counted)
    for nth in range(1, counted.count + 1):
        strikes = Checkpoints(only=["_player", "_listener"])
        strikes.fail(nth, Broken())
        heard: list[str] = []
        without_dice(7)
        with pytest.RaisesGroup(Broken):
            trio.run(_game, heard, clock=trio.testing.MockClock(autojump_threshold=0), instruments=[strikes])
        assert heard[-1] == "the end"
        assert [c.task for c in strikes.log[:nth]] == [c.task for c in counted.log[:nth]]


def test_a_cancellation_strikes_at_every_checkpoint() -> None:
    counted = Checkpoints()
    whole = _play(counted)
    ended_early = 0
    for nth in range(1, counted.count + 1):
        strikes = Checkpoints()
        heard: list[str] = []

        async def main(strikes: Checkpoints = strikes, heard: list[str] = heard, nth: int = nth) -> None:
            with trio.CancelScope() as scope:
                strikes.call(nth, scope.cancel)
                await _game(heard)

        without_dice(7)
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0), instruments=[strikes])
        assert heard[-1] == "the end"
        ended_early += heard != whole
    assert ended_early > counted.count // 2


def test_no_lock_is_lost_to_a_strike() -> None:
    """Who has just been given a lock is struck a checkpoint later, and gives it back."""

    async def hold(lock: trio.Lock) -> None:
        async with lock:
            await trio.sleep(1)

    async def main(lock: trio.Lock) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(hold, lock)

    counted = Checkpoints(only=["hold"])
    trio.run(main, trio.Lock(), clock=trio.testing.MockClock(autojump_threshold=0), instruments=[counted])
    for nth in range(1, counted.count):
        lock, strikes = trio.Lock(), Checkpoints(only=["hold"])
        strikes.fail(nth, Broken())
        with pytest.RaisesGroup(Broken):
            trio.run(main, lock, clock=trio.testing.MockClock(autojump_threshold=0), instruments=[strikes])
        assert not lock.locked()
