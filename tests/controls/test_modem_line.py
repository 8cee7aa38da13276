"""Modem lines: presses between two looks, bounces, drivers that do not count, and what has no such lines."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from bwvd.clock import NS
from bwvd.config.schema import Serial
from bwvd.controls.contact_actor import probe
from bwvd.controls.modem_line import ModemContact
from bwvd.controls.ports import ControlLost, ControlRefused, Edge
from tests.support.controls_kernel import ModemKernel


def now_ns() -> int:
    return round(trio.current_time() * NS)


@asynccontextmanager
async def edges_of(kernel: ModemKernel) -> AsyncIterator[list[Edge]]:
    edges: list[Edge] = []
    contact = ModemContact(Serial(button="cts"), now_ns, kernel.open_port)
    async with trio.open_nursery() as nursery:
        assert await nursery.start(contact.run, edges.append) is False
        await trio.sleep(1)
        yield edges
        await trio.sleep(1)
        nursery.cancel_scope.cancel()


async def test_a_press_between_two_looks_is_not_lost(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 5: the driver has counted it."""
    kernel = ModemKernel()
    async with edges_of(kernel) as edges:
        kernel.move(down=True)
        kernel.move(down=False)
    assert [(edge.down, edge.lost) for edge in edges] == [(False, 2)]


async def test_bounces_are_no_lost_edges(autojump_clock: trio.testing.MockClock) -> None:
    kernel = ModemKernel()
    async with edges_of(kernel) as edges:
        for down in (True, False, True):
            kernel.move(down)
        await trio.sleep(0.02)
        for down in (False, True):
            kernel.move(down)
    assert [(edge.down, edge.lost) for edge in edges] == [(True, 0)]


async def test_a_driver_that_does_not_count(autojump_clock: trio.testing.MockClock) -> None:
    kernel = ModemKernel(counts=False)
    async with edges_of(kernel) as edges:
        kernel.move(down=True)
        await trio.sleep(0.1)
        kernel.move(down=False)
    assert [edge.down for edge in edges] == [True, False]


async def test_a_ring_line_that_counts_only_its_end(autojump_clock: trio.testing.MockClock) -> None:
    kernel = ModemKernel()
    async with edges_of(kernel) as edges:
        kernel.down = True  # the level is seen, the counter stands
        await trio.sleep(0.1)
        kernel.move(down=False)
        await trio.sleep(1)
        kernel.counter += 1  # a press between two looks counts once
    assert [(edge.down, edge.lost) for edge in edges] == [(True, 0), (False, 0), (False, 1)]


async def test_a_line_at_rest_is_looked_at_less_often(autojump_clock: trio.testing.MockClock) -> None:
    looks = 0

    class Counting(ModemKernel):
        def is_down(self) -> bool:
            nonlocal looks
            looks += 1
            return super().is_down()

    async with edges_of(Counting()):
        await trio.sleep(98)
    assert 2000 <= looks <= 2200
    looks = 0
    async with edges_of(Counting(counts=False)):
        await trio.sleep(98)
    assert looks >= 4900


async def test_a_pseudo_terminal_has_no_such_lines() -> None:
    master, slave = os.openpty()
    port = os.ttyname(slave)
    try:
        with pytest.raises(ControlRefused) as raised:
            await probe(ModemContact(Serial(port=port, pty=True, button="ri"), now_ns))
        assert str(raised.value) == f"serial.button: {port} has no RI line"
    finally:
        os.close(master)
        os.close(slave)


async def test_what_is_no_port_is_said_in_one_line(tmp_path: Path) -> None:
    cases = {
        str(tmp_path): (ControlRefused, f"serial.port: {tmp_path} is not a serial port"),
        __file__: (ControlRefused, f"serial.port: {__file__} is not a serial port"),
        "/dev/null": (ControlRefused, "serial.button: /dev/null: Inappropriate ioctl for device"),
        "/nonexistent": (ControlLost, "/nonexistent: No such file or directory"),
    }
    for port, (error, text) in cases.items():
        with pytest.raises(error) as raised:
            await probe(ModemContact(Serial(port=port, button="cts"), now_ns))
        assert str(raised.value) == text
