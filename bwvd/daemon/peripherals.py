"""Peripherals of the configuration: controls, indicators, power, clock, the service manager.

Each is an actor that outlives the writer (`Peripheral` in daemon.py). What only some configurations
need is imported when it begins: all of it would be a seventh of the daemon's start.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from bwvd.config.schema import Config
from bwvd.daemon.control_actors import control_actors
from bwvd.daemon.daemon import Daemon, Peripheral
from bwvd.daemon.event_bus import LISTENER_BOUND
from bwvd.daemon.status import snapshot
from bwvd.messages import ClockStepped, Event, PowerRead, StateChanged
from bwvd.service.battery_level import Level
from bwvd.service.clock_watch import open_alarm, run_clockwatch
from bwvd.service.notify import Notifier
from bwvd.service.power import run_power
from bwvd.service.power_supply import PowerReading
from bwvd.service.pulse import Stuck
from bwvd.service.watchdog import run_watchdog

FAREWELL_S = 3.0  # for the lamps to say that everything is on the flash

if TYPE_CHECKING:
    from bwvd.feedback.ports import Indicator


def all_peripherals(config: Config, config_path: Path) -> list[Peripheral]:
    """Every peripheral of the configuration, in the order in which they begin."""
    found = control_actors(config, config_path)
    if config.led or config.haptic or config.tone:
        from bwvd.feedback.indicators import indicators

        found.append(partial(_feedback, indicators(config), config.feedback.stealth))
    found += [partial(_power, config), _clockwatch, _time_source, _service]
    if config.gnss.source:
        from bwvd.daemon.position_source import position

        found.append(partial(position, config))
    if config.metrics.textfile:
        found.append(partial(_metrics, Path(config.metrics.textfile)))
    return found


# --- what the officer sees, hears and feels --------------------------------------------------------------------------


async def _feedback(
    lamps: Sequence[Indicator], stealth: bool, daemon: Daemon, *, task_status: trio.TaskStatus[None]
) -> None:
    from bwvd.feedback.event_patterns import AllClosed, ShuttingDown
    from bwvd.feedback.lamp_actor import run_feedback

    send, events = trio.open_memory_channel[Event | ShuttingDown | AllClosed](LISTENER_BOUND)
    daemon.hub.attach("feedback", send.clone())
    daemon.outlast_controls()
    farewell = trio.CancelScope(shield=True)

    async def show_the_start() -> None:
        await daemon.camera_up.wait()  # the loop turns: nothing else tells it before the first press
        machine = daemon.recorder.machine
        if not machine.stop_asked:
            with contextlib.suppress(trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
                send.send_nowait(StateChanged(machine.state, machine.state, daemon.clock.monotonic_ns(), "start"))

    async def say_the_end() -> None:
        with send:
            await daemon.wait_ending()
            with contextlib.suppress(trio.WouldBlock, trio.BrokenResourceError):
                send.send_nowait(ShuttingDown(daemon.clock.monotonic_ns()))
            await daemon.over.wait()
            if not daemon.closed:
                return  # it was ended by an error, and nobody knows what is on the flash
            with contextlib.suppress(trio.WouldBlock, trio.BrokenResourceError):
                send.send_nowait(AllClosed(daemon.clock.monotonic_ns()))

    async def end_the_farewell() -> None:
        try:
            await trio.sleep_forever()
        finally:  # cancelled, as everything around the core is; the lamps may still say that all is safe, or a refusal
            farewell.deadline = trio.current_time() + FAREWELL_S if daemon.over.is_set() else -math.inf

    report = daemon.hub.report
    with daemon.ledger.pulse("feedback") as pulse:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_the_farewell)
            with farewell:
                async with trio.open_nursery() as told:
                    told.start_soon(show_the_start)
                    told.start_soon(say_the_end)
                    await run_feedback(
                        events, lamps, daemon.clock, report, stealth=stealth, pulse=pulse, task_status=task_status
                    )
                    told.cancel_scope.cancel()
            nursery.cancel_scope.cancel()


# --- the system ------------------------------------------------------------------------------------------------------


async def _power(config: Config, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    def reading(power: PowerReading) -> None:
        daemon.power = power
        daemon.recorder.annotate(PowerRead(daemon.clock.monotonic_ns(), power.percent, power.supply, power.flags))

    def level(level: Level, power: PowerReading) -> None:
        if level is Level.CRITICAL:
            daemon.hub.fault("power", f"battery at {power.percent} %: closing in order")
            # The end closes the recording: it waits for what the camera holds of the last GOP.
            daemon.recorder.end_reason = "battery"
            daemon.shut_down("battery")

    with daemon.ledger.pulse("power") as pulse:
        await run_power(config.power, reading, level, daemon.hub.report, pulse=pulse, task_status=task_status)


async def _metrics(path: Path, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    from bwvd.service.textfile import run_textfile

    task_status.started()
    await daemon.wait_started()  # numbers that nobody knows yet are no numbers
    with daemon.ledger.pulse("metrics") as pulse:
        await run_textfile(path, partial(snapshot, daemon), daemon.hub.report, pulse=pulse)


async def _clockwatch(daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    def stepped(step: ClockStepped) -> None:
        daemon.recorder.annotate(step)
        daemon.hub.publish(step)

    with daemon.ledger.pulse("clock") as pulse:
        await run_clockwatch(daemon.clock, stepped, alarm=open_alarm(), pulse=pulse, task_status=task_status)


async def _time_source(daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    from bwvd.service.time_source import run_time_source

    with daemon.ledger.pulse("time_source") as pulse:
        await run_time_source(daemon.clock, daemon.recorder.annotate, pulse=pulse, task_status=task_status)


async def _service(daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    """Tell the service manager how things stand, and feed its watchdog while recorder and writer are alive."""
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
                if not daemon.ending:
                    notifier.status(daemon.summary())
            nursery.cancel_scope.cancel()
    finally:
        notifier.close()
