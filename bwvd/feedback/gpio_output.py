"""A GPIO line that switches something: a light, a motor, a sounder with its own oscillator."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from bwvd.feedback.ports import IndicatorLost
from bwvd.service.gpio_chip import chip_path


class OutputLine(Protocol):
    """One requested output line."""

    def set(self, on: bool) -> None:
        """Raises OSError."""
        ...

    def release(self) -> None: ...


RequestLine = Callable[[str, int | str, bool], OutputLine]
"""Takes an output line, inactive: (chip, line, active_low). Raises OSError or ValueError as `KernelLine`."""


class KernelLine:
    """The kernel's line. Raises OSError (absent, in use, no right) or ValueError (no such line)."""

    def __init__(self, chip: str, line: int | str, active_low: bool) -> None:
        import gpiod  # here, because most installations have no GPIO light and need not pay for it
        from gpiod.line import Direction, Value

        self._line = line
        self._values = (Value.INACTIVE, Value.ACTIVE)
        self._request = gpiod.request_lines(
            chip_path(chip),
            consumer="bwvd",
            config={
                line: gpiod.LineSettings(direction=Direction.OUTPUT, active_low=active_low, output_value=Value.INACTIVE)
            },
        )

    def set(self, on: bool) -> None:
        self._request.set_value(self._line, self._values[on])

    def release(self) -> None:
        self._request.release()


class GpioLamp:
    """A lamp on a GPIO line. A sounder's frequency only means on: its own oscillator makes the tone."""

    def __init__(
        self,
        name: str,
        kind: str,
        colour: str,
        *,
        chip: str,
        line: int | str,
        active_low: bool,
        request: RequestLine = KernelLine,
    ) -> None:
        self.name = name
        self.kind = kind
        self.colour = colour
        self._where = f"{name}: line {line} of {chip}"
        try:
            self._line = request(chip, line, active_low)
        except (OSError, ValueError) as error:
            raise IndicatorLost(f"{self._where}: {_why(error)}") from error

    def set(self, level: int) -> None:
        try:
            self._line.set(level > 0)
        except OSError as error:
            raise IndicatorLost(f"{self._where}: {_why(error)}") from error

    def close(self) -> None:
        # A released line keeps its last level on most chips: off must be said before.
        with suppress(OSError):  # it is gone; nothing is left to switch off
            self._line.set(False)
        self._line.release()


def _why(error: OSError | ValueError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
