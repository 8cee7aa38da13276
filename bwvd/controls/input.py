"""A contact that is a key or a switch of an input device (evdev): gpio-keys, a USB button, a headset.

That real devices keep to what the tests here feed through a pipe is shown by the machine tests alone.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import struct
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Protocol

import trio

from bwvd.clock import NS
from bwvd.config.schema import Input
from bwvd.controls.device_errors import device_errors
from bwvd.controls.ports import ControlLost, ControlRefused, Edge
from bwvd.service.evdev_library import evdev

EV_SYN, EV_KEY, EV_SW = 0, 1, 5
SYN_REPORT, SYN_DROPPED = 0, 3
AUTOREPEAT = 2

_EVIOCSCLOCKID = 0x400445A0  # _IOW('E', 0xa0, int) of <linux/input.h>
_EVIOCGSW_8 = 0x8008451B  # _IOC(_IOC_READ, 'E', 0x1b, 8)


class Event(Protocol):
    """The part of `evdev.InputEvent` that this adapter uses."""

    sec: int
    usec: int
    type: int
    code: int
    value: int


class Device(Protocol):
    """The part of `evdev.InputDevice` that this adapter uses."""

    fd: int

    def read(self) -> Iterable[Event]: ...

    def active_keys(self) -> list[int]: ...

    def capabilities(self) -> dict[int, list[int]]: ...

    def grab(self) -> None: ...

    def close(self) -> None: ...


def open_device(path: str) -> Device:
    """Open an input device. Raises OSError."""
    device: Device = evdev().InputDevice(path)
    return device


def key_code(key: str) -> tuple[int, int] | None:
    """(event type, code) of a name like KEY_RECORD, BTN_0 or SW_MUTE_DEVICE; None if the kernel has no such name.

    Raises OSError where python-evdev is not installed.
    """
    code = evdev("ecodes").ecodes.get(key)
    if not isinstance(code, int):
        return None
    if key.startswith(("KEY_", "BTN_")):
        return EV_KEY, code
    if key.startswith("SW_"):
        return EV_SW, code
    return None


class InputContact:
    """`bwvd.controls.ports.Contact` on one key of an input device.

    Args:
        config: the device and its key. `grab` keeps the key from everybody else.
        open_device: opens the device; tests put their own here.
        ask_clock: asks the kernel for CLOCK_MONOTONIC stamps of a descriptor; False if it can't. Tests have pipes.
        switch_is_on: the position of a switch; ditto.
    """

    def __init__(
        self,
        config: Input,
        open_device: Callable[[str], Device] = open_device,
        ask_clock: Callable[[int], bool] | None = None,
        switch_is_on: Callable[[int, int], bool] | None = None,
    ) -> None:
        self.name = f"input:{config.device.rpartition('/')[2]}:{config.key}"
        self._config = config
        self._open_device = open_device
        self._ask_clock = ask_clock or stamp_monotonic
        self._switch_is_on = switch_is_on or switch_is_on_now

    async def run(
        self, edge: Callable[[Edge], None], *, task_status: trio.TaskStatus[bool] = trio.TASK_STATUS_IGNORED
    ) -> None:
        await trio.lowlevel.checkpoint()
        errors = functools.partial(device_errors, self._config.device, "input.device")
        with errors():
            key = key_code(self._config.key)
        if key is None:
            raise ControlRefused(f"input.key: {self._config.key!r} is no key that the kernel knows")
        with errors():
            device = self._open_device(self._config.device)
        try:
            await self._follow(device, key, errors, edge, task_status)
        finally:
            device.close()  # ungrabs

    async def _follow(
        self,
        device: Device,
        key: tuple[int, int],
        errors: Callable[[], AbstractContextManager[None]],
        edge: Callable[[Edge], None],
        task_status: trio.TaskStatus[bool],
    ) -> None:
        kind, code = key
        if code not in device.capabilities().get(kind, []):
            raise ControlRefused(f"input.key: {self._config.device} has no {self._config.key}")
        with errors():
            if self._config.grab:
                self._grab(device)
            stamped = self._ask_clock(device.fd)

        def is_down() -> bool:
            # The kernel takes what this answer holds out of the queue.
            with errors():
                return self._switch_is_on(device.fd, code) if kind == EV_SW else code in device.active_keys()

        task_status.started(is_down())
        dropping = False
        while True:
            with errors():
                await trio.lowlevel.wait_readable(device.fd)
                try:
                    events = list(device.read())
                except BlockingIOError:
                    continue
            if not events:
                raise ControlLost(f"{self._config.device}: hung up")
            for event in events:
                at_ns = event.sec * NS + event.usec * 1000 if stamped else time.monotonic_ns()
                if event.type == EV_SYN:
                    if event.code == SYN_DROPPED:
                        dropping = True
                    elif event.code == SYN_REPORT and dropping:
                        dropping = False
                        edge(Edge(is_down(), at_ns, lost=1))  # at least one: nobody knows how many
                elif not dropping and event.type == kind and event.code == code and event.value != AUTOREPEAT:
                    edge(Edge(event.value != 0, at_ns))

    def _grab(self, device: Device) -> None:
        try:
            device.grab()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            raise ControlLost(
                f"{self._config.device} is grabbed by another program; input.grab = false shares it"
            ) from error


def stamp_monotonic(fd: int) -> bool:
    """Ask the kernel to stamp this descriptor's events with CLOCK_MONOTONIC; False if it can't (before Linux 3.4)."""
    try:
        fcntl.ioctl(fd, _EVIOCSCLOCKID, struct.pack("i", time.CLOCK_MONOTONIC))
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTTY):
            raise
        return False
    return True


def switch_is_on_now(fd: int, code: int) -> bool:
    """The position of an SW_… switch. Raises OSError."""
    bits = int.from_bytes(fcntl.ioctl(fd, _EVIOCGSW_8, bytes(8)), "little")
    return bool(bits >> code & 1)
