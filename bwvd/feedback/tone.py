"""Sounders: an input device with a bell, a PWM channel with a piezo, a GPIO line with a self-driven buzzer."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from bwvd.clock import NS
from bwvd.config.schema import Tone
from bwvd.feedback.evdev_output import InputLamp, KernelDevice, OpenDevice
from bwvd.feedback.gpio_output import GpioLamp, KernelLine, RequestLine
from bwvd.feedback.ports import IndicatorLost, Lamp
from bwvd.feedback.sysfs import Attributes, plain_name


class PwmTone:
    """A piezo on a PWM channel: `pwm` is "pwmchip0/1", channel 1 of chip 0 under /sys/class/pwm."""

    kind = "tone"
    colour = ""

    def __init__(self, name: str, *, pwm: str, sysfs: Path) -> None:
        self.name = name
        chip_name, _, channel = pwm.partition("/")
        channel = channel.removeprefix("pwm")
        if not (channel.isascii() and channel.isdecimal()):
            raise IndicatorLost(f"{name}: {pwm!r} is not of the form pwmchip0/0")
        folder = sysfs / "class/pwm" / plain_name(chip_name, name)
        chip = Attributes(folder, name)
        if not chip.has(f"pwm{channel}"):
            chip.write("export", channel)
        # Fresh from the export its files may still be root's alone, until udev has handed them over: then this raises,
        # and the next opening finds them.
        self._pwm = Attributes(folder / f"pwm{channel}", name)
        self._period_ns = self._number("period")
        self._on = self._number("enable") > 0
        self.set(0)

    def set(self, level: int) -> None:
        if level <= 0:
            if self._on:
                self._pwm.write("enable", 0)
                self._on = False
            return
        period_ns = NS // level
        half_ns = period_ns // 2
        # The kernel refuses any moment at which the duty cycle is longer than the period, or the period is 0.
        if period_ns > self._period_ns:
            self._pwm.write("period", period_ns)
            self._period_ns = period_ns
            self._pwm.write("duty_cycle", half_ns)
        else:
            self._pwm.write("duty_cycle", half_ns)
            self._pwm.write("period", period_ns)
            self._period_ns = period_ns
        if not self._on:
            self._pwm.write("enable", 1)
            self._on = True

    def close(self) -> None:
        with suppress(IndicatorLost):  # it is gone; nothing is left to silence
            self.set(0)

    def _number(self, attribute: str) -> int:
        text = self._pwm.read(attribute)
        if not text.isdecimal():
            raise IndicatorLost(f"{self.name}: {attribute} is {text!r}")
        return int(text)


def tone_name(tone: Tone) -> str:
    """The name of a configured sounder in faults and logs."""
    if tone.device:
        return f"tone:{Path(tone.device).name}"
    return f"tone:{tone.pwm}" if tone.pwm else f"tone:{Path(tone.chip).name}:{tone.line}"


def open_tone(
    tone: Tone, *, sysfs: Path = Path("/sys"), request: RequestLine = KernelLine, opener: OpenDevice = KernelDevice
) -> Lamp:
    """The sounder that is configured, silent. Raises IndicatorLost."""
    name = tone_name(tone)
    if tone.device:
        return InputLamp(
            name,
            "tone",
            "",
            device=tone.device,
            event_type=InputLamp.EV_SND,
            code=InputLamp.SND_TONE,
            what="bell with a pitch (SND_TONE)",
            opener=opener,
        )
    if tone.pwm:
        return PwmTone(name, pwm=tone.pwm, sysfs=sysfs)
    return GpioLamp(name, "tone", "", chip=tone.chip, line=tone.line, active_low=tone.active_low, request=request)
