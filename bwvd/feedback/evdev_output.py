"""Outputs of an input device: its LEDs, its bell, its force feedback (EV_LED, EV_SND, EV_FF)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from bwvd.feedback.ports import IndicatorLost
from bwvd.service.evdev_library import evdev

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
        self._device: Any = evdev().InputDevice(path)
        try:
            self._capabilities: dict[int, list[int]] = self._device.capabilities(absinfo=False)
        except BaseException:
            self._device.close()
            raise

    def can(self, event_type: int, code: int) -> bool:
        return code in self._capabilities.get(event_type, [])

    def write(self, event_type: int, code: int, value: int) -> None:
        try:
            self._device.write(event_type, code, value)
        except evdev().EvdevError as error:  # it could only be opened for reading
            raise PermissionError(13, "may not be written to") from error

    def upload_rumble(self, length_ms: int) -> int:
        ecodes, ff = evdev("ecodes"), evdev("ff")
        rumble = ff.EffectType(ff_rumble_effect=ff.Rumble(strong_magnitude=0xFFFF, weak_magnitude=0xFFFF))
        effect = ff.Effect(ecodes.FF_RUMBLE, -1, 0, ff.Trigger(0, 0), ff.Replay(length_ms, 0), rumble)
        return int(self._device.upload_effect(effect))

    def close(self) -> None:
        self._device.close()


class InputLamp:
    """A lamp on an input device: `set(level)` writes one event."""

    # Kept as numbers of <linux/input-event-codes.h>, so that evdev is only imported where a device is opened.
    EV_LED, EV_SND, EV_FF = 0x11, 0x12, 0x15
    SND_TONE = 0x02
    FF_RUMBLE = 0x50

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
