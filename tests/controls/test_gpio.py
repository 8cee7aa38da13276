"""GPIO lines: what is asked of libgpiod, what is refused, and what becomes of the kernel's edges."""

from __future__ import annotations

import datetime
import errno
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gpiod
import pytest
import trio
from gpiod.line import Bias, Clock, Direction, Value
from gpiod.line import Edge as Edges

from bwvd.config.schema import Gpio
from bwvd.controls.contact_actor import probe
from bwvd.controls.gpio import GpioContact, request_line
from bwvd.controls.ports import ControlLost, ControlRefused, Edge
from bwvd.service.gpio_chip import chip_path
from tests.support.controls_kernel import GpioKernel


class FakeRequest:
    """What `Chip.request_lines` gives, on an eventfd."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.waiting: list[gpiod.EdgeEvent] = []
        self.value = Value.INACTIVE

    def get_value(self, line: int) -> Value:
        assert line == 17
        return self.value

    def wait_edge_events(self, timeout: float) -> bool:
        assert timeout == 0
        return bool(self.waiting)

    def read_edge_events(self) -> list[gpiod.EdgeEvent]:
        os.eventfd_read(self.fd)
        events, self.waiting = self.waiting, []
        return events

    def push(self, kind: gpiod.EdgeEvent.Type, at_ns: int, number: int) -> None:
        self.waiting.append(gpiod.EdgeEvent(kind.value, at_ns, 17, 1000 + number, number))
        os.eventfd_write(self.fd, 1)

    def release(self) -> None:
        os.close(self.fd)
        self.fd = -1


class FakeChip:
    """A chip with one line, and the last thing that was asked of it."""

    label = "pinctrl-test"
    request: FakeRequest
    asked: dict[str, Any]
    closed = 0

    def __init__(self, path: str) -> None:
        if "gpiochip" not in path:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        self.path = path

    def __enter__(self) -> FakeChip:
        return self

    def __exit__(self, *_: object) -> None:
        FakeChip.closed += 1

    def get_info(self) -> SimpleNamespace:
        return SimpleNamespace(label=self.label if self.path.endswith("1") else "another", name="", num_lines=28)

    def line_offset_from_id(self, line: int | str) -> int:
        if line in (17, "record"):
            return 17
        raise (ValueError if isinstance(line, int) else FileNotFoundError)("no such line")

    def request_lines(self, config: dict[int, gpiod.LineSettings], **more: object) -> FakeRequest:
        FakeChip.asked = {"config": config, **more}
        return FakeChip.request


@pytest.fixture
def chip(monkeypatch: pytest.MonkeyPatch) -> type[FakeChip]:
    monkeypatch.setattr(gpiod, "Chip", FakeChip)
    FakeChip.request = FakeRequest()
    return FakeChip


@pytest.mark.parametrize("line", [17, "record"])
def test_the_kernel_is_asked_for_both_edges_debounced_and_stamped_monotonic(
    chip: type[FakeChip], line: int | str
) -> None:
    request_line(Gpio(line=line, debounce_ms=30, bias="pull-down", active_low=False)).release()
    settings = chip.asked["config"][17]
    assert chip.asked["consumer"] == "bwvd"
    assert settings == gpiod.LineSettings(
        direction=Direction.INPUT,
        edge_detection=Edges.BOTH,
        bias=Bias.PULL_DOWN,
        active_low=False,
        debounce_period=datetime.timedelta(milliseconds=30),
        event_clock=Clock.MONOTONIC,
    )


async def test_edges_come_with_the_kernels_time_and_what_it_dropped(chip: type[FakeChip]) -> None:
    edges: list[Edge] = []
    contact = GpioContact(Gpio(), lambda: 100)
    rising, falling = gpiod.EdgeEvent.Type.RISING_EDGE, gpiod.EdgeEvent.Type.FALLING_EDGE
    chip.request.push(rising, 90, 1)  # before the position was read
    chip.request.value = Value.ACTIVE
    async with trio.open_nursery() as nursery:
        assert await nursery.start(contact.run, edges.append) is True
        chip.request.push(falling, 200, 2)
        chip.request.push(rising, 300, 6)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert edges == [Edge(False, 200, 0), Edge(True, 300, 3)]
    assert chip.request.fd == -1


@pytest.mark.parametrize(
    ("config", "error", "text"),
    [
        (Gpio(chip="/nonexistent"), ControlLost, "/nonexistent line 17: No such file or directory"),
        (Gpio(chip="no-such-label"), ControlLost, "no-such-label line 17: no GPIO chip is called 'no-such-label'"),
        (Gpio(chip=__file__), ControlRefused, f"gpio: {__file__} line 17: Inappropriate ioctl for device"),
        (Gpio(chip="/x\0"), ControlRefused, "gpio: /x\0 line 17: embedded null character"),
    ],
)
async def test_what_is_no_chip_is_said_in_one_line(config: Gpio, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as raised:
        await probe(GpioContact(config, time.monotonic_ns))
    assert str(raised.value) == text


@pytest.mark.parametrize(("line", "error"), [(99, ControlRefused), ("nobody", ControlLost)])
async def test_a_line_that_the_chip_does_not_have(
    chip: type[FakeChip], line: int | str, error: type[Exception]
) -> None:
    with pytest.raises(error, match=f"gpiochip0 line {line}: no such line"):
        await probe(GpioContact(Gpio(line=line), time.monotonic_ns))


def test_a_chip_is_found_by_file_and_by_label(chip: type[FakeChip], tmp_path: Path) -> None:
    for name in ("gpiochip0", "gpiochip1"):
        (tmp_path / name).touch()
    assert chip_path("gpiochip0", tmp_path) == str(tmp_path / "gpiochip0")
    assert chip_path("pinctrl-test", tmp_path) == str(tmp_path / "gpiochip1")
    assert chip_path("/dev/gpiochip7", tmp_path) == "/dev/gpiochip7"
    with pytest.raises(FileNotFoundError, match="no GPIO chip is called 'other'"):
        chip_path("other", tmp_path)


async def test_probe_says_whether_it_is_down_and_lets_go() -> None:
    kernel = GpioKernel()
    kernel.move(down=True)
    assert await probe(GpioContact(Gpio(), time.monotonic_ns, kernel.open_line)) is True
    assert kernel.opened is None


def test_names_are_stable_and_tell_two_chips_apart() -> None:
    names = [
        GpioContact(Gpio(chip=chip, line=line), time.monotonic_ns).name
        for chip, line in (("/dev/gpiochip0", 17), ("/dev/gpiochip1", 17), ("/dev/gpiochip0", "record"))
    ]
    assert names == ["gpio:gpiochip0:17", "gpio:gpiochip1:17", "gpio:record"]
