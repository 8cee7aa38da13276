"""The indicators of a configuration, ready to be opened."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bwvd.config.schema import Config
from bwvd.feedback.haptic import haptic_name, open_haptic
from bwvd.feedback.led import led_name, open_led
from bwvd.feedback.ports import Indicator
from bwvd.feedback.tone import open_tone, tone_name


def indicators(config: Config, *, sysfs: Path = Path("/sys")) -> list[Indicator]:
    """Every configured light, motor and sounder; none is opened."""
    return [
        *(Indicator(led_name(led), "light", led.colour, partial(open_led, led, sysfs=sysfs)) for led in config.led),
        *(Indicator(haptic_name(haptic), "haptic", "", partial(open_haptic, haptic)) for haptic in config.haptic),
        *(Indicator(tone_name(tone), "tone", "", partial(open_tone, tone, sysfs=sysfs)) for tone in config.tone),
    ]
