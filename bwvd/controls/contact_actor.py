"""The actor of a contact: from its edges through its gestures to commands, for as long as it takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

import trio

from bwvd.clock import NS, Clock
from bwvd.controls.gesture import Asked, ContactFault, GestureEvent, LostEdges, Reader
from bwvd.controls.ports import Contact, ControlLost, Edge, Report, Send
from bwvd.controls.presence import Presence
from bwvd.messages import Command, FaultChanged

NEVER = 1 << 62


async def run_contact(
    contact: Contact,
    reader: Reader,
    send: Send,
    clock: Clock,
    report: Report,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Turn a contact's movements into commands until cancelled; reopen it whenever it is lost.

    Args:
        send: takes the commands; wrap it with `allowing` for a control that may not ask for everything.
        report: takes the faults: "control:NAME" while the contact is absent, "control:NAME:storm" and
            "control:NAME:stuck" while it misbehaves, "control:NAME:lost_edges" for a moment when edges were lost.

    `task_status.started()` is called after the first attempt to open the contact, whatever came of it.
    **Cancellation:** releases the contact; a gesture in the making is dropped (its press has been sent).
    """
    presence = Presence(contact.name, clock, report, task_status)
    await _ContactActor(contact, reader, send, clock, report, presence).run()


@dataclass(eq=False)
class _ContactActor:
    _contact: Contact
    _reader: Reader
    _send: Send
    _clock: Clock
    _report: Report
    _presence: Presence
    _earlier: trio.Event = field(default_factory=trio.Event)  # set when the deadline came nearer than `_waits_for_ns`
    _waits_for_ns: int = NEVER

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_time)
            while True:
                try:
                    await self._contact.run(self._edge, task_status=_Opened(self))
                except ControlLost as error:
                    self._carry_out(self._reader.gone(self._clock.monotonic_ns()))
                    await trio.sleep(self._presence.lost(error))

    def opened(self, down: bool) -> None:
        self._presence.opened()
        self._carry_out(self._reader.start(down, self._clock.monotonic_ns()))

    def _edge(self, edge: Edge) -> None:
        self._carry_out(self._reader.edge(edge))

    def _carry_out(self, events: list[GestureEvent]) -> None:
        fault = self._presence.fault
        for event in events:
            match event:
                case Asked(order, at_ns, _, confirmed):
                    self._send(Command(order, self._contact.name, at_ns, confirmed=confirmed))
                case ContactFault(name, active, at_ns, detail):
                    self._report(FaultChanged(f"{fault}:{name}", active, at_ns, detail))
                case LostEdges(at_ns, count):
                    for active in (True, False):
                        self._report(FaultChanged(f"{fault}:lost_edges", active, at_ns, f"{count} at least"))
                case _:
                    assert_never(event)
        deadline = self._reader.deadline
        if deadline is not None and deadline < self._waits_for_ns:
            self._earlier.set()

    async def _keep_time(self) -> None:
        while True:
            self._earlier = trio.Event()
            deadline = self._reader.deadline
            self._waits_for_ns = NEVER if deadline is None else deadline
            if deadline is None:
                await self._earlier.wait()
                continue
            with trio.move_on_after(max(deadline - self._clock.monotonic_ns(), 0) / NS):
                await self._earlier.wait()
                continue
            # An edge from before the deadline may be waiting to be read: a release must overtake the hold that it ends.
            # The first checkpoint lets a reader run that woke together with us, the second one that woke just after.
            for _ in range(2):
                await trio.lowlevel.checkpoint()
            now_ns = self._clock.monotonic_ns()
            if (deadline := self._reader.deadline) is not None and deadline <= now_ns:
                self._carry_out(self._reader.expire(now_ns))


class _Opened:
    """The contact's `task_status`: hears of the position before the first edge can come."""

    def __init__(self, actor: _ContactActor) -> None:
        self._actor = actor

    def started(self, value: bool = False) -> None:
        self._actor.opened(value)


async def probe(contact: Contact) -> bool:
    """Open a contact, let go of it, and return whether it is down. Raises ControlLost."""
    position: list[bool] = []
    with trio.CancelScope() as scope:
        await contact.run(lambda _: None, task_status=_Seen(position, scope))
    return position[0]


class _Seen:
    def __init__(self, position: list[bool], scope: trio.CancelScope) -> None:
        self._position = position
        self._scope = scope

    def started(self, value: bool = False) -> None:
        self._position.append(value)
        self._scope.cancel()
