# ruff: noqa: S101  # a conformance suite is made of asserts
"""The checks of every `CommandLine` and the port that opens it, the real one and the virtual one.

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_my_line(check, autojump_clock): await check(my_subject())

Each check needs a subject of its own: present and not open. None needs pytest. Virtual time is fine, and quick.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from bwvd.controls.ports import CommandLine, ControlLost
from bwvd.controls.serial import Port

PATIENCE_S = 30.0
MORE_THAN_ANY_BUFFER = 1_000_000
EVERY_BYTE = bytes(range(256))


@dataclass(frozen=True, slots=True)
class Subject:
    """The port under test, and what stands at the other end of its line."""

    port: Port
    say: Callable[[bytes], None]  # the other end sends
    hear: Callable[[], Awaitable[bytes]]  # the other end takes some bytes, at least one
    stall: Callable[[bool], None]  # the other end takes nothing, unless by `hear`
    hang_up: Callable[[], None]
    plug: Callable[[], None]


async def _hear(subject: Subject, end: bytes) -> bytes:
    heard = b""
    with trio.fail_after(PATIENCE_S):
        while not heard.endswith(end):
            heard += await subject.hear()
    return heard


async def _receive(line: CommandLine, count: int) -> bytes:
    received = b""
    with trio.fail_after(PATIENCE_S):
        while len(received) < count:
            received += await line.receive()
    return received


async def _is_lost(action: Callable[[], Awaitable[object]]) -> bool:
    try:
        with trio.fail_after(PATIENCE_S):
            await action()
    except ControlLost as error:
        return len(str(error).splitlines()) == 1
    return False


def _open_error(subject: Subject) -> str:
    try:
        with subject.port.open():
            raise AssertionError("opened")
    except ControlLost as error:
        return str(error)


async def every_byte_comes_through_both_ways(subject: Subject) -> None:
    with subject.port.open() as line:
        subject.say(EVERY_BYTE)
        assert await _receive(line, 256) == EVERY_BYTE
        await line.send(EVERY_BYTE)
        assert await _hear(subject, EVERY_BYTE[-1:]) == EVERY_BYTE


async def a_cancelled_receive_loses_nothing(subject: Subject) -> None:
    with subject.port.open() as line:
        with trio.move_on_after(0.1):
            await line.receive()
        subject.say(b"one ")
        with trio.CancelScope() as scope:
            scope.cancel()
            await line.receive()
        subject.say(b"two")
        assert await _receive(line, 7) == b"one two"


async def a_line_that_takes_nothing_holds_nobody_up(subject: Subject) -> None:
    with subject.port.open() as line:
        subject.stall(True)
        with trio.fail_after(PATIENCE_S):
            await line.send(b"x" * MORE_THAN_ANY_BUFFER)
        subject.stall(False)
        sending = True

        async def send() -> None:
            nonlocal sending
            await line.send(b"next\r\n")
            sending = False

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            heard = await _hear(subject, b"\r\nnext\r\n")
        assert heard.strip(b"x") == b"\r\nnext\r\n"  # what was dropped has torn a line: the next one is whole
        assert not sending


async def hanging_up_is_heard(subject: Subject) -> None:
    with subject.port.open() as line:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_hang_up_soon, subject)
            assert await _is_lost(line.receive)
        assert await _is_lost(line.receive)
        assert await _is_lost(lambda: line.send(b"OK\r\n"))


async def _hang_up_soon(subject: Subject) -> None:
    await trio.testing.wait_all_tasks_blocked()
    subject.hang_up()


async def a_line_that_hung_up_can_be_opened_when_it_is_back(subject: Subject) -> None:
    with subject.port.open():
        subject.hang_up()
    assert len(_open_error(subject).splitlines()) == 1
    subject.plug()
    with subject.port.open() as line:
        subject.say(b"again")
        assert await _receive(line, 5) == b"again"


async def a_closed_line_is_lost(subject: Subject) -> None:
    with subject.port.open() as line:
        pass
    assert await _is_lost(line.receive)
    assert await _is_lost(lambda: line.send(b"OK\r\n"))


async def nobody_else_may_open_it(subject: Subject) -> None:
    with subject.port.open():
        assert "in use" in _open_error(subject)
    with subject.port.open():
        await trio.lowlevel.checkpoint()


CHECKS: list[Callable[[Subject], Awaitable[None]]] = [
    every_byte_comes_through_both_ways,
    a_cancelled_receive_loses_nothing,
    a_line_that_takes_nothing_holds_nobody_up,
    hanging_up_is_heard,
    a_line_that_hung_up_can_be_opened_when_it_is_back,
    a_closed_line_is_lost,
    nobody_else_may_open_it,
]
