"""A contact that shorts a modem line (CTS, DSR, CD, RI) of a serial port.

The lines are looked at every IDLE_POLL_S, and every POLL_S while something moves. Waiting in the kernel instead
(TIOCMIWAIT) was weighed and left: the wait can't be cancelled (closing the port does not end it, so each reopening
would leave a thread behind), a change between two waits goes unseen until the next one (a release lost that way looks
like a hold), many USB adapters don't have it, and an 8250 wakes for only one of the ring line's two edges. A look costs
two system calls (0.3 ms of a slow core with the way there and back); what moves between two looks is not lost where the
driver counts (TIOCGICOUNT), and where it does not, every look comes after POLL_S. Edge times are up to one look late.

Pseudo-terminals have no modem lines: that real ports keep to what the tests here feed is shown by hardware alone.
"""

from __future__ import annotations

import fcntl
import functools
import os
import struct
import termios
from collections.abc import Callable
from typing import Protocol

import trio

from bwvd.clock import NS
from bwvd.config.schema import Serial
from bwvd.controls.device_errors import NOT_SUCH_ERRNOS, device_errors
from bwvd.controls.ports import ControlRefused, Edge
from bwvd.controls.serial_identity import SerialIdentity

POLL_S = 0.02
IDLE_POLL_S = 0.05  # a tap is hardly ever shorter
BUSY_NS = 2_000_000_000  # so long after a movement the next one is likely

_MASKS = {"cts": termios.TIOCM_CTS, "dsr": termios.TIOCM_DSR, "cd": termios.TIOCM_CD, "ri": termios.TIOCM_RI}
_COUNTERS = {"cts": 0, "dsr": 1, "ri": 2, "cd": 3}  # places in struct serial_icounter_struct
_COUNTER_BYTES = 80  # twenty ints


class ModemPort(Protocol):
    """An open port, as far as its modem lines go. Any method may raise OSError."""

    def is_down(self) -> bool: ...

    def edges(self) -> int | None:
        """The line's movements since some time (modulo 2**32); None where the driver does not count."""
        ...

    def close(self) -> None: ...


class ModemContact:
    """`bwvd.controls.ports.Contact` on the modem line that `config.button` names.

    Args:
        monotonic_ns: CLOCK_MONOTONIC, for the times of the edges.
        open_port: opens the port; raises OSError, ControlLost or ControlRefused. Tests put their own here.
    """

    def __init__(
        self, config: Serial, monotonic_ns: Callable[[], int], open_port: Callable[[Serial], ModemPort] | None = None
    ) -> None:
        self.name = f"serial:{config.port}:{config.button}"
        self._config = config
        self._monotonic_ns = monotonic_ns
        self._open_port = open_port or functools.partial(open_modem_port, SerialIdentity(config))
        self._debounce_ns = config.debounce_ms * 1_000_000

    async def run(
        self, edge: Callable[[Edge], None], *, task_status: trio.TaskStatus[bool] = trio.TASK_STATUS_IGNORED
    ) -> None:
        await trio.lowlevel.checkpoint()
        errors = functools.partial(device_errors, self._config.port, "serial.button")
        with errors():
            port = self._open_port(self._config)
        try:
            with errors():
                counted, down = port.edges(), port.is_down()
            moved_ns = self._monotonic_ns()
            task_status.started(down)
            while True:
                idle = counted is not None and not down and self._monotonic_ns() - moved_ns > BUSY_NS
                await trio.sleep(IDLE_POLL_S if idle else POLL_S)
                was_counted, was_down = counted, down
                with errors():
                    counted, down = port.edges(), port.is_down()
                now_ns = self._monotonic_ns()
                moves = 0 if counted is None or was_counted is None else (counted - was_counted) & 0xFFFFFFFF
                if down != was_down:
                    edge(Edge(down, now_ns))  # more moves than one are bounces: looking seldom has debounced them
                    moved_ns = now_ns
                elif moves:
                    # Where it was, but it has moved: the end of a bounce, or a press between two looks.
                    if now_ns - moved_ns > self._debounce_ns + POLL_S * NS:
                        edge(Edge(down, now_ns, lost=moves))
                    moved_ns = now_ns
        finally:
            port.close()


def open_modem_port(identity: SerialIdentity, config: Serial) -> ModemPort:
    """Open the port for its modem lines alone. Raises OSError, ControlLost or ControlRefused."""
    identity.look()
    fd = os.open(config.port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    port = _Port(fd, config.button)
    try:
        identity.keep(fd)
        _be_local(fd)
        port.look(config.port)
    except BaseException:
        port.close()
        raise
    return port


def _be_local(fd: int) -> None:
    """CLOCAL: a carrier line that opens must not hang the port up, least of all when it is the button."""
    try:
        attributes = termios.tcgetattr(fd)
        attributes[2] |= termios.CLOCAL
        termios.tcsetattr(fd, termios.TCSANOW, attributes)
    except termios.error as error:  # no OSError, though it carries an errno
        raise OSError(*error.args) from error


class _Port:
    def __init__(self, fd: int, line: str) -> None:
        self._fd = fd
        self._line = line
        self._counts = True

    def look(self, path: str) -> None:
        """Raise ControlRefused if the port has no modem lines."""
        try:
            self.is_down()
        except OSError as error:
            if error.errno in NOT_SUCH_ERRNOS:
                raise ControlRefused(f"serial.button: {path} has no {self._line.upper()} line") from error
            raise

    def is_down(self) -> bool:
        (bits,) = struct.unpack("I", fcntl.ioctl(self._fd, termios.TIOCMGET, bytes(4)))
        return bool(bits & _MASKS[self._line])

    def edges(self) -> int | None:
        if not self._counts:
            return None
        try:
            counters = fcntl.ioctl(self._fd, termios.TIOCGICOUNT, bytes(_COUNTER_BYTES))
        except OSError as error:
            if error.errno in NOT_SUCH_ERRNOS:
                self._counts = False
                return None
            raise
        return int(struct.unpack("20I", counters)[_COUNTERS[self._line]])

    def close(self) -> None:
        os.close(self._fd)
