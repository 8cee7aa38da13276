"""The capture side as the recorder sees it: a camera, perhaps a microphone, one switch and one gate for both."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import trio

from bwvd.capture.reopen import run_source
from bwvd.capture.source import AudioGate, MediaSource
from bwvd.capture.switch import CaptureSwitch
from bwvd.clock import Clock
from bwvd.messages import MediaEvent


class Attendance:
    """What the recorder may ask of the devices (`bwvd.recorder.ports.Devices`), and the tasks that run them.

    Args:
        open_camera: makes a source of video, and of sound too where it is one device with its microphone.
        open_microphone: makes the microphone's source; None where there is none of its own.
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
        awake: bool = True,
    ) -> None:
        self._open_camera = open_camera
        self._open_microphone = open_microphone
        self._gate = gate
        self._clock = clock
        self._switch = CaptureSwitch(awake)

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

    async def run(
        self,
        send: Callable[[MediaEvent], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Keep the devices delivering until cancelled. `send` never blocks.

        **Cancellation:** each device is closed; its GOP in the making is delivered if a recording runs, else wiped.
        Raises: SourceRefused, when a source can't work as configured at its first opening.
        """
        async with trio.open_nursery() as nursery:
            run = partial(run_source, send=send, clock=self._clock, switch=self._switch)
            nursery.start_soon(partial(run, self._open_camera, device="camera"))
            if self._open_microphone is not None:
                nursery.start_soon(partial(run, self._open_microphone, device="microphone"))
            task_status.started()
