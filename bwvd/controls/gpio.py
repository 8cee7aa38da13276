"""A contact on a GPIO line, by the kernel's character device (libgpiod v2).

The kernel debounces the line and stamps each edge with CLOCK_MONOTONIC; where it debounces by a timer, the stamp is
taken when the level has been steady, so it is `debounce_ms` late at most. That a real chip keeps to what the tests
here feed through an eventfd is shown by the machine tests alone.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import trio

from bwvd.config.schema import Gpio
from bwvd.controls.device_errors import device_errors
from bwvd.controls.ports import Edge
from bwvd.service.gpio_chip import chip_path

if TYPE_CHECKING:
    import gpiod

# The kernel's queue of edges; it drops the oldest when it is full, and the sequence numbers tell. This is a quarter of
# a second of the fastest storm that a 2 ms debounce lets through; more only delays the news.
QUEUE_EDGES = 64
# Seen with Linux 6.1: a chip that is pulled out wakes nobody who waits for its edges; asking for a level gets ENODEV.
LOOK_S = 2.0


class InputLine(Protocol):
    """One requested line: what this adapter uses of `gpiod.LineRequest`, and the offset that belongs to it."""

    @property
    def fd(self) -> int: ...

    def is_down(self) -> bool: ...

    def read(self) -> list[tuple[bool, int, int]]:
        """The edges that are waiting: (down, CLOCK_MONOTONIC ns, sequence number from 1). Never blocks."""
        ...

    def release(self) -> None: ...


class GpioContact:
    """`bwvd.controls.ports.Contact` on a GPIO line.

    Args:
        config: where the line is and how it is wired.
        open_line: asks the kernel for the line; raises OSError or ValueError. Tests put their own here.
        monotonic_ns: CLOCK_MONOTONIC, the clock of the edges.
    """

    def __init__(
        self, config: Gpio, monotonic_ns: Callable[[], int], open_line: Callable[[Gpio], InputLine] | None = None
    ) -> None:
        self.name = f"gpio:{config.line}" if isinstance(config.line, str) else f"gpio:{_chip(config)}:{config.line}"
        self._config = config
        self._monotonic_ns = monotonic_ns
        self._open_line = open_line or request_line

    async def run(
        self, edge: Callable[[Edge], None], *, task_status: trio.TaskStatus[bool] = trio.TASK_STATUS_IGNORED
    ) -> None:
        await trio.lowlevel.checkpoint()
        errors = functools.partial(device_errors, f"{self._config.chip} line {self._config.line}", "gpio")
        with errors():
            line = self._open_line(self._config)
        try:
            with errors():
                down = line.is_down()
            opened_ns = self._monotonic_ns()
            task_status.started(down)
            last = 0
            while True:
                with errors():
                    edges = line.read()
                for is_down, at_ns, number in edges:
                    lost, last = number - last - 1, number
                    if at_ns > opened_ns:  # the position holds what came before
                        edge(Edge(is_down, at_ns, lost))
                with errors(), trio.move_on_after(LOOK_S) as quiet:
                    await trio.lowlevel.wait_readable(line.fd)
                if quiet.cancelled_caught:
                    with errors():
                        line.is_down()  # for its error alone
        finally:
            line.release()


def _chip(config: Gpio) -> str:
    return config.chip.rpartition("/")[2]


def request_line(config: Gpio) -> InputLine:
    """Ask the kernel for the line, both edges, debounced. Raises OSError (absent, busy, forbidden) or ValueError."""
    import gpiod
    from gpiod.line import Bias, Clock, Direction
    from gpiod.line import Edge as Edges

    bias = {
        "as-is": Bias.AS_IS,
        "pull-up": Bias.PULL_UP,
        "pull-down": Bias.PULL_DOWN,
        "disabled": Bias.DISABLED,
    }[config.bias]
    settings = gpiod.LineSettings(
        direction=Direction.INPUT,
        edge_detection=Edges.BOTH,
        bias=bias,
        active_low=config.active_low,
        debounce_period=datetime.timedelta(milliseconds=config.debounce_ms),
        event_clock=Clock.MONOTONIC,
    )
    with gpiod.Chip(chip_path(config.chip)) as chip:
        offset = chip.line_offset_from_id(config.line)
        request = chip.request_lines({offset: settings}, consumer="bwvd", event_buffer_size=QUEUE_EDGES)
    return _RequestedLine(request, offset)


class _RequestedLine:
    def __init__(self, request: gpiod.LineRequest, offset: int) -> None:
        from gpiod import EdgeEvent
        from gpiod.line import Value

        self._request = request
        self._offset = offset
        self._rising = EdgeEvent.Type.RISING_EDGE  # of the logical level: active_low is the kernel's business
        self._active = Value.ACTIVE

    @property
    def fd(self) -> int:
        return self._request.fd

    def is_down(self) -> bool:
        return self._request.get_value(self._offset) is self._active

    def read(self) -> list[tuple[bool, int, int]]:
        if not self._request.wait_edge_events(0):
            return []
        return [
            (event.event_type is self._rising, event.timestamp_ns, event.line_seqno)
            for event in self._request.read_edge_events()
        ]

    def release(self) -> None:
        self._request.release()
