"""Everything around the core, from the configuration: controls, indicators, power, clock, the service manager.

Each is an actor that lives and dies with the device side (`bwvd.daemon.Peripheral`). What only some configurations need
is imported when it begins: all of it would be a seventh of the daemon's start.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from bwvd.clock import NS
from bwvd.config import Config, Gpio, Input, Serial
from bwvd.controls.control import Contact, Refused, Send, allowing
from bwvd.controls.pace import paced
from bwvd.controls.requests import shown
from bwvd.controls.signals import run_signals
from bwvd.controls.socket import Bell, run_socket
from bwvd.daemon import Daemon, Peripheral
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.journal_events import clean
from bwvd.hub import LISTENER_BOUND
from bwvd.messages import ClockStepped, Command, Event, PowerRead, Pressed
from bwvd.reload import reload_configuration
from bwvd.service.clockwatch import open_alarm, run_clockwatch
from bwvd.service.gauge import Level
from bwvd.service.notify import Notifier
from bwvd.service.power import run_power
from bwvd.service.pulse import Stuck
from bwvd.service.supply import PowerReading
from bwvd.service.watchdog import run_watchdog

if TYPE_CHECKING:
    from bwvd.controls.gesture import Reader
    from bwvd.feedback.lamp import Indicator

MS = 1_000_000


def all_peripherals(config: Config, config_path: Path) -> list[Peripheral]:
    """Every peripheral of the configuration, in the order in which they begin."""
    found: list[Peripheral] = [partial(_signals, config_path)]
    found += [partial(_gpio, gpio) for gpio in config.gpio]
    found += [partial(_input, key) for key in config.input]
    found += [partial(_serial, serial) for serial in config.serial]
    found += [partial(_modem, serial) for serial in config.serial if serial.button]
    found.append(partial(_socket, config))
    if config.led or config.haptic or config.tone:
        from bwvd.feedback.indicators import indicators

        found.append(partial(_feedback, indicators(config), config.feedback.stealth))
    found += [partial(_power, config), _clockwatch, _service]
    if config.metrics.textfile:
        found.append(partial(_metrics, Path(config.metrics.textfile)))
    return found


# --- controls --------------------------------------------------------------------------------------------------------


async def _contact(
    contact: Contact, reader: Reader, allow: Sequence[str], daemon: Daemon, task_status: trio.TaskStatus[None]
) -> None:
    from bwvd.controls.contacts import run_contact

    daemon.controls.append(contact.name)
    send = allowing(allow, daemon.post, _refused(daemon))
    await run_contact(contact, reader, send, daemon.clock, daemon.hub.publish, task_status=task_status)


def _refused(daemon: Daemon) -> Refused:
    """A command that its control may not give is journalled like any other refusal (invariant 5)."""

    def refused(command: Command, reason: str) -> None:
        now_ns = daemon.clock.monotonic_ns()
        daemon.hub.publish(Pressed(command.order, command.source, command.at_ns, now_ns, "refused", reason))

    return refused


def _commands(allow: Sequence[str], daemon: Daemon) -> Send:
    """What a line or a socket may ask for, at a pace that no flood of commands exceeds."""
    refused = _refused(daemon)
    return paced(allowing(allow, daemon.post, refused), daemon.clock, refused)


async def _gpio(config: Gpio, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    from bwvd.controls.gpio import GpioContact
    from bwvd.controls.switch import gesture_reader

    reader = gesture_reader(config.gestures, config.mode, config.debounce_ms * MS)
    contact = GpioContact(config, daemon.clock.monotonic_ns)
    await _contact(contact, reader, config.allow, daemon, task_status)


async def _input(config: Input, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    from bwvd.controls.input import InputContact
    from bwvd.controls.switch import gesture_reader

    # The kernel's driver has debounced the key (gpio-keys, a keyboard's matrix); a bounce storm is still recognised.
    reader = gesture_reader(config.gestures, config.mode, 0)
    await _contact(InputContact(config), reader, config.allow, daemon, task_status)


async def _modem(config: Serial, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    from bwvd.controls.modem import ModemContact
    from bwvd.controls.switch import gesture_reader

    reader = gesture_reader(config.gestures, "button", config.debounce_ms * MS)
    await _contact(ModemContact(config, daemon.clock.monotonic_ns), reader, config.allow, daemon, task_status)


async def _serial(config: Serial, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    from bwvd.controls.serial import run_serial
    from bwvd.controls.serial_port import SerialPort

    port = SerialPort(config)
    daemon.controls.append(port.name)
    events = daemon.hub.listen(port.name) if config.events else None
    send = _commands(config.allow, daemon)
    await run_serial(port, send, daemon.clock, daemon.hub.publish, daemon.status, events, task_status=task_status)


async def _socket(config: Config, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    changed = Bell()
    daemon.hub.sink(lambda _: changed.ring())
    daemon.controls.append("socket")
    await run_socket(
        config.socket.path,
        _commands(config.socket.allow, daemon),
        daemon.clock,
        daemon.hub.publish,
        daemon.status,
        {"release": partial(_release, daemon), "did": partial(_did, daemon)},
        changed,
        task_status=task_status,
    )


async def _signals(config_path: Path, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    await run_signals(
        daemon.post,
        daemon.clock,
        shut_down=daemon.shut_down,
        reload=partial(reload_configuration, daemon, config_path),
        task_status=task_status,
    )


async def _did(daemon: Daemon, request: dict[str, Any], source: str) -> dict[str, Any]:
    """A command that read evidence on the device says so, for the journal: verified, exported."""
    what, where, outcome = (request.get(key) for key in ("what", "where", "outcome"))
    if what not in ("verified", "exported") or not isinstance(where, str) or not isinstance(outcome, str):
        return {"ok": False, "error": 'did takes "what" (verified, exported), "where" and "outcome"'}
    daemon.evidence.enter(what, where=clean(where), outcome=clean(outcome), source=source)
    return {"ok": True, "text": "entered"}


async def _release(daemon: Daemon, request: dict[str, Any], source: str) -> dict[str, Any]:
    """`bwvd release`: judge the receipt and let go of the recording that it is for."""
    from bwvd.evidence.receipt import accept_receipt
    from bwvd.evidence.release import run_release
    from bwvd.evidence.signers import AllowedSigners

    recording, receipt, signature = (request.get(key) for key in ("recording", "receipt", "signature"))
    if not isinstance(recording, str) or not isinstance(receipt, str) or not isinstance(signature, str | None):
        return {"ok": False, "error": 'release takes "recording", "receipt" and "signature"'}
    try:
        signers = [await trio.to_thread.run_sync(AllowedSigners.load, path) for path in daemon.config.keys.release]
        now_s = daemon.clock.read().utc_ns / NS
        accepted = accept_receipt(receipt.encode(), signature.encode() if signature else None, signers, now_s)
        if accepted.receipt.recording != recording:
            return {"ok": False, "error": f"the receipt is for {shown(accepted.receipt.recording)}"}

        await run_release(daemon.parts.storage, daemon.evidence.release(accepted, daemon.in_progress))
    except (EvidenceError, OSError) as error:
        daemon.evidence.enter("release_refused", recording=clean(recording), source=source, reason=clean(str(error)))
        return {"ok": False, "error": str(error)}
    return {"ok": True, "text": f"released {recording}", "recording": recording}


# --- what the wearer sees, hears and feels ---------------------------------------------------------------------------


async def _feedback(
    lamps: Sequence[Indicator], stealth: bool, daemon: Daemon, *, task_status: trio.TaskStatus[None]
) -> None:
    from bwvd.feedback.indicate import run_feedback
    from bwvd.feedback.interpret import ShuttingDown

    send, events = trio.open_memory_channel[Event | ShuttingDown](LISTENER_BOUND)
    daemon.hub.attach("feedback", send.clone())

    async def say_the_end() -> None:
        await daemon.wait_ending()
        with contextlib.suppress(trio.WouldBlock, trio.BrokenResourceError):
            send.send_nowait(ShuttingDown(daemon.clock.monotonic_ns()))

    report = daemon.hub.report
    with daemon.ledger.pulse("feedback") as pulse:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(say_the_end)
            await run_feedback(
                events, lamps, daemon.clock, report, stealth=stealth, pulse=pulse, task_status=task_status
            )


# --- the system ------------------------------------------------------------------------------------------------------


async def _power(config: Config, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    def reading(power: PowerReading) -> None:
        daemon.power = power
        daemon.recorder.annotate(PowerRead(daemon.clock.monotonic_ns(), power.percent, power.supply, power.flags))

    def level(level: Level, power: PowerReading) -> None:
        if level is Level.CRITICAL:
            daemon.hub.fault("power", f"battery at {power.percent} %: closing in order")
            # The end closes the recording: it waits for what the camera holds of the last group of pictures.
            daemon.recorder.end_reason = "battery"
            daemon.shut_down("battery")

    with daemon.ledger.pulse("power") as pulse:
        await run_power(config.power, reading, level, daemon.hub.report, pulse=pulse, task_status=task_status)


async def _metrics(path: Path, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    from bwvd.service.textfile import run_textfile

    with daemon.ledger.pulse("metrics") as pulse:
        await run_textfile(path, daemon.status, daemon.hub.report, pulse=pulse, task_status=task_status)


async def _clockwatch(daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    def stepped(step: ClockStepped) -> None:
        daemon.recorder.annotate(step)
        daemon.hub.publish(step)

    with daemon.ledger.pulse("clock") as pulse:
        await run_clockwatch(daemon.clock, stepped, alarm=open_alarm(), pulse=pulse, task_status=task_status)


async def _service(daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    """Tell the service manager how things stand, and feed its watchdog while everybody is alive."""
    notifier = Notifier.from_environment()

    def stuck(one: Stuck, active: bool) -> None:
        late = f"no progress for {one.overdue_s:.1f} s more than it may take"
        daemon.hub.report(f"stuck:{one.name}", active, late)

    async def say_the_end() -> None:
        await daemon.wait_ending()
        notifier.stopping()

    events = daemon.hub.listen("service")
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_watchdog, notifier, daemon.ledger, stuck)
            nursery.start_soon(say_the_end)
            task_status.started()
            # READY means: frames arrive, and the storage has proved a write (it did when it was opened).
            await daemon.camera_up.wait()
            notifier.ready(daemon.summary())
            async for _ in events:
                notifier.status(daemon.summary())
            nursery.cancel_scope.cancel()
    finally:
        notifier.close()
