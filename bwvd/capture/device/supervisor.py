"""The supervisor of the devices: opens each, opens it again when it was lost, and says that it delivers.

A driver may never come back from a read. The thread inside it is given up, and the device opened anew: most drivers
take that. One that does not ("busy", or nothing comes) while the thread still hangs would fail for ever, because only
the end of the process closes what the thread has open. So the device has `WEDGED_S` to deliver again; then, or when
`MOST_HUNG` threads hang, the daemon ends in order, and the service manager starts it again. A microphone is not worth
the end of a recording: for that, the end waits until none runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import assert_never

import trio

from bwvd.capture.source import AudioGate, DeviceLost, DeviceWedged, MayHang, MediaSource, SourceEnded, SourceRefused
from bwvd.clock import Clock
from bwvd.media.samples import Batch, Track
from bwvd.messages import Device, FaultChanged, MediaEvent, MediaGap, SourceDown, SourceUp
from bwvd.service.backoff import Backoff
from bwvd.service.supervised import Supervised

# Only what has delivered a batch is tried again at once: one that opens and is lost, over and over, is not.
BACKOFF = Backoff(first_s=0.2, limit_s=5.0, reset_after_s=math.inf)
TRIAL_S = 30.0  # a source that was refused, or that comes and goes, has to deliver for so long, or its fault goes on
MOST_RELAPSES = 1  # losses within TRIAL_S of coming back: one more, and it comes and goes
WEDGED_S = 10.0  # for a device to deliver again while a thread that was given up still hangs in its driver
MOST_HUNG = 3
LOOK_S = 1.0  # how often it is looked whether that thread has come back, when nothing else can be done
ASLEEP = "asleep"


class CaptureSwitch:
    """The switch of the devices: open or closed, and what becomes of a GOP in the making when they are closed.

    **Synchronization:** trio's thread.
    """

    def __init__(self, on: bool = True) -> None:
        self.is_on = on
        self.flushes = False  # a recording runs: what is in the making is delivered at the end
        self._changed = trio.Event()
        self._open: dict[MediaSource, trio.CancelScope] = {}

    def on(self) -> None:
        """Let the devices be opened: at once, whatever they were waiting for."""
        self._set(True)

    def off(self) -> None:
        """Close the devices. SourceDown with the reason "asleep" says, for each, that it is closed and wiped."""
        self._set(False)
        for scope in self._open.values():
            scope.cancel()

    def flush(self, flush: bool) -> None:
        """Say if what is in the making is delivered at the end (a recording runs) or wiped (standby)."""
        self.flushes = flush
        for source, scope in self._open.items():
            if not scope.cancel_called:  # one that is being closed for a sleep has nothing to deliver
                source.flush_on_cancel(flush)

    async def wait(self, on: bool) -> None:
        """Return when the devices may be open (`on`), or must be closed."""
        await trio.lowlevel.checkpoint()
        while self.is_on != on:
            await self._changed.wait()

    @contextmanager
    def attached(self, source: MediaSource) -> Iterator[trio.CancelScope]:
        """While in here, `off` cancels the scope and `flush` reaches the source."""
        source.flush_on_cancel(self.flushes)
        with trio.CancelScope() as scope:
            if not self.is_on:
                scope.cancel()
            self._open[source] = scope
            try:
                yield scope
            finally:
                del self._open[source]

    def _set(self, on: bool) -> None:
        if on != self.is_on:
            self.is_on = on
            changed, self._changed = self._changed, trio.Event()
            changed.set()


async def run_source(
    open_source: Callable[[], MediaSource],
    send: Callable[[MediaEvent], None],
    *,
    clock: Clock,
    device: Device,
    switch: CaptureSwitch | None = None,
    delivers: trio.Event | None = None,
) -> None:
    """Run a source, and a new one each time it is lost, until it ends for good or we are cancelled.

    open_source: makes a fresh source. send: never blocks; gets the source's events, and SourceDown for every device
    that went down with it (a source may be camera and microphone at once): once for a loss however often it is tried
    again, and once for each new refusal. switch: without one the device is always on. delivers: set when `device`
    delivers for the first time.

    **Cancellation:** closes the device; what `switch.flush` asked for is delivered before.
    Raises: SourceRefused at the first opening, before the first batch (later it counts as a loss: the camera has been
    changed meanwhile).
    """
    delivers = trio.Event() if delivers is None else delivers
    await _Supervisor(open_source, send, clock, device, switch or CaptureSwitch(), delivers).run()


@dataclass(eq=False)
class _Supervisor:
    _open_source: Callable[[], MediaSource]
    _send: Callable[[MediaEvent], None]
    _clock: Clock
    _device: Device
    _switch: CaptureSwitch
    _delivers: trio.Event
    _up: set[Device] = field(default_factory=set)
    _state: Supervised = field(default_factory=partial(Supervised, BACKOFF))
    _refusals_are_final: bool = True
    _on_trial: bool = False  # it was refused when it delivered last, or it comes and goes
    _was_refused: bool = False  # why it is on trial; else it comes and goes, and is tried again as soon as ever
    _was_lost: bool = False  # by the opening before this one
    _relapses: int = 0  # in a row
    _came_up_s: float = math.inf  # trio's time, in this opening
    _trial: dict[Device, SourceUp] = field(default_factory=dict)  # what has come up meanwhile
    _trial_ends_s: float = math.inf  # trio's time
    _lapses: dict[Device, set[str]] = field(default_factory=dict)  # why its track stopped, told since it was up
    _hung: list[MayHang] = field(default_factory=list)  # earlier openings whose threads hang
    _wedged_s: float | None = None  # trio's time at which these have hung for too long
    _patience: trio.CancelScope = field(default_factory=trio.CancelScope)

    async def run(self) -> None:
        while True:
            if not self._switch.is_on:
                await self._switch.wait(True)
                self._state = Supervised(BACKOFF)
                self._on_trial = self._was_refused = self._was_lost = False
                self._relapses = 0
                self._lapses.clear()
                self._wedged_s = None  # closed, it need not deliver
            reason = await self._open()
            if reason is None:
                return
            if reason == ASLEEP:
                continue
            await self._check_wedged(reason)
            with trio.move_on_after(self._state.delay_s):
                await self._switch.wait(False)

    async def _open(self) -> str | None:
        """One opening, to its end; returns why it ended, None when there is nothing to be opened any more."""
        source = self._open_source()
        refused = False
        self._came_up_s = math.inf
        if self._wedged_s is None and self._hangs():
            self._wedged_s = trio.current_time() + WEDGED_S
        self._patience = trio.CancelScope()
        self._patience.deadline = math.inf if self._wedged_s is None else self._wedged_s
        try:
            with self._switch.attached(source) as scope, self._patience:
                await source.run(self._forward)
        except SourceEnded as end:
            self._down(str(end), final=True)
            return None
        except DeviceLost as lost:
            reason = str(lost)
        except SourceRefused as refusal:
            if self._refusals_are_final:
                raise
            reason, refused = str(refusal), True
        else:
            reason = "it stopped delivering without a reason"
            if scope.cancelled_caught:
                reason = ASLEEP
            elif self._patience.cancelled_caught:
                reason = "it delivered nothing"
        finally:
            self._refusals_are_final = False
            if isinstance(source, MayHang) and source.hangs():
                self._hung.append(source)
        # What an attempt says while the device is away ("no such file") is no news, unless somebody has to mend it.
        # One that was up on trial has to be told to be down again, and its fault has never been over.
        if self._state.lost(self._clock.monotonic_ns(), reason, new_reason_is_news=refused) or self._trial:
            self._down(reason)
        is_lost = reason != ASLEEP
        if self._came_up_s < math.inf:
            relapsed = self._was_lost and trio.current_time() - self._came_up_s < TRIAL_S
            self._relapses = self._relapses + 1 if relapsed else 0
        flickers = self._relapses > MOST_RELAPSES
        self._was_lost = is_lost
        self._was_refused = (self._was_refused or refused) and is_lost
        self._on_trial = (self._on_trial or refused or flickers) and is_lost
        self._trial.clear()
        return reason

    def _hangs(self) -> int:
        """The number of threads that hang in the device's driver."""
        self._hung = [source for source in self._hung if source.hangs()]
        return len(self._hung)

    async def _check_wedged(self, reason: str) -> None:
        """Return while the device may still be opened again. Raises: DeviceWedged."""
        while (hung := self._hangs()) and (
            hung >= MOST_HUNG or (self._wedged_s is not None and trio.current_time() >= self._wedged_s)
        ):
            if self._device == "camera" or not self._switch.flushes:
                raise DeviceWedged(
                    f"{self._device}: a thread hangs in its driver, and it can't be opened again: {reason}"
                )
            await trio.sleep(LOOK_S)
        if not hung:
            self._wedged_s = None

    def _forward(self, event: MediaEvent) -> None:
        match event:
            case SourceUp():
                self._up.add(event.device)
                self._lapses.pop(event.device, None)
                if self._on_trial:
                    if not self._trial:
                        self._trial_ends_s = trio.current_time() + TRIAL_S
                    event = self._trial[event.device] = replace(event, on_trial=True)
                else:
                    self._state.opened(self._clock.monotonic_ns())
                if event.device == self._device:
                    self._came_up_s = trio.current_time()
                    self._delivers.set()
            case Batch():
                if not self._was_refused:
                    self._state.works()
                if self._on_trial and trio.current_time() >= self._trial_ends_s:
                    self._acquit()
                self._wedged_s, self._patience.deadline = None, math.inf
                self._refusals_are_final = False  # the source was as configured: what changed is not the configuration
            case SourceDown():  # one of two tracks
                self._up.discard(event.device)
                self._trial.pop(event.device, None)
                if not self._is_news(event.device, event.reason):
                    return
            case MediaGap() | FaultChanged():
                pass
            case _:
                assert_never(event)
        self._send(event)

    def _is_news(self, device: Device, reason: str) -> bool:
        """True if nobody was told that for this reason nothing is gained of the device. It is opened again and again,
        and each time the same reasons follow each other."""
        told = self._lapses.setdefault(device, set())
        known = reason in told
        told.add(reason)
        return not known

    def _acquit(self) -> None:
        """What was refused before, or came and went, has delivered for long enough: its fault is over."""
        self._on_trial = self._was_refused = False
        self._state.opened(self._clock.monotonic_ns())
        for event in self._trial.values():
            self._send(replace(event, on_trial=False))
        self._trial.clear()

    def _down(self, reason: str, *, final: bool = False) -> None:
        at_ns = self._clock.monotonic_ns()
        devices = sorted(self._up or {self._device})
        up, self._up = self._up, set()
        for device in devices:
            if device in self._lapses and device not in up and not self._is_news(device, reason) and not final:
                continue
            self._send(SourceDown(device, at_ns, reason, final, asked=reason == ASLEEP))


class CaptureDevices:
    """The camera and the microphone: kept delivering, and switched by the recorder (`bwvd.recorder.ports.Devices`).

    Args:
        open_camera: makes a source of video, and of audio too where it is one device with its microphone.
        open_microphone: makes the microphone's source; None where there is none of its own.
        expect_audio: the track that the microphone will have, where the configuration says it all; None = it does not.
        gate: read by the sources' threads.
        awake: whether the devices are opened at the start.

    **Synchronization:** trio's thread.
    """

    def __init__(
        self,
        open_camera: Callable[[], MediaSource],
        open_microphone: Callable[[], MediaSource] | None,
        gate: AudioGate,
        clock: Clock,
        *,
        expect_audio: Callable[[], Track] | None = None,
        awake: bool = True,
    ) -> None:
        self._expect_audio = expect_audio
        self._open_camera = open_camera
        self._open_microphone = open_microphone
        self._gate = gate
        self._clock = clock
        self._switch = CaptureSwitch(awake)
        self.camera_delivers = trio.Event()  # has, for the first time

    def wake(self) -> None:
        self._switch.on()

    def sleep(self) -> None:
        self._switch.flush(False)
        self._switch.off()

    def keep_partial(self, keep: bool) -> None:
        self._switch.flush(keep)

    def open_gate(self, from_ns: int) -> None:
        self._gate.open(from_ns)

    def close_gate(self) -> None:
        self._gate.close()

    def expected_audio(self) -> Track | None:
        return self._expect_audio() if self._expect_audio is not None else None

    async def run(self, send: Callable[[MediaEvent], None]) -> None:
        """Keep the devices delivering until cancelled. `send` never blocks.

        **Cancellation:** each device is closed; its GOP in the making is delivered if a recording runs, else wiped.
        Raises: SourceRefused, when a source can't work as configured at its first opening.
        """
        async with trio.open_nursery() as nursery:
            run = partial(run_source, send=send, clock=self._clock, switch=self._switch)
            nursery.start_soon(partial(run, self._open_camera, device="camera", delivers=self.camera_delivers))
            if self._open_microphone is not None:
                nursery.start_soon(partial(run, self._open_microphone, device="microphone"))
