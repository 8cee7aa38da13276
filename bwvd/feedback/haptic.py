"""Vibration motors: a GPIO line, or an input device with force feedback."""

from __future__ import annotations

from pathlib import Path

from bwvd.config.schema import Haptic
from bwvd.feedback.evdev_output import InputLamp, KernelDevice, OpenDevice
from bwvd.feedback.gpio_output import GpioLamp
from bwvd.feedback.ports import Lamp


def haptic_name(haptic: Haptic) -> str:
    """The name of a configured motor in faults and logs."""
    return f"haptic:{Path(haptic.device).name}" if haptic.device else f"haptic:{Path(haptic.chip).name}:{haptic.line}"


def open_haptic(haptic: Haptic, *, opener: OpenDevice = KernelDevice) -> Lamp:
    """The motor that is configured, still. Raises IndicatorLost."""
    name = haptic_name(haptic)
    if haptic.device:
        return InputLamp(
            name,
            "haptic",
            "",
            device=haptic.device,
            event_type=InputLamp.EV_FF,
            code=InputLamp.FF_RUMBLE,
            what="rumble (FF_RUMBLE)",
            opener=opener,
        )
    return GpioLamp(name, "haptic", "", chip=haptic.chip, line=haptic.line, active_low=haptic.active_low)
