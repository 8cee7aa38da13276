"""The adapters on a real kernel's GPIO lines and input devices, simulated by the kernel itself.

`test_adapters.py` runs these in the machine. They also run as they are, as root, where gpio-sim and uinput are:

    pytest -m machine tests/machine/adapters.py
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import gpiod
import pytest
import trio

from bwvd.config.schema import Gpio, Input
from bwvd.controls.contact_actor import probe
from bwvd.controls.discovery import list_controls
from bwvd.controls.gpio import QUEUE_EDGES, GpioContact
from bwvd.controls.input import InputContact
from bwvd.controls.ports import Contact, ControlLost, Edge
from bwvd.testing.conformance.contact import CHECKS, Subject
from tests.support.controls_machine import GpioSim, UinputKey, gpio_sim, uinput_key

pytestmark = pytest.mark.machine

MS = 1_000_000
MORE_THAN_THE_QUEUE = 200  # edges; libevdev's queue for a client is 64 events at least


@pytest.fixture
def sim(pytestconfig: pytest.Config) -> Iterator[GpioSim]:
    if "machine" not in str(pytestconfig.getoption("markexpr")):
        pytest.skip("needs a machine to itself: pytest -m machine")
    with gpio_sim() as made:
        yield made


@pytest.fixture
def key(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[UinputKey]:
    if "machine" not in str(pytestconfig.getoption("markexpr")):
        pytest.skip("needs a machine to itself: pytest -m machine")
    with uinput_key(tmp_path) as made:
        yield made


def _storm(move: Callable[[bool], None]) -> Callable[[int], None]:
    """Lose edges as a kernel does: more of them than its queue holds, while nobody reads."""

    def lose(_edges: int) -> None:
        for _ in range(MORE_THAN_THE_QUEUE // 2):
            move(True)
            move(False)

    return lose


def _open_descriptors(path: Path) -> int:
    target = path.resolve()
    return sum(Path("/proc/self/fd", name).resolve() == target for name in os.listdir("/proc/self/fd"))  # noqa: PTH208  quick, and a test


def gpio_subject(sim: GpioSim) -> Subject:
    def is_open() -> bool:
        path = Path("/dev") / sim.chip
        if not path.exists():
            return False
        with gpiod.Chip(str(path)) as chip:
            return chip.get_line_info(0).used

    # as-is: the simulator takes the request's bias for the hand that pulls at the line
    config = Gpio(chip=sim.label, line=sim.line, debounce_ms=0, bias="as-is")
    contact = GpioContact(config, time.monotonic_ns)
    return Subject(contact, sim.move, _storm(sim.move), sim.unplug, sim.plug, is_open, time.monotonic_ns)


def input_subject(key: UinputKey) -> Subject:
    contact = InputContact(Input(device=str(key.path)))
    opened = _open_descriptors(key.path)

    def is_open() -> bool:
        return key.path.exists() and _open_descriptors(key.path) > opened

    return Subject(contact, key.move, _storm(key.move), key.unplug, key.plug, is_open, time.monotonic_ns)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_a_gpio_line(check: Callable[[Subject], Awaitable[None]], sim: GpioSim) -> None:
    await check(gpio_subject(sim))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_an_input_key(check: Callable[[Subject], Awaitable[None]], key: UinputKey) -> None:
    await check(input_subject(key))


@asynccontextmanager
async def edges_of(contact: Contact) -> AsyncIterator[list[Edge]]:
    edges: list[Edge] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(contact.run, edges.append)
        yield edges
        await trio.sleep(0.5)
        nursery.cancel_scope.cancel()


async def test_the_kernel_debounces_and_stamps(sim: GpioSim) -> None:
    contact = GpioContact(Gpio(chip=f"/dev/{sim.chip}", line=0, debounce_ms=50), time.monotonic_ns)
    async with edges_of(contact) as edges:
        pressed_ns = time.monotonic_ns()
        for down in (True, False, True, False, True):
            sim.move(down)
        settled_ns = time.monotonic_ns()
        await trio.sleep(0.5)
        sim.move(False)
    assert [edge.down for edge in edges] == [True, False]
    assert pressed_ns <= edges[0].at_ns <= settled_ns + 100 * MS


async def test_a_storm_overflows_the_kernels_queue_and_is_told(sim: GpioSim) -> None:
    contact = GpioContact(Gpio(chip=f"/dev/{sim.chip}", line=0, debounce_ms=0), time.monotonic_ns)
    async with edges_of(contact) as edges:
        _storm(sim.move)(0)
    assert len(edges) <= QUEUE_EDGES
    assert sum(edge.lost for edge in edges) > 0  # how many is the kernel's affair: it joins edges that come too fast


async def test_a_line_that_somebody_holds(sim: GpioSim) -> None:
    contact = GpioContact(Gpio(chip=sim.label, line=sim.line), time.monotonic_ns)
    with gpiod.request_lines(f"/dev/{sim.chip}", {0: None}, consumer="somebody"):
        with pytest.raises(ControlLost, match=r"bwvd-sim line record: Device or resource busy$"):
            await probe(contact)
        (found,) = [one for one in list_controls() if one.where.startswith(f"/dev/{sim.chip} line 0")]
        assert found.problem == "in use by somebody"
    assert await probe(contact) is False


async def test_a_grabbed_key_is_nobody_elses(key: UinputKey) -> None:
    contact = InputContact(Input(device=str(key.path)))
    async with edges_of(contact):
        with pytest.raises(ControlLost, match="grabbed by another program"):
            await probe(InputContact(Input(device=str(key.path))))
        assert await probe(InputContact(Input(device=str(key.path), grab=False))) is False


async def test_the_position_of_a_switch(key: UinputKey) -> None:
    contact = InputContact(Input(device=str(key.path), key="SW_MUTE_DEVICE", mode="switch"))
    assert await probe(contact) is False
    key.write(5, 14, 1)
    assert await probe(contact) is True
    async with edges_of(contact) as edges:
        key.write(5, 14, 0)
    assert [edge.down for edge in edges] == [False]


def test_both_are_listed_with_what_to_write(sim: GpioSim, key: UinputKey) -> None:
    found = list_controls()
    assert f'[[gpio]]\nchip = "/dev/{sim.chip}"\nline = "record"' in [one.toml for one in found]
    assert "bwvd key" in [one.what for one in found if "KEY_RECORD" in one.toml]
