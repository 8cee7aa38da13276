"""Camera and microphone, attended to for as long as the daemon runs: opened, reopened when lost, closed for sleep."""

from __future__ import annotations

from collections.abc import Callable

import trio

from bwvd.capture.source import AudioGate, DeviceLost, MediaSource, SourceEnded, SourceRefused
from bwvd.clock import Clock
from bwvd.messages import Device, MediaEvent, SourceDown

FIRST_WAIT_S = 0.2  # before a lost device is opened again; doubles up to the last
LAST_WAIT_S = 5.0

Send = Callable[[MediaEvent], None]


class Attendance:
    """The capture side as the recorder sees it (`bwvd.recorder.recorder.Devices`), and the tasks behind it.

    Args:
        camera: delivers video, and sound too where it is one device with its microphone.
        microphone: None where there is none of its own.
        gate: read by the sources' threads.
        awake: whether the devices are opened at the start.

    **Synchronization:** trio's thread.
    """

    def __init__(
        self, camera: MediaSource, microphone: MediaSource | None, gate: AudioGate, clock: Clock, *, awake: bool = True
    ) -> None:
        self._sources: list[tuple[Device, MediaSource]] = [("camera", camera)]
        if microphone is not None:
            self._sources.append(("microphone", microphone))
        self._gate = gate
        self._clock = clock
        self._awake = awake
        self._woken = trio.Event()
        self._open: set[trio.CancelScope] = set()

    # --- from the recorder -------------------------------------------------------------------------------------------

    def wake(self) -> None:
        self._awake = True
        self._woken.set()

    def sleep(self) -> None:
        self.keep_partial(False)
        self._awake = False
        self._woken = trio.Event()
        for scope in self._open:
            scope.cancel()

    def keep_partial(self, keep: bool) -> None:
        for _, source in self._sources:
            source.flush_on_cancel(keep)

    def open_gate(self, from_ns: int) -> None:
        self._gate.open(from_ns)

    def close_gate(self) -> None:
        self._gate.close()

    # --- the actor ---------------------------------------------------------------------------------------------------

    async def run(self, send: Send, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Attend to all devices until cancelled. `send` never blocks.

        **Cancellation:** each device is closed; its GOP in the making is delivered if a recording runs, else wiped.
        Raises: SourceRefused, when a source can't work as configured at its first opening.
        """
        async with trio.open_nursery() as nursery:
            for device, source in self._sources:
                nursery.start_soon(self._attend, device, source, send)
            task_status.started()

    async def _attend(self, device: Device, source: MediaSource, send: Send) -> None:
        up = _Up()
        ended = False
        while not ended:
            while not self._awake:
                await self._woken.wait()
            with trio.CancelScope() as scope:
                self._open.add(scope)
                try:
                    ended = await self._keep_open(device, source, send, up)
                finally:
                    self._open.discard(scope)
            if not ended:
                send(SourceDown(device, self._clock.monotonic_ns(), "asleep", asked=True))

    async def _keep_open(self, device: Device, source: MediaSource, send: Send, up: _Up) -> bool:
        """Open and reopen until cancelled; True when the source has come to its end."""
        wait_s = FIRST_WAIT_S
        reported = False
        while True:
            up.now = False
            try:
                await source.run(send, task_status=up)
            except SourceEnded as error:
                send(SourceDown(device, self._clock.monotonic_ns(), str(error), final=True))
                return True
            except SourceRefused as error:
                if not up.ever:
                    raise  # from the first opening on it is a loss: other parameters may come back
                reason = str(error)
            except DeviceLost as error:
                reason = str(error)
            else:
                raise RuntimeError(f"{device}: a source returned without saying why")
            if up.now:
                wait_s = FIRST_WAIT_S
            if up.now or not reported:
                reported = True
                send(SourceDown(device, self._clock.monotonic_ns(), reason))
            await trio.sleep(wait_s)
            wait_s = min(2 * wait_s, LAST_WAIT_S)


class _Up:
    """A task status that notes that the device delivered."""

    def __init__(self) -> None:
        self.now = False  # since it was last opened
        self.ever = False

    def started(self, value: None = None) -> None:  # noqa: ARG002  trio's signature
        self.now = self.ever = True
