"""Input devices: which events count, what is refused, and what a full queue means."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from bwvd.config.schema import Input
from bwvd.controls.contact_actor import probe
from bwvd.controls.input import EV_KEY, EV_SW, EV_SYN, SYN_DROPPED, SYN_REPORT, InputContact, key_code, stamp_monotonic
from bwvd.controls.ports import ControlLost, ControlRefused, Edge
from tests.support.controls_kernel import KEY_RECORD, InputKernel

KEY_A = 30


def now_ns() -> int:
    return 5_000_000_000


def contact(kernel: InputKernel, config: Input | None = None) -> InputContact:
    return InputContact(config or Input(), kernel.open_device, kernel.ask_clock, kernel.switch_is_on)


@asynccontextmanager
async def edges_of(kernel: InputKernel, *, down: bool = False) -> AsyncIterator[list[Edge]]:
    """The edges of what is written inside the block, complete when it ends."""
    edges: list[Edge] = []
    async with trio.open_nursery() as nursery:
        assert await nursery.start(contact(kernel).run, edges.append) is down
        yield edges
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_only_the_key_counts_and_its_repetition_does_not() -> None:
    kernel = InputKernel(now_ns=now_ns)
    async with edges_of(kernel) as edges:
        kernel.write(
            (EV_KEY, KEY_A, 1),
            (EV_SYN, SYN_REPORT, 0),
            (EV_KEY, KEY_RECORD, 1),
            (EV_SYN, SYN_REPORT, 0),
            (EV_KEY, KEY_RECORD, 2),
            (EV_SYN, SYN_REPORT, 1),
            (EV_SW, KEY_RECORD, 1),
            (EV_KEY, KEY_RECORD, 0),
            (EV_SYN, SYN_REPORT, 0),
        )
    assert edges == [Edge(True, now_ns()), Edge(False, now_ns())]


async def test_a_full_queue_is_told_with_the_position_that_is_true_now() -> None:
    """Invariant 5: the events of the report that was cut off say nothing; the device does."""
    kernel = InputKernel(now_ns=now_ns)
    async with edges_of(kernel) as edges:
        kernel.down = True
        kernel.write(
            (EV_SYN, SYN_DROPPED, 0), (EV_KEY, KEY_RECORD, 0), (EV_SYN, SYN_REPORT, 0), (EV_KEY, KEY_RECORD, 0)
        )
    assert edges == [Edge(True, now_ns(), lost=1), Edge(False, now_ns())]


async def test_more_events_than_one_read_takes() -> None:
    kernel = InputKernel(now_ns=now_ns)
    async with edges_of(kernel) as edges:
        for index in range(500):
            kernel.move(down=index % 2 == 0)
    assert [edge.down for edge in edges] == [True, False] * 250


async def test_without_monotonic_stamps_the_time_of_reading_counts() -> None:
    """Invariant 9: a stamp of the wall clock is worth nothing."""
    kernel = InputKernel(now_ns=time.time_ns)
    kernel.stamps = False
    before_ns = time.monotonic_ns()
    async with edges_of(kernel) as edges:
        kernel.move(down=True)
    assert before_ns <= edges[0].at_ns <= time.monotonic_ns()


async def test_the_device_is_grabbed_only_if_asked() -> None:
    for grab in (True, False):
        kernel = InputKernel()
        async with trio.open_nursery() as nursery:
            await nursery.start(contact(kernel, Input(grab=grab)).run, lambda _: None)
            assert kernel.opened is not None
            assert kernel.opened.grabbed is grab
            nursery.cancel_scope.cancel()


async def test_what_somebody_else_has_grabbed() -> None:
    kernel = InputKernel()
    kernel.grabbed_elsewhere = True
    with pytest.raises(ControlLost, match=r"^/dev/input/event0 is grabbed by another program; input.grab = false"):
        await probe(contact(kernel))
    assert kernel.opened is None


async def test_a_key_that_is_down_already() -> None:
    kernel = InputKernel()
    kernel.down = True
    assert await probe(contact(kernel)) is True


@pytest.mark.parametrize(
    ("config", "error", "text"),
    [
        (Input(key="KEY_NO_SUCH"), ControlRefused, "input.key: 'KEY_NO_SUCH' is no key that the kernel knows"),
        (Input(key="EV_KEY"), ControlRefused, "input.key: 'EV_KEY' is no key that the kernel knows"),
        (Input(device="/nonexistent"), ControlLost, "/nonexistent: No such file or directory"),
        (Input(device="/dev/null"), ControlRefused, "input.device: /dev/null: Inappropriate ioctl for device"),
        (Input(device=__file__), ControlRefused, f"input.device: {__file__}: Inappropriate ioctl for device"),
    ],
)
async def test_what_can_not_be_used_is_said_in_one_line(config: Input, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as raised:
        await probe(InputContact(config))
    assert str(raised.value) == text


async def test_a_device_without_the_key() -> None:
    kernel = InputKernel()
    with pytest.raises(ControlRefused, match=r"^input.key: /dev/input/event0 has no KEY_PLAY$"):
        await probe(contact(kernel, Input(key="KEY_PLAY")))
    assert kernel.opened is None


def test_names_of_keys_buttons_and_switches() -> None:
    assert key_code("KEY_RECORD") == (EV_KEY, KEY_RECORD)
    assert key_code("BTN_0") == (EV_KEY, 0x100)
    assert key_code("SW_MUTE_DEVICE") == (EV_SW, 14)
    assert key_code("ABS_X") is None


def test_the_clock_is_asked_with_an_ioctl_that_pipes_do_not_know() -> None:
    read, write = os.pipe()
    try:
        assert stamp_monotonic(read) is False
    finally:
        os.close(read)
        os.close(write)
