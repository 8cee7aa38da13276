"""Keeps a device delivering: opens it, and opens it again when it was lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import trio

from bwvd.capture.source import DeviceLost, MediaSource, SourceEnded, SourceRefused
from bwvd.capture.switch import CaptureSwitch
from bwvd.clock import Clock
from bwvd.messages import Batch, Device, FaultChanged, MediaEvent, MediaGap, SourceDown, SourceUp

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 5.0
ASLEEP = "asleep"


async def run_source(
    open_source: Callable[[], MediaSource],
    send: Callable[[MediaEvent], None],
    *,
    clock: Clock,
    device: Device,
    switch: CaptureSwitch | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a source, and a new one each time it is lost, until it ends for good or we are cancelled.

    open_source: makes a fresh source. send: never blocks; gets the source's events, and SourceDown for every device
    that went down with it (a source may be camera and microphone at once): once for a loss however often it is tried
    again, and once for each new refusal. switch: without one the device is always on.

    `task_status.started()` is called when the device is up, when it was found absent, or when it is switched off.

    **Cancellation:** closes the device; what `switch.flush` asked for is delivered before.
    Raises: SourceRefused at the first opening, before the first batch (later it counts as a loss: the camera has been
    changed meanwhile).
    """
    keeper = _Keeper(open_source, send, clock, device, switch or CaptureSwitch(), task_status)
    await keeper.run()


class _Keeper:
    def __init__(
        self,
        open_source: Callable[[], MediaSource],
        send: Callable[[MediaEvent], None],
        clock: Clock,
        device: Device,
        switch: CaptureSwitch,
        task_status: trio.TaskStatus[None],
    ) -> None:
        self._open_source = open_source
        self._send = send
        self._clock = clock
        self._device: Device = device
        self._switch = switch
        self._task_status = task_status
        self._ready = False
        self._up: set[Device] = set()
        self._delay_s = FIRST_DELAY_S
        self._told: set[str] = set()  # reasons told since the device was up last
        self._refusals_are_final = True

    async def run(self) -> None:
        while True:
            if not self._switch.is_on:
                self._say_ready()
                await self._switch.wait_on()
                self._told.clear()
                self._delay_s = FIRST_DELAY_S
            reason = await self._open()
            if reason is None:
                return
            self._say_ready()
            if reason == ASLEEP:
                continue
            with trio.move_on_after(self._delay_s):
                await self._switch.wait_off()
            self._delay_s = min(2 * self._delay_s, LONGEST_DELAY_S)

    async def _open(self) -> str | None:
        """One opening, to its end; returns why it ended, None when there is nothing to be opened any more."""
        source = self._open_source()
        try:
            with self._switch.attached(source) as scope:
                await source.run(self._forward)
        except SourceEnded as end:
            self._down(str(end), final=True)
            self._say_ready()
            return None
        except DeviceLost as lost:
            reason = str(lost)
        except SourceRefused as refused:
            if self._refusals_are_final:
                raise
            reason = str(refused)
            if reason not in self._told:
                self._told.add(reason)
                self._down(reason)
                return reason
        else:
            reason = ASLEEP if scope.cancelled_caught else "it stopped delivering without a reason"
        finally:
            self._refusals_are_final = False
        # What an attempt says while the device is away ("no such file") is no news.
        if self._up or not self._told:
            self._told.add(reason)
            self._down(reason)
        return reason

    def _forward(self, event: MediaEvent) -> None:
        match event:
            case SourceUp():
                self._up.add(event.device)
                self._told.clear()
                self._send(event)
                self._say_ready()
                return
            case Batch():
                self._delay_s = FIRST_DELAY_S
                self._refusals_are_final = False  # the source was as configured: what changed is not the configuration
            case MediaGap() | SourceDown() | FaultChanged():
                pass
            case _:
                assert_never(event)
        self._send(event)

    def _down(self, reason: str, *, final: bool = False) -> None:
        at_ns = self._clock.monotonic_ns()
        devices = sorted(self._up or {self._device})
        self._up.clear()
        for device in devices:
            self._send(SourceDown(device, at_ns, reason, final, asked=reason == ASLEEP))

    def _say_ready(self) -> None:
        if not self._ready:
            self._ready = True
            self._task_status.started()
