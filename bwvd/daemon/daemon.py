"""The composition root: who is wired to whom, and in which order they begin and end.

Three nurseries, one in the other. Outermost are the peripherals: controls listen before the storage is put in order,
so that a press is heard while that takes long, and controls, lamps and the service manager's watchdog are served until
the last byte is on the flash. Inside is the storage side, and inside that the device side. When anything fails, the
recorder closes what it has, the writer writes and signs it, and only then does the error end the process: systemd
starts it again. The order of the end is the order of the channels: devices close, the recorder sees the end of its
media and closes the recording, the writer sees the end of its backlog and drains it, the journal is the last of what
is written, and the peripherals end after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import trio

from bwvd.capture.audio.drift_statistics import Corrections
from bwvd.capture.device.supervisor import CaptureDevices
from bwvd.capture.source import AudioGate, DeviceWedged, MediaSource
from bwvd.clock import Clock
from bwvd.config.schema import Config
from bwvd.daemon.event_bus import Hub
from bwvd.daemon.media_queue import MediaQueue
from bwvd.daemon.status import snapshot
from bwvd.evidence.evidence_side import EvidenceSettings, EvidenceSide, start_evidence
from bwvd.evidence.flash.volume import Storage
from bwvd.evidence.format.chain import Signer
from bwvd.evidence.journal.witness import Witness
from bwvd.evidence.keys.age import Sealer
from bwvd.evidence.startup.refusals import enter_refusals
from bwvd.evidence.write.numbering import RecordingNumbers
from bwvd.evidence.write.recording_folder import Device
from bwvd.evidence.write.statistics import WriterStatistics
from bwvd.evidence.write.writer import STUCK_S, Writer
from bwvd.log import get_logger
from bwvd.media.samples import Track
from bwvd.messages import Command, Event, MediaEvent, Order, State
from bwvd.recorder.backlog import Backlog
from bwvd.recorder.loop import Loop
from bwvd.recorder.recorder import Recorder
from bwvd.recorder.state_machine import Times
from bwvd.service.power_supply import PowerReading
from bwvd.service.pulse import Ledger

# Commands come at the pace of a hand. So many that wait mean that trio's thread has been held for seconds, or that the
# storage is being put in order: one more is refused.
COMMAND_BOUND = 64
# Beside these, room that only a press may take: whoever floods a line with markers while the storage is put in order
# must not make a button that is pressed "busy".
PRESS_ROOM = 16

STORAGE_UNKNOWN = {
    "free_bytes": 0,
    "total_bytes": 0,
    "minutes_left": None,
    "reserved": False,
    "refuses": "",
    "journal_waiting": 0,
    "journal_lost": 0,
}

_log = get_logger("daemon")


class Peripheral(Protocol):
    """Something around the core: a control, an indicator, the service manager. Runs until cancelled.

    Begins before the storage is looked at (`Daemon.wait_started`) and is cancelled when everything is on the flash.
    Says `task_status.started()` when it listens; raising anything after that ends the daemon in order.
    """

    async def __call__(self, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What a daemon is made of: real adapters on a board, virtual ones in tests."""

    clock: Clock
    boot: str  # the kernel's boot id
    storage: Storage
    signer: Signer
    sealer: Sealer | None
    camera: Callable[[AudioGate], MediaSource]
    witness: Witness | None = None  # of the journal; a place that is not on the card
    microphone: Callable[[AudioGate], MediaSource] | None = None  # where it is a device of its own
    expect_audio: Callable[[], Track] | None = None  # the microphone's track, where the configuration says it all
    transport: Callable[[], str] = str  # by which a network camera's packets come
    peripherals: Sequence[Peripheral] = ()
    config_sha256: str = ""  # of the configuration file, for the journal


class _Listening:
    """A peripheral's `task_status`, which remembers whether it was said."""

    def __init__(self, task_status: trio.TaskStatus[None]) -> None:
        self._task_status = task_status
        self.said = False

    def started(self, value: None = None) -> None:
        self.said = True
        self._task_status.started(value)


def times_of(config: Config) -> Times:
    """The recorder's spans."""
    recording = config.recording
    return Times.of_seconds(recording.post_roll_s, recording.stop_confirm_s, recording.max_s, recording.reminder_s)


class Daemon:
    """One camera's daemon.

    **Synchronization:** trio's thread.
    """

    def __init__(self, config: Config, parts: Parts, *, state: State = State.STANDBY) -> None:
        self.config = config
        self.parts = parts
        self.clock = parts.clock
        self.hub = Hub(parts.clock)
        self.started_ns = parts.clock.monotonic_ns()
        self.corrections = Corrections()
        self._state = state
        self._ending = trio.Event()
        self._send_command, self._commands = trio.open_memory_channel[Command](COMMAND_BOUND + PRESS_ROOM)
        self.media = MediaQueue()
        self.backlog = Backlog(config.storage.backlog_bytes)
        self.controls: list[str] = []  # names, as their actors begin
        self.ledger = Ledger(parts.clock.monotonic_ns)
        self.power: PowerReading | None = None
        self._started = trio.Event()
        self._closed = trio.Event()
        self.over = trio.Event()  # nothing more will be written: all is on the flash, or an error ended it
        self._failures: list[Exception] = []
        # The peripherals by their tasks, and whether they have ended.
        self._serving: dict[trio.lowlevel.Task, tuple[trio.CancelScope, trio.Event]] = {}
        self._outlasting: set[trio.lowlevel.Task] = set()
        self._naming = RecordingNumbers(
            config.device.id, 1, parts.clock
        )  # counted from what lies on the flash, when it is known
        self._devices = self._capture_devices()
        self.camera_up = self._devices.camera_delivers  # set when it has, for the first time
        self.recorder = self._recorder()
        self.writer: Writer
        self.evidence: EvidenceSide

    def _capture_devices(self) -> CaptureDevices:
        parts, gate = self.parts, AudioGate()
        microphone = parts.microphone
        return CaptureDevices(
            lambda: parts.camera(gate),
            (lambda: microphone(gate)) if microphone is not None else None,
            gate,
            parts.clock,
            expect_audio=parts.expect_audio,
            awake=self._state is not State.ASLEEP,
        )

    def _recorder(self) -> Recorder:
        config = self.config
        return Recorder(
            times=times_of(config),
            loop=Loop(config.loop.seconds, config.loop.max_bytes),
            backlog=self.backlog,
            devices=self._devices,
            numbering=self._naming,
            clock=self.clock,
            publish=self.hub.publish,
            refuse=lambda: self.evidence.refuse(),
            pre_event_audio=config.audio.pre_event,
            state=self._state,
        )

    # --- for peripherals ---------------------------------------------------------------------------------------------

    def post(self, command: Command) -> None:
        """Take a command from a control. Never waits; one that finds no room is refused.

        Until the storage has been put in order it is kept; then the recorder answers it. When everything is closed the
        controls are gone, and a command is as one to a device that is off.
        """
        if self.closed:
            return
        waiting = self._commands.statistics().current_buffer_used
        if waiting >= COMMAND_BOUND and command.order not in (Order.PRESS, Order.RECORD):
            self.hub.publish(command.refuse("busy", self.clock.monotonic_ns()))
            return
        try:
            self._send_command.send_nowait(command)
        except trio.WouldBlock:
            self.hub.publish(command.refuse("busy", self.clock.monotonic_ns()))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.hub.publish(command.refuse("ending", self.clock.monotonic_ns()))

    def shut_down(self, reason: str) -> None:
        """End in order: close the recording, sign it, leave. Returns at once."""
        if not self._ending.is_set():
            _log.info("shutting_down", reason=reason)
            self._ending.set()

    def status(self) -> dict[str, Any]:
        """The document of `bwvd status --json`. Quick."""
        return snapshot(self).document()

    def written(self) -> WriterStatistics:
        """What the writer has done; nothing before it began."""
        return self.writer.statistics if self.started else WriterStatistics()

    def storage_status(self) -> dict[str, Any]:
        """The storage's part of the status; while it is being put in order nothing is known of it."""
        return self.evidence.storage_status() if self.started else dict(STORAGE_UNKNOWN)

    def in_progress(self) -> str:
        """The id of the recording that is being written, "" for none. One that broke off on a storage error and goes on
        under another id is not: it gets its end meanwhile."""
        return self.written().recording or ""

    def summary(self) -> str:
        """One line for the service manager."""
        if not self.started:
            return "starting"
        machine, current = self.recorder.machine, self.recorder.current
        what = machine.state.value.replace("_", " ") + (f" {current.recording}" if current else "")
        return what + (f", faults: {', '.join(sorted(self.hub.faults))}" if self.hub.faults else "")

    async def wait_ending(self) -> None:
        """Return when closing in order has been asked for."""
        await self._ending.wait()

    def outlast_controls(self) -> None:
        """For a peripheral, in its task: end after the others, to show what became of the last that they asked for."""
        self._outlasting.add(trio.lowlevel.current_task())

    async def wait_started(self) -> None:
        """Return when the storage is in order, and recorder and writer are about to work."""
        await self._started.wait()

    async def wait_closed(self) -> None:
        """Return when everything is on the flash, and nothing more will be written: the battery may be pulled."""
        await self._closed.wait()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    @property
    def started(self) -> bool:
        return self._started.is_set()

    @property
    def ending(self) -> bool:
        return self._ending.is_set()

    # --- the actor ---------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until `shut_down`, or an error.

        Every peripheral listens before the storage is looked at, and until everything is on the flash.
        `task_status.started()` is said when recovery is done and the devices are being opened; `camera_up` is set when
        the camera delivers.

        Raises: what ended it, after everything was closed and signed: SourceRefused, an error of a peripheral, …
        """
        async with trio.open_nursery() as around:
            try:
                for peripheral in self.parts.peripherals:
                    await around.start(self._serve, peripheral)
                await self._run_storage(task_status)
            except Exception as error:  # noqa: BLE001  kept until everything is closed, then raised
                self._fail(error)
            self._refuse_waiting()
            if not self.started:
                await self._enter_refusals()
            self.over.set()
            self.hub.close()
            around.cancel_scope.cancel()
        if len(self._failures) > 1:
            raise ExceptionGroup("what ended the daemon", self._failures)
        if self._failures:
            raise self._failures[0]

    async def _serve(self, peripheral: Peripheral, *, task_status: trio.TaskStatus[None]) -> None:
        """Run a peripheral. Its error ends the daemon in order; one from before it listened is raised at once."""
        listening, gone = _Listening(task_status), trio.Event()
        try:
            with trio.CancelScope() as scope:
                self._serving[trio.lowlevel.current_task()] = scope, gone
                await peripheral(self, task_status=listening)
        except Exception as error:
            if not listening.said:
                raise
            self._fail(error)
        finally:
            gone.set()

    async def _stop_serving(self) -> None:
        """Everything is on the flash: end what is around the core, first what can still be refused, then the lamps."""
        controls = [ends for task, ends in self._serving.items() if task not in self._outlasting]
        for scope, _ in controls:
            scope.cancel()
        for _, gone in controls:
            await gone.wait()
        self._closed.set()
        self.over.set()
        self.hub.close()
        for scope, gone in self._serving.values():
            scope.cancel()
            await gone.wait()

    def _refuse_waiting(self) -> None:
        """Answer what was asked for before the recorder began, where it never did (invariant 5)."""
        with suppress(trio.WouldBlock, trio.ClosedResourceError):
            while True:
                self.hub.publish(self._commands.receive_nowait().refuse("ending", self.clock.monotonic_ns()))

    async def _enter_refusals(self) -> None:
        """The start has failed, and its journal was never begun: what was refused meanwhile is entered all the same."""
        parts, told = self.parts, list[Event]()
        self.hub.sink(told.append)  # with what was told since the start began
        device, limit = self.config.device.id, self.config.storage.journal_bytes
        await enter_refusals(parts.storage, parts.signer, parts.clock, told, device=device, journal_bytes=limit)

    def _fail(self, error: Exception) -> None:
        """Keep an error until everything is closed, and end in order: whoever listens hears of the end now."""
        if not self._failures:
            _log.info("closing_after_error", error=type(error).__name__)  # what it was is the last word
            if not self.ending:
                self.recorder.end_reason = "crash"
        self._failures.append(error)
        self.shut_down("error")

    async def _run_storage(self, task_status: trio.TaskStatus[None]) -> None:
        """The storage side: recovery, journal, writer, and the device side within. Returns when all is on the flash."""
        config, parts = self.config, self.parts
        terms = EvidenceSettings(
            device=config.device.id,
            private=parts.sealer is not None,
            reserve_bytes=config.storage.reserve_bytes,
            journal_bytes=config.storage.journal_bytes,
            bits_per_s=config.video.bitrate + (config.audio.bitrate if config.audio.source else 0),
            loop_s=config.loop.seconds,
            segment_s=config.recording.segment_s,
            config_sha256=parts.config_sha256,
        )
        self.evidence = await start_evidence(
            parts.storage, terms, parts.signer, parts.clock, parts.boot, self.hub, self._naming, parts.witness
        )
        self.hub.forget_early()
        self.recorder.officer = self.evidence.officer
        self.writer = Writer(
            storage=parts.storage,
            device=Device(
                config.device.id,
                parts.boot,
                config.recording.segment_s,
                parts.signer,
                parts.sealer,
                self.evidence.row,
            ),
            backlog=self.backlog,
            naming=self._naming,
            room=self.evidence.room,
            clock=parts.clock,
            publish=self.hub.publish,
            journal_head=self.evidence.journal_head,
            on_error=self._fail,
            on_full=self._on_full,
            measured=self.evidence.measured,
            mender=self.evidence,
        )
        written = trio.Event()
        async with trio.open_nursery() as storage_side:

            async def keep_journal(task_status: trio.TaskStatus[None]) -> None:
                with self._announcing():
                    await self.evidence.run(task_status=task_status)

            async def write(task_status: trio.TaskStatus[None]) -> None:
                with self.ledger.pulse("writer", vital=True) as self.writer.pulse, self._announcing():
                    await self.writer.run(task_status=task_status)
                written.set()

            await storage_side.start(keep_journal)
            await storage_side.start(write)
            self._started.set()
            try:
                await self._run_devices(task_status)
            except Exception as error:  # noqa: BLE001  kept until everything is closed, then raised
                self._fail(error)
            await written.wait()
            with self.ledger.pulse("journal", vital=True) as pulse, pulse.working(STUCK_S):
                await self.evidence.drain("error" if self._failures else "shutdown")
                await self._stop_serving()
                await self.evidence.finish()
            storage_side.cancel_scope.cancel()

    @contextmanager
    def _announcing(self) -> Iterator[None]:
        """An error in here cancels what is around it; whoever is told of the end hears of it before that takes long."""
        try:
            yield
        except Exception:
            self.shut_down("error")
            raise

    async def _run_devices(self, task_status: trio.TaskStatus[None]) -> None:
        """The device side: recorder and capture. Returns when the recorder has handed on its last GOP."""
        async with trio.open_nursery() as nursery:
            recorded = trio.Event()

            async def record(task_status: trio.TaskStatus[None]) -> None:
                with self.ledger.pulse("recorder", vital=True) as self.recorder.pulse, self._announcing():
                    await self.recorder.run(self.media.receive, self._commands, task_status=task_status)
                recorded.set()

            await nursery.start(record)
            capture = await nursery.start(self._capture)
            task_status.started()
            await self._ending.wait()
            capture.cancel()
            await recorded.wait()
            nursery.cancel_scope.cancel()

    def _on_full(self) -> None:
        self.evidence.was_full()
        self.recorder.end_recording("storage_full")

    async def _capture(self, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
        """Run the devices under a scope of their own; when they are closed, so is the media channel."""
        with trio.CancelScope() as scope:
            task_status.started(scope)
            try:
                await self._devices.run(self._take_media)
                # Every source has come to its end for good. Whoever presses now is still to be answered.
                await trio.sleep_forever()
            except* DeviceWedged:
                # Nothing that a device gave is still on its way: it has been silent for longer than that takes.
                self.recorder.end_recording("device_wedged")
                raise
        self.media.close()

    def _take_media(self, event: MediaEvent) -> None:
        self.corrections.take(event)
        self.media.take(event)
