"""Notices to systemd: sd_notify(3) over $NOTIFY_SOCKET, without libsystemd.

FDSTORE is not used, for a reason: what a restart must not lose is on flash, and what it may lose (the loop) would have
to be kept outside this process as a memory file that survives it: privacy forbids that. Device handles are better
opened anew, because a restart is how a wedged driver is cured.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class NotifyError(Exception):
    """$NOTIFY_SOCKET or $WATCHDOG_USEC can't be used. One line that names the variable."""


class Notifier:
    """Sends states to the service manager, or to nobody where there is none.

    Never waits: the manager's socket may be full, and a camera must not stall for that. A state that found no room is
    owed, and goes out before the next one.

    **Synchronization:** one thread.
    """

    def __init__(self, address: str | None, watchdog_ns: int | None = None) -> None:
        """`address`: of the socket, a path or an abstract name that begins with `@`; None = nobody listens."""
        self.watchdog_ns = watchdog_ns  # feed at least this often; None = nobody watches
        self._address = address
        self._owed: dict[str, str] = {}
        self._socket: socket.socket | None = None
        if address is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ, *, pid: int | None = None) -> Notifier:
        """As the service manager set it up for this process. Raises NotifyError."""
        address = environment.get("NOTIFY_SOCKET") or None
        if address is not None and (address[0] not in "/@" or len(address) < 2 or len(os.fsencode(address)) > 107):
            raise NotifyError(f"NOTIFY_SOCKET: {address!r} is neither a path nor an abstract name (@…)")
        return cls(address, _watchdog_ns(environment, os.getpid() if pid is None else pid))

    def ready(self, status: str = "") -> bool:
        """Starting is over."""
        return self._send({"READY": "1"} | ({"STATUS": _one_line(status)} if status else {}))

    def status(self, text: str) -> bool:
        """One line for `systemctl status`."""
        return self._send({"STATUS": _one_line(text)})

    def stopping(self) -> bool:
        """Closing in order has begun."""
        return self._send({"STOPPING": "1", "STATUS": "closing"})

    def extend(self, seconds: float) -> bool:
        """Starting or stopping takes this much longer from now on than the unit allows: recovery, a slow flash."""
        return self._send({"EXTEND_TIMEOUT_USEC": str(round(seconds * 1_000_000))})

    def watchdog(self) -> bool:
        """Feed the watchdog. A feed that finds no room is not owed: the next one is as good."""
        return self._send({}, "WATCHDOG=1")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, states: dict[str, str], passing: str = "") -> bool:
        """Send what is owed, these states, and `passing`; False if it did not go out."""
        if self._socket is None or self._address is None:
            return False
        self._owed |= states
        lines = [f"{key}={value}" for key, value in self._owed.items()]
        if passing:
            lines.append(passing)
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            self._socket.sendto("\n".join(lines).encode(), address)
        except OSError:  # full, or the manager is being restarted: both pass
            return False
        self._owed.clear()
        return True


def _watchdog_ns(environment: Mapping[str, str], pid: int) -> int | None:
    """How often to feed the watchdog at least: half of what the unit allows, as sd_watchdog_enabled(3) advises."""
    text = environment.get("WATCHDOG_USEC", "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or int(text) == 0:
        raise NotifyError(f"WATCHDOG_USEC: {text!r} is not a number of microseconds")
    meant_for = environment.get("WATCHDOG_PID", "")
    if meant_for and meant_for != str(pid):
        return None  # meant for the process that started us
    return int(text) * 1000 // 2


def _one_line(text: str) -> str:
    """`text` on one line: a newline in it would be another state."""
    return " ".join(text.split())
