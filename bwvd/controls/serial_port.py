"""A serial port as a line of text that hangs up: the real adapter, over pyserial.

pyserial opens and sets up the port; reading and writing are trio's, on the descriptor, so that nothing blocks and
nothing polls.
"""

from __future__ import annotations

import errno
import os
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from bwvd.config.schema import Serial
from bwvd.controls.device_errors import NOT_SUCH_ERRNOS, device_errors
from bwvd.controls.ports import ControlLost, ControlRefused
from bwvd.controls.serial_identity import SerialIdentity

if TYPE_CHECKING:
    import serial

SEND_PATIENCE_S = 1.0  # the other end takes nothing for this long: what is left of the line is dropped
RECEIVE_BYTES = 4096


class SerialPort:
    """The place of a serial line; `open` makes it a `bwvd.controls.ports.CommandLine`."""

    def __init__(self, config: Serial) -> None:
        self.name = f"serial:{config.port}"
        self._config = config
        self._identity = SerialIdentity(config)

    @contextmanager
    def open(self) -> Iterator[SerialLine]:
        """The line, while it lasts. Quick.

        Raises: ControlLost (absent, in use), ControlRefused (no serial port, or another one than at the first opening).
        """
        import serial

        path = self._config.port
        self._identity.look()
        with device_errors(path, "serial.port"):
            try:
                # exclusive: a second program on the line would take every other byte
                port = serial.Serial(path, self._config.baud, timeout=0, write_timeout=0, exclusive=True)
            except serial.SerialException as error:
                raise _refusal(path, error) from error
        line = SerialLine(self.name, port.fileno())
        try:
            self._identity.keep(port.fileno())
            yield line
        finally:
            line.closing()
            port.close()


def _refusal(path: str, error: serial.SerialException) -> ControlLost:
    """pyserial's errors are OSErrors, but those of tcgetattr carry their errno only in the error that they replace."""
    number = error.errno
    if number is None and isinstance(error.__context__, termios.error):
        number = error.__context__.args[0]
    if number is None:
        return ControlRefused(f"serial.baud: {path}: {error}")
    if number in NOT_SUCH_ERRNOS:
        return ControlRefused(f"serial.port: {path} is not a serial port")
    if number in (errno.EAGAIN, errno.EBUSY):
        return ControlLost(f"{path}: in use by another program")
    return ControlLost(f"{path}: {os.strerror(number)}")


class SerialLine:
    """`bwvd.controls.ports.CommandLine` on an open port.

    **Synchronization:** one task receives; any tasks may send, but not at the same time.
    """

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self._path = name.partition(":")[2]
        self._fd = fd  # -1 when it is closed: the number may be another file's by then
        self._torn = False  # the last line was dropped in its middle

    def closing(self) -> None:
        """Wake whoever waits, with ControlLost. Called before the port is closed."""
        trio.lowlevel.notify_closing(self._fd)
        self._fd = -1

    async def receive(self) -> bytes:
        with self._errors():
            while True:
                await trio.lowlevel.wait_readable(self._fd)
                try:
                    data = os.read(self._fd, RECEIVE_BYTES)
                except BlockingIOError:
                    continue
                break
        if not data:  # readable, and nothing to read
            raise ControlLost(f"{self._path}: hung up")
        return data

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        rest = b"\r\n" + data if self._torn else data
        with trio.move_on_after(SEND_PATIENCE_S) as patience, self._errors():
            while rest:
                try:
                    written = os.write(self._fd, rest)
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(self._fd)
                    continue
                self._torn = True
                rest = rest[written:]
                patience.deadline = trio.current_time() + SEND_PATIENCE_S
        if not rest:
            self._torn = False

    @contextmanager
    def _errors(self) -> Iterator[None]:
        if self._fd < 0:
            raise ControlLost(f"{self._path}: closed")
        try:
            with device_errors(self._path, "serial.port"):
                yield
        except trio.ClosedResourceError as error:
            raise ControlLost(f"{self._path}: closed") from error
