"""The receiver of the configuration, wired to the recorder: by gpsd, or on a serial line as controls open it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from bwvd.config.schema import Config, Serial
from bwvd.controls.ports import CommandLine, ControlLost
from bwvd.controls.serial import Port
from bwvd.daemon.daemon import Daemon
from bwvd.position.actor import Position
from bwvd.position.held import Begun
from bwvd.position.receiver import Feed, GpsdReceiver, LineReceiver, Receiver, ReceiverLost


def receiver_of(config: Config) -> Receiver:
    """The receiver that `gnss.source` names."""
    source, baud = config.gnss.source, config.gnss.baud
    if source.startswith("gpsd://"):
        return GpsdReceiver(source)
    from bwvd.controls.serial_port import SerialPort

    return on_line(source, SerialPort(Serial(port=source.removeprefix("serial:"), baud=baud)))


def on_line(source: str, port: Port) -> Receiver:
    """The receiver at the other end of a serial line, which `port` opens."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Feed]:
        await trio.lowlevel.checkpoint()
        try:
            with port.open() as line:
                yield _Line(line)
        except ControlLost as lost:
            raise ReceiverLost(str(lost)) from lost

    return LineReceiver(source, opened)


class _Line:
    def __init__(self, line: CommandLine) -> None:
        self._line = line

    async def receive(self) -> bytes:
        try:
            return await self._line.receive()
        except ControlLost as lost:
            raise ReceiverLost(str(lost)) from lost


async def position(config: Config, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    """Where the camera is, for the recording in progress and the next press."""

    def begun() -> Begun | None:
        current = daemon.recorder.current
        return Begun(current.recording, current.first_ns) if current is not None and current.opened else None

    def held_from() -> int:
        loop = daemon.recorder.loop
        # Where it is empty, frames are in the making that it will hold: none from longer ago than it is long.
        return loop.from_ns if loop.from_ns is not None else daemon.clock.monotonic_ns() - loop.seconds_ns

    with daemon.ledger.pulse("gnss") as pulse:
        await Position(
            config=config.gnss,
            receiver=receiver_of(config),
            clock=daemon.clock,
            state=lambda: daemon.recorder.machine.state,
            locate=daemon.recorder.annotate,
            fault=daemon.hub.report,
            held_from=held_from,
            begun=begun,
            pulse=pulse,
        ).run(task_status=task_status)
