# ruff: noqa: S101  # a conformance suite is made of asserts
"""The checks of every `Contact`, the real ones and the virtual one, and any that somebody else writes.

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_my_contact(check, autojump_clock): await check(my_subject())

Each check needs a subject of its own: present, up, and not open. None needs pytest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from bwvd.controls.ports import Contact, ControlLost, Edge

PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Subject:
    """The contact under test, and the hand that moves it."""

    contact: Contact
    move: Callable[[bool], None]  # go down (True) or up
    lose: Callable[[int], None]  # the next edges, an even number of them, are made but dropped by the kernel
    unplug: Callable[[], None]
    plug: Callable[[], None]  # up, with its contact up
    is_open: Callable[[], bool]  # somebody holds the device
    now_ns: Callable[[], int]  # the clock of the edges


class _Watch:
    def __init__(self, down: bool, edges: trio.MemoryReceiveChannel[Edge]) -> None:
        self.down = down
        self._edges = edges

    async def next(self) -> Edge:
        with trio.fail_after(PATIENCE_S):
            return await self._edges.receive()

    async def none(self, for_s: float = 0.5) -> None:
        with trio.move_on_after(for_s):
            raise AssertionError(f"an edge that nobody made: {await self._edges.receive()}")


@asynccontextmanager
async def _watching(subject: Subject) -> AsyncIterator[_Watch]:
    send, receive = trio.open_memory_channel[Edge](100)
    async with trio.open_nursery() as nursery:
        down: bool = await nursery.start(subject.contact.run, send.send_nowait)
        yield _Watch(down, receive)
        nursery.cancel_scope.cancel()


async def _error(subject: Subject) -> ControlLost:
    """The error that `run` ends with."""
    try:
        with trio.fail_after(PATIENCE_S):
            await subject.contact.run(lambda _: None)
    except ControlLost as error:
        return error
    raise AssertionError("run returned")


async def says_where_it_stands(subject: Subject) -> None:
    async with _watching(subject) as watch:
        assert watch.down is False
    subject.move(True)
    async with _watching(subject) as watch:
        assert watch.down is True
        await watch.none()  # the position is not an edge


async def tells_every_movement_with_its_time(subject: Subject) -> None:
    async with _watching(subject) as watch:
        last_ns = subject.now_ns()
        for down in (True, False, True, False):
            await trio.sleep(0.1)
            subject.move(down)
            edge = await watch.next()
            assert (edge.down, edge.lost) == (down, 0)
            assert last_ns < edge.at_ns <= subject.now_ns()
            last_ns = edge.at_ns
        await watch.none()


async def tells_that_edges_were_lost(subject: Subject) -> None:
    async with _watching(subject) as watch:
        await trio.sleep(1)
        subject.lose(2)
        await trio.sleep(1)
        subject.move(True)
        lost = 0
        while True:
            edge = await watch.next()
            lost += edge.lost
            if edge.down:
                break
        assert lost >= 1


async def lets_go_when_cancelled(subject: Subject) -> None:
    for _ in range(3):
        async with _watching(subject):
            assert subject.is_open()
        assert not subject.is_open()


async def says_that_it_is_absent(subject: Subject) -> None:
    subject.unplug()
    error = await _error(subject)
    assert len(str(error).splitlines()) == 1
    assert not subject.is_open()
    subject.plug()
    async with _watching(subject) as watch:
        assert watch.down is False


async def says_that_it_was_unplugged(subject: Subject) -> None:
    lost = trio.Event()

    async def watch(*, task_status: trio.TaskStatus[bool]) -> None:
        try:
            await subject.contact.run(lambda _: None, task_status=task_status)
        except ControlLost:
            lost.set()

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(watch)
            await trio.sleep(0.1)
            subject.unplug()
            await lost.wait()
    assert not subject.is_open()
    subject.plug()
    async with _watching(subject) as again:
        await trio.sleep(0.1)
        subject.move(True)
        assert (await again.next()).down


async def does_not_hide_the_errors_of_its_caller(subject: Subject) -> None:
    """OSError and ValueError of the callback are bugs of ours, not the device's."""
    for bug in (OSError("ours"), ValueError("ours")):
        raised: tuple[BaseException, ...] = ()

        def fail(_: Edge, bug: Exception = bug) -> None:
            raise bug

        try:
            with trio.fail_after(PATIENCE_S):
                async with trio.open_nursery() as nursery:
                    await nursery.start(subject.contact.run, fail)
                    await trio.sleep(0.1)
                    subject.move(True)
                    await trio.sleep_forever()
        except* (OSError, ValueError) as group:
            raised = group.exceptions
        assert raised == (bug,)
        subject.move(False)
        assert not subject.is_open()


CHECKS: list[Callable[[Subject], Awaitable[None]]] = [
    says_where_it_stands,
    tells_every_movement_with_its_time,
    tells_that_edges_were_lost,
    lets_go_when_cancelled,
    says_that_it_is_absent,
    says_that_it_was_unplugged,
    does_not_hide_the_errors_of_its_caller,
]
