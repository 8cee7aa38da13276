"""The barrier of a sleep: what the devices gave before it, and is still on its way, goes no further. Pure."""

from __future__ import annotations

from bwvd.media.samples import Batch
from bwvd.messages import Device, FaultChanged, MediaEvent, MediaGap


class SleepBarrier:
    """Tells what comes from before the last sleep, also when a press in the same moment has woken the device.

    The loop is wiped at once, while a device's thread takes a moment to end: batches of its last opening may be in the
    channel, or be put there after the press. They end with the device's SourceDown, and their time tells them too:
    a device that was down already says nothing more.

    **Synchronization:** one task.
    """

    def __init__(self) -> None:
        self._slept_ns = 0
        self._closing: set[Device] = set()

    def sleep(self, now_ns: int, camera: bool, microphone: bool) -> None:
        """The devices are being closed. camera, microphone: it is up, and will say that it is down."""
        self._slept_ns = now_ns
        self._closing.update(["camera"] if camera else [], ["microphone"] if microphone else [])

    def passes(self, event: MediaEvent, *, asleep: bool) -> bool:
        """Take the next event of the devices. False if it is media, now wiped, or a gap from before the last sleep.

        asleep: the devices are to be closed now.
        """
        if isinstance(event, Batch):
            device: Device = "camera" if event.track.kind == "video" else "microphone"
            passes = not asleep and device not in self._closing and event.start_ns >= self._slept_ns
            if not passes:
                event.wipe()
            return passes
        if isinstance(event, MediaGap):
            return event.to_ns > self._slept_ns
        if not isinstance(event, FaultChanged):
            self._closing.discard(event.device)  # what follows is of another opening
        return True
