"""Stand-ins for the kernel's side of real contacts: they feed the adapters through real descriptors."""

from __future__ import annotations

import errno
import os
import struct
import time
from collections.abc import Callable, Iterable

from bwvd.config.schema import Gpio, Serial
from bwvd.controls.gpio import InputLine
from bwvd.controls.input import EV_KEY, EV_SW, EV_SYN, SYN_DROPPED, SYN_REPORT, Device, Event
from bwvd.controls.modem_line import ModemPort
from bwvd.service.evdev_library import evdev

KEY_RECORD = 167
SW_MUTE_DEVICE = 14


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class GpioKernel:
    """A GPIO line: edges in a queue, an eventfd that is readable while there are some."""

    def __init__(self, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.present = True
        self.down = False
        self.opened: _KernelLine | None = None
        self.now_ns = now_ns
        self.number = 0

    def open_line(self, _config: Gpio) -> InputLine:
        if not self.present:
            raise _error(errno.ENOENT)
        if self.opened:
            raise _error(errno.EBUSY)
        self.number = 0
        self.opened = _KernelLine(self)
        return self.opened

    def move(self, down: bool) -> None:
        self.down = down
        self.number += 1
        if self.opened:
            self.opened.push((down, self.now_ns(), self.number))

    def lose(self, edges: int) -> None:
        self.number += edges

    def unplug(self) -> None:
        self.present = False  # and wakes nobody, as Linux 6.1

    def plug(self) -> None:
        self.present, self.down = True, False


class _KernelLine:
    def __init__(self, kernel: GpioKernel) -> None:
        self._kernel = kernel
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.queue: list[tuple[bool, int, int]] = []

    def push(self, edge: tuple[bool, int, int]) -> None:
        self.queue.append(edge)
        os.eventfd_write(self.fd, 1)

    def is_down(self) -> bool:
        if not self._kernel.present:
            raise _error(errno.ENODEV)
        return self._kernel.down

    def read(self) -> list[tuple[bool, int, int]]:
        if not self._kernel.present:
            raise _error(errno.ENODEV)
        if self.queue:
            os.eventfd_read(self.fd)
        edges, self.queue = self.queue, []
        return edges

    def release(self) -> None:
        os.close(self.fd)
        self._kernel.opened = None


class InputKernel:
    """An input device: `struct input_event`s through a pipe, read by python-evdev itself."""

    def __init__(
        self, kind: int = EV_KEY, code: int = KEY_RECORD, now_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.present = True
        self.down = False
        self.grabbed_elsewhere = False
        self.opened: _KernelDevice | None = None
        self.now_ns = now_ns
        self.kind, self.code = kind, code
        self.stamps = True

    def open_device(self, _path: str) -> Device:
        if not self.present:
            raise _error(errno.ENOENT)
        self.opened = _KernelDevice(self)
        return self.opened

    def ask_clock(self, _fd: int) -> bool:
        return self.stamps

    def switch_is_on(self, _fd: int, code: int) -> bool:
        return self.kind == EV_SW and code == self.code and self.down

    def move(self, down: bool) -> None:
        self.down = down
        self.write((self.kind, self.code, int(down)), (EV_SYN, SYN_REPORT, 0))

    def write(self, *events: tuple[int, int, int]) -> None:
        """(type, code, value) each, all at this moment."""
        if self.opened:
            seconds, ns = divmod(self.now_ns(), 1_000_000_000)
            packed = (struct.pack("@llHHi", seconds, ns // 1000, *event) for event in events)
            os.write(self.opened.write_fd, b"".join(packed))

    def lose(self, edges: int) -> None:
        """The queue was full: what was in it is dropped, up to and including the report that is being made."""
        assert edges > 0  # the kernel does not say how many
        self.write((EV_SYN, SYN_DROPPED, 0), (self.kind, self.code, 1), (EV_SYN, SYN_REPORT, 0))

    def unplug(self) -> None:
        self.present = False
        if self.opened:
            os.close(self.opened.write_fd)
            self.opened.write_fd = -1

    def plug(self) -> None:
        self.present, self.down = True, False


class _KernelDevice:
    def __init__(self, kernel: InputKernel) -> None:
        self._kernel = kernel
        self.fd, self.write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.grabbed = False
        self._read = evdev("eventio").EventIO.read

    def read(self) -> Iterable[Event]:
        if not self._kernel.present:
            raise _error(errno.ENODEV)
        events: Iterable[Event] = self._read(self)
        return events

    def fileno(self) -> int:
        return self.fd

    def active_keys(self) -> list[int]:
        return [self._kernel.code] if self._kernel.down and self._kernel.kind == EV_KEY else []

    def capabilities(self) -> dict[int, list[int]]:
        return {EV_SYN: [0, 1], self._kernel.kind: [30, self._kernel.code]}

    def grab(self) -> None:
        if self._kernel.grabbed_elsewhere:
            raise _error(errno.EBUSY)
        self.grabbed = True

    def close(self) -> None:
        os.close(self.fd)
        if self.write_fd >= 0:
            os.close(self.write_fd)
        self._kernel.opened = None


class ModemKernel:
    """A serial port's modem line and its counter."""

    def __init__(self, *, counts: bool = True) -> None:
        self.present = True
        self.down = False
        self.opened = False
        self.counter = 0xFFFFFFFE  # it wraps
        self.counts = counts

    def open_port(self, _config: Serial) -> ModemPort:
        if not self.present:
            raise _error(errno.ENOENT)
        self.opened = True
        return self

    def is_down(self) -> bool:
        if not self.present:
            raise _error(errno.EIO)
        return self.down

    def edges(self) -> int | None:
        return self.counter & 0xFFFFFFFF if self.counts else None

    def close(self) -> None:
        self.opened = False

    def move(self, down: bool) -> None:
        self.down = down
        self.counter += 1

    def lose(self, edges: int) -> None:
        self.counter += edges

    def unplug(self) -> None:
        self.present = False

    def plug(self) -> None:
        self.present, self.down = True, False
