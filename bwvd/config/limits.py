"""Limits of each number, and why they lie there."""

from __future__ import annotations

from typing import NamedTuple

from bwvd.config import schema as config


class Limit(NamedTuple):
    low: float
    high: float
    unit: str
    zero: bool = False  # 0 has a meaning of its own, outside of the range

    def allows(self, value: float) -> bool:
        """Not for NaN, which is in no range."""
        return self.low <= value <= self.high or (self.zero and value == 0)

    @property
    def text(self) -> str:
        zero = "0, or " if self.zero else ""
        unit = f" {self.unit}" if self.unit else ""
        return f"{zero}from {_number(self.low)} to {_number(self.high)}{unit}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


_DAY_S = 86_400
_KIB, _MIB, _GIB = 2**10, 2**20, 2**30

LIMITS: dict[type[config.Section], dict[str, Limit]] = {
    config.Video: {
        "rate": Limit(1, 240, "frames a second"),
        "bitrate": Limit(50_000, 200_000_000, "bits a second"),
        "keyframe_s": Limit(0.1, 60, "seconds"),
    },
    config.Audio: {
        "bitrate": Limit(8_000, 512_000, "bits a second"),
        "channels": Limit(1, 2, ""),
    },
    config.Loop: {
        "seconds": Limit(1, 3600, "seconds"),
        "max_bytes": Limit(64 * _KIB, 64 * _GIB, "bytes"),
    },
    config.Recording: {
        "segment_s": Limit(0.1, 60, "seconds"),  # it is also what a power cut may take
        "post_roll_s": Limit(0, 3600, "seconds"),
        "stop_confirm_s": Limit(0.5, 60, "seconds"),  # 0 would be a recording that no button can end
        "max_s": Limit(1, 7 * _DAY_S, "seconds", zero=True),
        "reminder_s": Limit(1, _DAY_S, "seconds", zero=True),
    },
    config.Storage: {
        "reserve_bytes": Limit(_MIB, 64 * _GIB, "bytes"),
        "backlog_bytes": Limit(64 * _KIB, 64 * _GIB, "bytes"),
        "journal_bytes": Limit(64 * _KIB, _GIB, "bytes"),
    },
    config.Gestures: {
        "hold_s": Limit(0.3, 60, "seconds"),
        "double_ms": Limit(50, 5000, "milliseconds"),
    },
    config.Gpio: {"debounce_ms": Limit(0, 1000, "milliseconds")},
    config.Serial: {"debounce_ms": Limit(0, 1000, "milliseconds")},
    config.Power: {
        "warn_percent": Limit(0, 100, "percent"),
        "critical_percent": Limit(0, 100, "percent"),
    },
    config.Gnss: {"every_s": Limit(0.2, 60, "seconds")},
    config.Offload: {
        "retain_days": Limit(1, 36_500, "days", zero=True),
        "max_mbit": Limit(0.1, 100_000, "megabits a second", zero=True),
    },
}

MAX_LINE = 65_535  # of a GPIO chip; the largest expanders have a few hundred lines

AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)

# What Linux' termios knows by name; other rates need a divisor that few drivers take.
BAUDS = (
    300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 500000, 576000, 921600,
    1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000,
)  # fmt: skip
