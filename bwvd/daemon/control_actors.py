"""Controls of the configuration as actors of the daemon: buttons, keys, switches, serial lines, the socket, signals."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from bwvd.config.schema import Config, Gpio, Input, Serial
from bwvd.controls.carrier_rights import carrier_source, without
from bwvd.controls.command_rate import Pace, paced
from bwvd.controls.ports import Contact, Refused, Send, allowing
from bwvd.controls.signals import run_signals
from bwvd.controls.socket import Bell, run_socket
from bwvd.daemon.daemon import Daemon, Peripheral
from bwvd.daemon.reload import reload_configuration
from bwvd.daemon.socket_requests import socket_requests
from bwvd.messages import Command, Pressed
from bwvd.service.signals_held import let_signals_in

if TYPE_CHECKING:
    from bwvd.controls.gesture import Reader

MS = 1_000_000


def control_actors(config: Config, config_path: Path) -> list[Peripheral]:
    """Every control of the configuration, in the order in which they begin."""
    found: list[Peripheral] = [partial(signals, config_path)]
    found += [partial(gpio, one) for one in config.gpio]
    found += [partial(input_key, one) for one in config.input]
    found += [partial(serial_line, one) for one in config.serial]
    found += [partial(modem_line, one) for one in config.serial if one.button]
    return [*found, partial(control_socket, config)]


async def contact(
    device: Contact, reader: Reader, allow: Sequence[str], daemon: Daemon, task_status: trio.TaskStatus[None]
) -> None:
    from bwvd.controls.contact_actor import run_contact

    daemon.controls.append(device.name)
    send = allowing(allow, daemon.post, _refused(daemon))
    await run_contact(device, reader, send, daemon.clock, daemon.hub.publish, task_status=task_status)


def _refused(daemon: Daemon) -> Refused:
    """A command that its control may not give is journalled like any other refusal (invariant 5)."""

    def refused(command: Command, reason: str) -> None:
        now_ns = daemon.clock.monotonic_ns()
        daemon.hub.publish(Pressed(command.order, command.source, command.at_ns, now_ns, "refused", reason))

    return refused


def _commands(allow: Sequence[str], daemon: Daemon, pace: Pace | None = None, carrier: str = "") -> Send:
    """What a line or a socket may ask for, at a pace that no flood of commands exceeds.

    carrier: what the source of its commands begins with, which may give none.
    """
    refused = _refused(daemon)
    return paced(without(carrier, allowing(allow, daemon.post, refused), refused), daemon.clock, refused, pace)


async def gpio(config: Gpio, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    from bwvd.controls.gpio import GpioContact
    from bwvd.controls.slide_switch import gesture_reader

    reader = gesture_reader(config.gestures, config.mode, config.debounce_ms * MS)
    await contact(GpioContact(config, daemon.clock.monotonic_ns), reader, config.allow, daemon, task_status)


async def input_key(config: Input, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    from bwvd.controls.input import InputContact
    from bwvd.controls.slide_switch import gesture_reader

    # The kernel's driver has debounced the key (gpio-keys, a keyboard's matrix); a bounce storm is still recognised.
    reader = gesture_reader(config.gestures, config.mode, 0)
    await contact(InputContact(config), reader, config.allow, daemon, task_status)


async def modem_line(config: Serial, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    from bwvd.controls.modem_line import ModemContact
    from bwvd.controls.slide_switch import gesture_reader

    reader = gesture_reader(config.gestures, "button", config.debounce_ms * MS)
    await contact(ModemContact(config, daemon.clock.monotonic_ns), reader, config.allow, daemon, task_status)


async def serial_line(config: Serial, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    from bwvd.controls.serial import run_serial
    from bwvd.controls.serial_port import SerialPort

    port = SerialPort(config)
    daemon.controls.append(port.name)
    events = daemon.hub.listen(port.name) if config.events else None
    send = _commands(config.allow, daemon)
    await run_serial(port, send, daemon.clock, daemon.hub.publish, daemon.status, events, task_status=task_status)


async def control_socket(config: Config, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    changed, pace, carrier = Bell(), Pace(), carrier_source()
    daemon.hub.sink(lambda _: changed.ring())
    daemon.controls.append("socket")
    await run_socket(
        config.socket.path,
        _commands(config.socket.allow, daemon, pace, carrier),
        daemon.clock,
        daemon.hub.publish,
        daemon.status,
        socket_requests(daemon, pace, carrier),
        changed,
        task_status=task_status,
    )


async def signals(config_path: Path, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    await run_signals(
        daemon.post,
        daemon.clock,
        shut_down=daemon.shut_down,
        reload=partial(reload_configuration, daemon, config_path),
        let_in=let_signals_in,
        task_status=task_status,
    )
