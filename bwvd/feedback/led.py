"""Lights: a sysfs LED, a GPIO line, or an LED of an input device."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from bwvd.config.schema import Led
from bwvd.feedback.evdev_output import InputLamp, KernelDevice, OpenDevice
from bwvd.feedback.gpio_output import GpioLamp, KernelLine, RequestLine
from bwvd.feedback.ports import IndicatorLost, Lamp
from bwvd.feedback.sysfs import Attributes, plain_name

# <linux/input-event-codes.h>
LED_CODES = {
    "LED_NUML": 0x00,
    "LED_CAPSL": 0x01,
    "LED_SCROLLL": 0x02,
    "LED_COMPOSE": 0x03,
    "LED_KANA": 0x04,
    "LED_SLEEP": 0x05,
    "LED_SUSPEND": 0x06,
    "LED_MUTE": 0x07,
    "LED_MISC": 0x08,
    "LED_MAIL": 0x09,
    "LED_CHARGING": 0x0A,
}


class SysfsLed:
    """An LED of the kernel's LED class. Its trigger is taken off: the light is ours alone while it is open."""

    kind = "light"

    def __init__(self, name: str, colour: str, *, led: str, sysfs: Path) -> None:
        self.name = name
        self.colour = colour
        self._led = Attributes(sysfs / "class/leds" / plain_name(led, name), name)
        # The trigger in brackets is the one in force. "none" is only written where another is: that write needs a
        # right of its own, which a board with an idle LED need not give.
        if self._led.has("trigger") and "[none]" not in self._led.read("trigger"):
            self._led.write("trigger", "none")
        full = self._led.read("max_brightness")
        if not full.isdecimal() or int(full) < 1:
            raise IndicatorLost(f"{name}: max_brightness is {full!r}")
        self._full = int(full)
        self.set(0)

    def set(self, level: int) -> None:
        self._led.write("brightness", self._full if level else 0)

    def close(self) -> None:
        with suppress(IndicatorLost):  # it is gone; nothing is left to switch off
            self.set(0)


def led_name(led: Led) -> str:
    """The name of a configured light in faults and logs."""
    if led.name:
        return f"led:{led.name}"
    if led.device:
        return f"led:{Path(led.device).name}:{led.led}"
    return f"led:{Path(led.chip).name}:{led.line}"


def open_led(
    led: Led, *, sysfs: Path = Path("/sys"), request: RequestLine = KernelLine, opener: OpenDevice = KernelDevice
) -> Lamp:
    """The light that is configured, dark. Raises IndicatorLost."""
    name = led_name(led)
    if led.name:
        return SysfsLed(name, led.colour, led=led.name, sysfs=sysfs)
    if led.device:
        return InputLamp(
            name,
            "light",
            led.colour,
            device=led.device,
            event_type=InputLamp.EV_LED,
            code=LED_CODES[led.led],
            what=led.led,
            opener=opener,
        )
    return GpioLamp(name, "light", led.colour, chip=led.chip, line=led.line, active_low=led.active_low, request=request)
