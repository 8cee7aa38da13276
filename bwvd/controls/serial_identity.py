"""The identity of the device behind a serial path: what is opened again under a name is what was opened first.

A path says little: the kernel gives `/dev/ttyUSB0` to the next adapter that comes and `/dev/pts/0` to the next person
who logs in. Who is there by mistake would be sent EVT lines, and what he types would be taken for commands.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from bwvd.config.schema import Serial
from bwvd.controls.device_errors import device_errors
from bwvd.controls.ports import ControlRefused
from bwvd.text import one_line

# Majors of Linux's Documentation/admin-guide/devices.txt: the ends of pseudo-terminals that programs talk on.
_PTY_MAJORS = frozenset({3, *range(136, 144)})


class SerialIdentity:
    """Remembers the device that was opened first at a `[[serial]] port`, and refuses any other one.

    **Synchronization:** trio's thread.
    """

    def __init__(self, config: Serial, sys: Path = Path("/sys"), proc: Path = Path("/proc")) -> None:
        """sys, proc: where sysfs and procfs are mounted."""
        self._port = config.port
        self._pty = config.pty
        self._sys = sys
        self._proc = proc
        self._first: str | None = None

    def look(self) -> None:
        """Call before the port is opened, so that nothing is done to what may not be opened.

        Raises: ControlLost (nothing there), ControlRefused (no serial port, or not the one that was opened first).
        """
        with device_errors(self._port, "serial.port"):
            found = Path(self._port).stat()
        self._check(found)

    def keep(self, fd: int) -> None:
        """Call when the port is open: the path may have become another's since `look`. The first one is remembered.

        Raises: ControlRefused.
        """
        with device_errors(self._port, "serial.port"):
            found = os.fstat(fd)
        self._first = self._check(found)

    def _check(self, found: os.stat_result) -> str:
        if not stat.S_ISCHR(found.st_mode):
            raise ControlRefused(f"serial.port: {self._port} is not a serial port")
        major, minor = os.major(found.st_rdev), os.minor(found.st_rdev)
        if major in _PTY_MAJORS:
            if not self._pty:
                raise ControlRefused(f"serial.port: {self._port} is a pseudo-terminal, and serial.pty is false")
            if self._is_a_terminal(major, minor):
                raise ControlRefused(f"serial.port: {self._port} is somebody's terminal: not opened")
            identity = "a pseudo-terminal"  # its number is another one each time
        else:
            identity = self._usb(major, minor) or f"the device {major}:{minor}"
        if self._first not in (None, identity):
            raise ControlRefused(f"serial.port: {self._port} was {self._first}, and is {identity} now: not opened")
        return identity

    def _is_a_terminal(self, major: int, minor: int) -> bool:
        """True if a process has it as its controlling terminal, as a shell does that somebody is logged in with.

        Where procfs hides the processes of others, as in the unit's sandbox, only those of our own user are seen; there
        the rights of the terminal, which is its user's, keep us out.
        """
        number = (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)  # tty_nr, proc(5)
        return any(_controlling_terminal(entry) == number for entry in self._proc.glob("[0-9]*/stat"))

    def _usb(self, major: int, minor: int) -> str:
        """The adapter and the port of it, "" if it is none: it keeps them, whatever number the kernel gives it.

        One without a serial number is known by the socket that it is plugged into.
        """
        tty = (self._sys / f"dev/char/{major}:{minor}/device").resolve()
        port = _attribute(tty / "port_number")
        interface = ""
        for folder in (tty, *tty.parents):
            interface = interface or _attribute(folder / "bInterfaceNumber")
            if vendor := _attribute(folder / "idVendor"):
                serial = _attribute(folder / "serial")
                place = f"serial {serial}" if serial else f"at {folder.name}"
                parts = [f"if{interface}" if interface else "", f"port {port}" if port else ""]
                named = [f"the USB device {vendor}:{_attribute(folder / 'idProduct')}", place, *filter(None, parts)]
                return " ".join(named)
        return ""


def _controlling_terminal(stat: Path) -> int:
    """A process's tty_nr; 0 for none, or for a process that is gone or not ours to ask."""
    try:
        # The name, which may hold anything, ends with the last parenthesis: state, parent, group, session, tty_nr.
        return int(stat.read_bytes().rpartition(b")")[2].split()[4])
    except (OSError, IndexError, ValueError):
        return 0


def _attribute(path: Path) -> str:
    """Of a device, as sysfs tells it; "" if it doesn't. It is the device's own text."""
    try:
        return one_line(path.read_text("utf-8", "replace"))
    except OSError:
        return ""
