"""The Protocol of a media source, and the gate that keeps audio out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from bwvd.messages import MediaEvent

Out = Callable[[MediaEvent], None]
"""Takes what is made of a device's packets, on the device's thread."""


# What a source may raise when its device is gone or will not open; anything else ends the daemon in order.
class DeviceLost(Exception):
    """The device is absent, was unplugged, or stopped delivering. The text is one line that names it. Reopen later."""


class SourceEnded(Exception):
    """The source came to its end (a file without `?loop=1`). Do not reopen."""


class SourceRefused(Exception):
    """The source can never work as configured (no such codec, GOP too long). One line that names the key."""


class Stopped(Exception):
    """A device's thread was asked to stop. Never leaves this package."""


class DeviceWedged(Exception):
    """A thread hangs in the device's driver, and the device can't be opened again: only the end of the process helps.

    Ends the daemon in order. The text is one line that names the device.
    """


@runtime_checkable
class MayHang(Protocol):
    """A source whose thread may never come back from its driver."""

    def hangs(self) -> bool:
        """True if, after the end of `run`, its thread is still inside the driver."""
        ...


class AudioGate:
    """Says from when on audio may enter the loop. Closed = no microphone sample leaves the device's thread.

    **Synchronization:** written on trio's thread, read by the device's thread; one reference, replaced whole.
    """

    def __init__(self) -> None:
        self.open_from_ns: int | None = None

    def open(self, from_ns: int) -> None:
        """Let samples at or after `from_ns` (CLOCK_MONOTONIC) through. A gate that is open already loses nothing by it:
        what it lets through may be on its way still."""
        since = self.open_from_ns
        self.open_from_ns = from_ns if since is None else min(since, from_ns)

    def close(self) -> None:
        self.open_from_ns = None

    def lets(self, start_ns: int) -> bool:
        since = self.open_from_ns
        return since is not None and start_ns >= since


class MediaSource(Protocol):
    """A camera, a microphone, or both in one (a file, an RTSP stream).

    A source delivers batches: a video batch is one closed GOP, sent when the next key frame has arrived, or when the
    source is asked to end; audio batches are sent at least every AUDIO_BATCH_NS of audio.
    """

    async def run(self, send: Callable[[MediaEvent], None]) -> None:
        """Open, send SourceUp when the first sample is there, deliver until cancelled.

        `send` never blocks and is called on trio's thread. Does not send SourceDown for its end: the supervisor does,
        from the exception. A source of two tracks sends it for one that has stopped while the other goes on, and
        SourceUp when that one is back. On cancellation the GOP in the making is sent if `flush_on_cancel` was set, else
        wiped.

        Raises: DeviceLost, SourceEnded, SourceRefused.
        """
        ...

    def flush_on_cancel(self, flush: bool) -> None:
        """Say if the GOP in the making is delivered (a recording runs) or wiped (standby) at the end of `run`."""
        ...


AUDIO_BATCH_NS = 250_000_000

NO_KEY_FRAME = "no key frame"
"""What a path lacks to gain a sample of the packets that come."""
NOTHING_DECODES = "nothing decodes"
NO_CLOSED_GROUP = "no key frame but those of open groups of pictures"
