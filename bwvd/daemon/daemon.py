"""The composition root: wires the areas to each other, and begins and ends them in order.

Storage side and device side are separate nurseries. When anything on the device side fails, the recorder closes what
it has, the writer writes and signs it, and only then does the error end the process: systemd starts it again. The
order of the end is the order of the channels: devices close, the recorder sees the end of its media and closes the
recording, the writer sees the end of its backlog and drains it, the journal is last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import trio

from bwvd.capture.audio.drift_statistics import Corrections
from bwvd.capture.device.supervisor import CaptureDevices
from bwvd.capture.source import AudioGate, DeviceWedged, MediaSource
from bwvd.clock import Clock
from bwvd.config.schema import Config
from bwvd.daemon.event_bus import Hub
from bwvd.daemon.status import snapshot
from bwvd.evidence.evidence_side import EvidenceSettings, EvidenceSide, start_evidence
from bwvd.evidence.flash.volume import Storage
from bwvd.evidence.format.chain import Signer
from bwvd.evidence.journal.witness import Witness
from bwvd.evidence.keys.age import Sealer
from bwvd.evidence.write.numbering import RecordingNumbers
from bwvd.evidence.write.recording_folder import Device
from bwvd.evidence.write.writer import Writer
from bwvd.log import get_logger
from bwvd.media.samples import Batch
from bwvd.messages import Command, MediaEvent, State
from bwvd.recorder.backlog import Backlog
from bwvd.recorder.loop import Loop
from bwvd.recorder.recorder import Recorder
from bwvd.recorder.state_machine import Times
from bwvd.service.power_supply import PowerReading
from bwvd.service.pulse import Ledger

# A device's batches come once a second or four times, commands at the pace of a hand. So many that wait mean that
# trio's thread has been held for seconds: then a batch is dropped, which leaves a gap that is named, and a command is
# refused.
MEDIA_BOUND = 64
COMMAND_BOUND = 64

_log = get_logger("daemon")


class Peripheral(Protocol):
    """Something around the core: a control, an indicator, the service manager. Runs until cancelled.

    Says `task_status.started()` when it listens; raising anything ends the daemon in order.
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
    peripherals: Sequence[Peripheral] = ()
    config_sha256: str = ""  # of the configuration file, for the journal


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
        self.media_dropped = 0  # batches for which there was no room on trio's side
        self.corrections = Corrections()
        self._state = state
        gate, microphone = AudioGate(), parts.microphone
        self._devices = CaptureDevices(
            lambda: parts.camera(gate),
            (lambda: microphone(gate)) if microphone is not None else None,
            gate,
            parts.clock,
            awake=state is not State.ASLEEP,
        )
        self.camera_up = self._devices.camera_delivers  # set when it has, for the first time
        self._ending = trio.Event()
        self._send_command, self._commands = trio.open_memory_channel[Command](COMMAND_BOUND)
        self._send_media, self._media = trio.open_memory_channel[MediaEvent](MEDIA_BOUND)
        self.backlog = Backlog(config.storage.backlog_bytes)
        self.controls: list[str] = []  # names, as their actors begin
        self.ledger = Ledger(parts.clock.monotonic_ns)
        self.power: PowerReading | None = None
        self.recorder: Recorder
        self.writer: Writer
        self.evidence: EvidenceSide

    # --- for peripherals ---------------------------------------------------------------------------------------------

    def post(self, command: Command) -> None:
        """Take a command from a control. Never waits; one that finds no room is refused."""
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

    def in_progress(self) -> str:
        """The id of the recording that is being written, "" for none. One that broke off on a storage error and goes on
        under another id is not: it gets its end meanwhile."""
        return self.writer.statistics.recording or ""

    def summary(self) -> str:
        """One line for the service manager."""
        machine, current = self.recorder.machine, self.recorder.current
        what = machine.state.value.replace("_", " ") + (f" {current.recording}" if current else "")
        return what + (f", faults: {', '.join(sorted(self.hub.faults))}" if self.hub.faults else "")

    async def wait_ending(self) -> None:
        """Return when closing in order has been asked for."""
        await self._ending.wait()

    @property
    def ending(self) -> bool:
        return self._ending.is_set()

    # --- the actor ---------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until `shut_down`, or an error.

        `task_status.started()` is said when recovery is done, every peripheral listens and the devices are being
        opened; `camera_up` is set when the camera delivers.

        Raises: what ended it, after everything was closed and signed: SourceRefused, an error of a peripheral, …
        """
        config, parts = self.config, self.parts
        terms = EvidenceSettings(
            device=config.device.id,
            private=parts.sealer is not None,
            reserve_bytes=config.storage.reserve_bytes,
            journal_bytes=config.storage.journal_bytes,
            bits_per_s=config.video.bitrate + (config.audio.bitrate if config.audio.source else 0),
            loop_s=config.loop.seconds,
            config_sha256=parts.config_sha256,
        )
        self.evidence = await start_evidence(
            parts.storage, terms, parts.signer, parts.clock, parts.boot, self.hub, parts.witness
        )
        naming = RecordingNumbers(config.device.id, self.evidence.next_serial, parts.clock)
        self.recorder = Recorder(
            times=times_of(config),
            loop=Loop(config.loop.seconds, config.loop.max_bytes),
            backlog=self.backlog,
            devices=self._devices,
            numbering=naming,
            clock=parts.clock,
            publish=self.hub.publish,
            refuse=self.evidence.refuse,
            pre_event_audio=config.audio.pre_event,
            state=self._state,
        )
        self.recorder.officer = self.evidence.officer
        self.writer = Writer(
            storage=parts.storage,
            device=Device(config.device.id, parts.boot, config.recording.segment_s, parts.signer, parts.sealer),
            backlog=self.backlog,
            naming=naming,
            room=self.evidence.room,
            clock=parts.clock,
            publish=self.hub.publish,
            journal_head=self.evidence.journal_head,
            on_full=self._on_full,
            measured=self.evidence.measured,
            mender=self.evidence,
        )
        failure: BaseException | None = None
        written = trio.Event()
        async with trio.open_nursery() as storage_side:

            async def write(task_status: trio.TaskStatus[None]) -> None:
                with self.ledger.pulse("writer") as self.writer.pulse:
                    await self.writer.run(task_status=task_status)
                written.set()

            await storage_side.start(self.evidence.run)
            await storage_side.start(write)
            try:
                await self._run_devices(task_status)
            except Exception as error:  # noqa: BLE001  kept until everything is closed, then raised
                failure = error
                _log.info("closing_after_error", error=type(error).__name__)  # what it was is the last word
            await written.wait()
            self.hub.close()
            await self.evidence.finish("shutdown" if failure is None else "error")
            storage_side.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _run_devices(self, task_status: trio.TaskStatus[None]) -> None:
        """The device side: recorder, capture, peripherals. Returns when the recorder has handed on its last GOP."""
        async with trio.open_nursery() as nursery:
            recorded = trio.Event()

            async def record(task_status: trio.TaskStatus[None]) -> None:
                with self.ledger.pulse("recorder") as self.recorder.pulse:
                    await self.recorder.run(self._media, self._commands, task_status=task_status)
                recorded.set()

            await nursery.start(record)
            capture = await nursery.start(self._capture)
            for peripheral in self.parts.peripherals:
                await nursery.start(peripheral, self)
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
        self._send_media.close()

    def _take_media(self, event: MediaEvent) -> None:
        self.corrections.take(event)
        try:
            self._send_media.send_nowait(event)
        except trio.WouldBlock:
            # What is lost here is seen by the recorder as a hole in the stream, and named.
            if isinstance(event, Batch):
                self.media_dropped += 1
                event.wipe()
        except trio.BrokenResourceError:
            pass  # the recorder has failed; its error is on its way
