"""Outputs of an input device: its LEDs, its bell, its force feedback (EV_LED, EV_SND, EV_FF)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from bwvd.feedback.ports import IndicatorLost
from bwvd.service.input_device import EV_FF, FF_RUMBLE, InputDevice

# The longest pattern step is far shorter. If this process dies the kernel stops the effect; if it hangs, this does.
RUMBLE_MS = 5000


class Device(Protocol):
    """An open input device, as far as it is used here. Every method may raise OSError."""

    def can(self, event_type: int, code: int) -> bool: ...
    def write(self, event_type: int, code: int, value: int) -> None: ...
    def upload_rumble(self, length_ms: int) -> int:
        """The id of a full-strength effect, kept in the device until it is closed."""
        ...

    def close(self) -> None: ...


OpenDevice = Callable[[str], Device]
"""Opens a path. Raises OSError."""


class KernelDevice:
    """The kernel's input device."""

    def __init__(self, path: str) -> None:
        self._device = InputDevice(path)
        try:
            self._capabilities = self._device.capabilities()
        except BaseException:
            self._device.close()
            raise

    def can(self, event_type: int, code: int) -> bool:
        return code in self._capabilities.get(event_type, [])

    def write(self, event_type: int, code: int, value: int) -> None:
        self._device.write(event_type, code, value)

    def upload_rumble(self, length_ms: int) -> int:
        return self._device.upload_rumble(length_ms)

    def close(self) -> None:
        self._device.close()


class InputLamp:
    """A lamp on an input device: `set(level)` writes one event."""

    # Numbers of <linux/input-event-codes.h>.
    EV_LED, EV_SND, EV_FF = 0x11, 0x12, EV_FF
    SND_TONE = 0x02
    FF_RUMBLE = FF_RUMBLE

    def __init__(
        self,
        name: str,
        kind: str,
        colour: str,
        *,
        device: str,
        event_type: int,
        code: int,
        what: str,
        opener: OpenDevice = KernelDevice,
    ) -> None:
        """`code` is what the device must have; for EV_FF the effect that is then played. Raises IndicatorLost."""
        self.name = name
        self.kind = kind
        self.colour = colour
        self._type = event_type
        self._code = code
        self._where = f"{name}: {device}"
        self._device: Device | None = None
        try:
            self._device = opener(device)
            able = self._device.can(event_type, code)
            if able and event_type == self.EV_FF:
                self._code = self._device.upload_rumble(RUMBLE_MS)
            if able:
                self._device.write(event_type, self._code, 0)
        except OSError as error:
            self._let_go()
            raise self._lost(error) from error
        if not able:
            self._let_go()
            raise IndicatorLost(f"{self._where}: has no {what}")

    def set(self, level: int) -> None:
        if self._device is None:
            raise IndicatorLost(f"{self._where}: is closed")
        value = level if self._type == self.EV_SND else int(level > 0)
        try:
            self._device.write(self._type, self._code, value)
        except OSError as error:
            raise self._lost(error) from error

    def close(self) -> None:
        with suppress(IndicatorLost):  # unplugged: it is off
            self.set(0)
        self._let_go()

    def _let_go(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            with suppress(OSError):  # unplugged while it was open: the kernel has closed its side
                device.close()

    def _lost(self, error: OSError) -> IndicatorLost:
        return IndicatorLost(f"{self._where}: {error.strerror or error}")
