"""The kernel's input devices (evdev): for keys that are read, and for lamps, sounders and motors that are written to.

The few calls of <linux/input.h> that a camera needs, so that no library has to be compiled on a board.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from typing import NamedTuple

_EVENT = struct.Struct("@llHHi")  # struct input_event: seconds, microseconds, type, code, value
_EVENTS_A_READ = 64  # as many as the kernel keeps for a reader who is slow

EV_KEY, EV_SW, EV_LED, EV_SND, EV_FF = 0x01, 0x05, 0x11, 0x12, 0x15
FF_RUMBLE = 0x50
FULL = 0xFFFF  # the magnitude of an effect

# struct ff_effect: type, id, direction, trigger (2), replay (2), then a union, which holds a pointer and begins where
# one may lie; its largest member is struct ff_periodic_effect.
_EFFECT_HEAD = struct.Struct("@HhHHHHH0P")
_EFFECT_UNION = struct.Struct("@HHhhHHHHHIP")
_EFFECT_SIZE = _EFFECT_HEAD.size + _EFFECT_UNION.size


def _request(direction: int, number: int, size: int) -> int:
    """_IOC('E', …) of <asm-generic/ioctl.h>, which ARM and x86 share; `direction`: 1 = write, 2 = read."""
    return direction << 30 | size << 16 | ord("E") << 8 | number


_EVIOCSFF = _request(1, 0x80, _EFFECT_SIZE)
_EVIOCGRAB = _request(1, 0x90, 4)


class InputEvent(NamedTuple):
    """One `struct input_event`, stamped with the clock that was asked for; the wall clock where none was."""

    sec: int
    usec: int
    type: int
    code: int
    value: int


class InputDevice:
    """An open input device: for reading and writing where it may be written to, else for reading.

    Every method may raise OSError; none blocks.

    Raises: OSError, if it can't be opened, or (ENOTTY) is no input device.
    """

    def __init__(self, path: str) -> None:
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        self.writable = True
        try:
            self.fd = os.open(path, os.O_RDWR | flags)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            self.fd = os.open(path, os.O_RDONLY | flags)
            self.writable = False
        try:
            # Of the types, not of each type's codes: a device that is no input device knows none of these requests.
            self._types = self._bits(_request(2, 0x20, 8), 8)
        except BaseException:
            os.close(self.fd)
            raise

    def read(self) -> list[InputEvent]:
        """What waits, at most some; [] at the end of the device. Raises BlockingIOError where nothing waits."""
        return read_events(self.fd)

    def active_keys(self) -> list[int]:
        """The codes of the keys that are down; the kernel takes their waiting events out of the queue."""
        return self._bits(_request(2, 0x18, 96), 96)  # KEY_CNT = 0x300 bits

    def capabilities(self) -> dict[int, list[int]]:
        """The codes that it has of keys, switches, LEDs, sounds and effects, by event type."""
        # Of types that have no codes, as of the repetition of keys, the kernel answers EINVAL.
        kinds = [kind for kind in (EV_KEY, EV_SW, EV_LED, EV_SND, EV_FF) if kind in self._types]
        return {kind: self._bits(_request(2, 0x20 + kind, 96), 96) for kind in kinds}

    def grab(self) -> None:
        """Keep its events from everybody else, until it is closed. Raises OSError with EBUSY if another has done so."""
        fcntl.ioctl(self.fd, _EVIOCGRAB, 1)

    def write(self, event_type: int, code: int, value: int) -> None:
        """One event to the device, for its LEDs, its bell, its effects. Raises PermissionError where it only reads."""
        if not self.writable:
            raise PermissionError(errno.EACCES, "may not be written to")
        os.write(self.fd, _EVENT.pack(0, 0, event_type, code, value) + _EVENT.pack(0, 0, 0, 0, 0))

    def upload_rumble(self, length_ms: int) -> int:
        """Load an effect of full strength; returns its id. It is the device's until this is closed."""
        if not self.writable:
            raise PermissionError(errno.EACCES, "may not be written to")
        effect = bytearray(_EFFECT_SIZE)
        _EFFECT_HEAD.pack_into(effect, 0, FF_RUMBLE, -1, 0, 0, 0, length_ms, 0)
        struct.pack_into("@HH", effect, _EFFECT_HEAD.size, FULL, FULL)
        fcntl.ioctl(self.fd, _EVIOCSFF, effect)  # the kernel writes the id into it
        return int(_EFFECT_HEAD.unpack_from(effect)[1])

    def close(self) -> None:
        """Close it, which ungrabs, and stops its effects."""
        os.close(self.fd)

    def _bits(self, request: int, size: int) -> list[int]:
        number = int.from_bytes(fcntl.ioctl(self.fd, request, bytes(size)), "little")
        return [bit for bit in range(number.bit_length()) if number >> bit & 1]


def read_events(fd: int) -> list[InputEvent]:
    """`InputDevice.read` of a descriptor."""
    data = os.read(fd, _EVENTS_A_READ * _EVENT.size)
    return [InputEvent(*fields) for fields in _EVENT.iter_unpack(data)]
