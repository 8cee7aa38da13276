"""The actor of a serial line: requests in, answers and events out, for as long as the line takes to come back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, assert_never

import trio

from bwvd.clock import Clock
from bwvd.controls.pending_answer import PendingAnswer
from bwvd.controls.ports import CommandLine, ControlLost, Report, Send
from bwvd.controls.presence import Presence
from bwvd.controls.serial_protocol import (
    Asked,
    ErrorLimit,
    LineReader,
    NotUnderstood,
    Ordered,
    Said,
    answer_line,
    event_line,
    help_line,
    status_line,
)
from bwvd.messages import Command, Event, Order

# Answers that wait for the recorder or for a slow line. A command never waits for them: when there is no room, the
# command is still given and its answer is dropped.
WAITING_ANSWERS = 32


class Port(Protocol):
    """A line that can be opened. Real: `serial_port.SerialPort`. Virtual: `bwvd.testing.line.VirtualLine`."""

    name: str

    def open(self) -> AbstractContextManager[CommandLine]:
        """Quick. Raises ControlLost."""
        ...


async def run_serial(
    port: Port,
    send: Send,
    clock: Clock,
    report: Report,
    status: Callable[[], Mapping[str, Any]],
    events: trio.MemoryReceiveChannel[Event] | None = None,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a line until cancelled; reopen it whenever it is lost, with the fault "control:NAME" in between.

    Args:
        send: takes the commands; wrap it with `allowing` for a line that may not ask for everything.
        status: what STATUS answers, as `status --json` has it.
        events: what to tell the other end unasked; None for nothing. They are taken at once while there is no line,
            and as slowly as the line takes them otherwise: give the channel a bound and drop what does not fit. It is
            closed at the end.

    `task_status.started()` is called after the first attempt to open the port, whatever came of it.
    **Cancellation:** closes the port; answers that wait are dropped.
    """
    presence = Presence(port.name, clock, report, task_status)
    await _SerialActor(port, send, clock, status, presence).run(events)


@dataclass(eq=False)
class _SerialActor:
    _port: Port
    _send: Send
    _clock: Clock
    _status: Callable[[], Mapping[str, Any]]
    _presence: Presence
    _line: CommandLine | None = None
    _serving: trio.CancelScope | None = None  # of the line that is open
    _failure: ControlLost | None = None  # of a write on it
    _writing: trio.Lock = field(default_factory=trio.Lock)  # a line of text goes out whole

    async def run(self, events: trio.MemoryReceiveChannel[Event] | None) -> None:
        async with trio.open_nursery() as nursery:
            if events is not None:
                nursery.start_soon(self._tell, events)
            while True:
                delay_s = 0.0
                try:
                    await self._serve()
                except* ControlLost as group:
                    delay_s = self._presence.lost(group.exceptions[0])
                await trio.sleep(delay_s)

    async def _serve(self) -> None:
        with self._port.open() as line:
            self._line, self._failure = line, None
            self._presence.opened()
            try:
                answers, waiting = trio.open_memory_channel[PendingAnswer | str](WAITING_ANSWERS)
                with answers, waiting:  # closed in one step: an await here could put a Cancelled in an error's place
                    async with trio.open_nursery() as nursery:
                        self._serving = nursery.cancel_scope
                        nursery.start_soon(self._answer, waiting)
                        await self._listen(line, answers)
            finally:
                self._line = self._serving = None
            if self._failure is not None:
                raise self._failure

    async def _listen(self, line: CommandLine, answers: trio.MemorySendChannel[PendingAnswer | str]) -> None:
        reader, limit = LineReader(), ErrorLimit()
        while True:
            for said in reader.feed(await line.receive()):
                answer = self._obey(said, limit)
                if answer is None:
                    continue
                try:
                    answers.send_nowait(answer)
                except trio.WouldBlock:
                    continue

    def _obey(self, said: Said, limit: ErrorLimit) -> PendingAnswer | str | None:
        now_ns = self._clock.monotonic_ns()
        match said:
            case Ordered(order, text):
                pending = PendingAnswer()
                confirmed = order is Order.STOP  # nobody sends that line by holding on to something
                self._send(Command(order, self._port.name, now_ns, text=text, confirmed=confirmed, reply=pending.give))
                return pending
            case Asked("PING"):
                return "OK"
            case Asked("HELP"):
                return help_line()
            case Asked():
                return status_line(self._status())
            case NotUnderstood(reason):
                return limit.line(reason, now_ns)
            case _:
                assert_never(said)

    async def _answer(self, waiting: trio.MemoryReceiveChannel[PendingAnswer | str]) -> None:
        async for answer in waiting:
            await self._write(answer if isinstance(answer, str) else answer_line(await answer.wait()))

    async def _tell(self, events: trio.MemoryReceiveChannel[Event]) -> None:
        async with events:
            async for event in events:
                text = event_line(event)
                if text is not None:
                    await self._write(text)

    async def _write(self, text: str) -> None:
        """A line that can't be written on is reopened, also where it still gives data."""
        async with self._writing:
            line = self._line
            if line is None:
                return
            try:
                await line.send(text.encode("ascii") + b"\r\n")
            except ControlLost as error:
                if self._line is line and self._serving is not None:
                    self._failure = error
                    self._serving.cancel()
