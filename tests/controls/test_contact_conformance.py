"""Every contact does what `Contact` promises: the virtual one, and the adapters over stand-ins for their kernel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from bwvd.clock import NS
from bwvd.config.schema import Gpio, Input, Serial
from bwvd.controls.gpio import GpioContact
from bwvd.controls.input import EV_SW, InputContact
from bwvd.controls.modem_line import ModemContact
from bwvd.testing.clock import VirtualClock
from bwvd.testing.conformance.contact import CHECKS, Subject
from bwvd.testing.contact import VirtualContact
from tests.support.controls_kernel import SW_MUTE_DEVICE, GpioKernel, InputKernel, ModemKernel


def virtual() -> Subject:
    clock = VirtualClock()
    contact = VirtualContact("gpio:record", clock)

    def plug() -> None:
        contact.plug()
        contact.move(False)

    return Subject(
        contact, contact.move, contact.lose, contact.unplug, plug, lambda: contact.is_open, clock.monotonic_ns
    )


def now_ns() -> int:
    return 1000 * NS + round(trio.current_time() * 1e6) * 1000  # whole microseconds, as input events have them


def gpio() -> Subject:
    kernel = GpioKernel(now_ns)
    contact = GpioContact(Gpio(), now_ns, kernel.open_line)
    return Subject(
        contact, kernel.move, kernel.lose, kernel.unplug, kernel.plug, lambda: kernel.opened is not None, now_ns
    )


def _input(kernel: InputKernel, config: Input) -> Subject:
    contact = InputContact(config, kernel.open_device, kernel.ask_clock, kernel.switch_is_on)
    return Subject(
        contact, kernel.move, kernel.lose, kernel.unplug, kernel.plug, lambda: kernel.opened is not None, now_ns
    )


def input_key() -> Subject:
    return _input(InputKernel(now_ns=now_ns), Input())


def input_switch() -> Subject:
    return _input(InputKernel(EV_SW, SW_MUTE_DEVICE, now_ns), Input(key="SW_MUTE_DEVICE", mode="switch"))


def modem() -> Subject:
    kernel = ModemKernel()
    contact = ModemContact(Serial(button="cts"), now_ns, kernel.open_port)
    return Subject(contact, kernel.move, kernel.lose, kernel.unplug, kernel.plug, lambda: kernel.opened, now_ns)


@pytest.mark.parametrize("subject", [virtual, gpio, input_key, input_switch, modem])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_contact(
    check: Callable[[Subject], Awaitable[None]], subject: Callable[[], Subject], autojump_clock: trio.testing.MockClock
) -> None:
    await check(subject())
