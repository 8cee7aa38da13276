"""The Protocols of what a hand can move, and what all controls share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

import trio

from bwvd.messages import Answer, Command, FaultChanged


class ControlLost(Exception):
    """The control is absent or was unplugged. One line that names the device and, where it helps, the reason."""


class ControlRefused(ControlLost):
    """The control can't work as configured; the line names the key. `bwvd check` says no; at run it is a fault."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One movement of a contact, after the device's own debouncing."""

    down: bool  # the button is pressed, or the switch is on
    at_ns: int  # CLOCK_MONOTONIC, the kernel's time of the edge where it gives one
    lost: int = 0  # edges the kernel dropped just before this one (a gap in its sequence numbers)


class Contact(Protocol):
    """A button or a switch that is wired to something: a GPIO line, an input key, a modem line.

    Real: gpio, input, serial. Virtual: `bwvd.testing.contact.VirtualContact`.
    """

    name: str  # "gpio:record": stable, unique, used as Command.source and in `control:…` faults

    async def run(
        self,
        edge: Callable[[Edge], None],
        *,
        task_status: trio.TaskStatus[bool] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Open the device, say `task_status.started(down now?)`, call `edge` for every movement, until cancelled.

        Raises ControlLost. Releases the device on every way out.
        """
        ...


class CommandLine(Protocol):
    """A duplex stream of bytes with a person or a remote at its end: a serial line, a pty."""

    name: str  # "serial:/dev/ttyS1"

    async def receive(self) -> bytes:
        """Some bytes, at least one. Raises ControlLost on hang-up. Cancellation loses nothing."""
        ...

    async def send(self, data: bytes) -> None:
        """Write all of `data`, or raise ControlLost. Drops the data if the other end takes nothing for a second."""
        ...


Send = Callable[[Command], None]
"""Hands a control's command on: never blocks. Commands that find no room are answered «refused: busy» by it."""

Report = Callable[[FaultChanged], None]
"""Says that something about a control is wrong, or right again: never blocks."""

Refused = Callable[[Command, str], None]
"""Told of every command that a control may not give, with the reason, for the journal: never blocks."""


def allowing(allow: Collection[str], send: Send, refused: Refused) -> Send:
    """A `send` that lets only the orders named in `allow` through, or all if it is empty, and says no to the others."""
    if not allow:
        return send
    allowed = frozenset(allow)

    def send_allowed(command: Command) -> None:
        if command.order in allowed:
            send(command)
            return
        reason = f"{command.source} may not ask for {command.order}"
        refused(command, reason)
        command.answer(Answer(ok=False, text=reason))

    return send_allowed
