"""The completion of a recording: decides when a stopping one is complete, and which span has no video. Pure.

The GOP that holds the last moment comes when it is whole, which may be long after that moment; without a camera the
last audio is waited for. The time is an argument.
"""

from __future__ import annotations

from bwvd.clock import NS
from bwvd.recorder.gop_builder import AUDIO_WAIT_NS, GopBuilder
from bwvd.recorder.in_progress import RecordingInProgress
from bwvd.recorder.state_machine import Machine

# How much longer than the loop the end of a recording waits for the GOP that holds its last moment: capture lets none
# be longer than the loop, and of a camera that falls silent it delivers what there is.
LAST_GOP_WAIT_NS = 10 * NS
# When the devices are closed in order, a camera delivers what it has up to its last frame: an older one means that it
# was silent. A thread that waits in a driver has half a second to come back.
SILENT_NS = NS


class Completion:
    """Looks at the recorder's parts and changes none of them. **Synchronization:** one task.

    all_is_in: the devices were closed in order, and what they had has been taken.
    """

    def __init__(self, machine: Machine, builder: GopBuilder, loop_ns: int) -> None:
        self._machine = machine
        self._builder = builder
        self._loop_ns = loop_ns
        self.all_is_in = False

    def given_up_ns(self) -> int:
        """When nobody waits any more for what is still to come."""
        wait_ns = self._loop_ns + LAST_GOP_WAIT_NS if self._builder.has_camera else AUDIO_WAIT_NS
        return self._machine.ends_ns + wait_ns

    def is_reached(self, current: RecordingInProgress | None, now_ns: int) -> bool:
        """Whether a recording of which the state machine says that it is over can be closed."""
        if current is None or not current.opened or now_ns >= self.given_up_ns():
            return True
        if self._builder.has_camera:
            return current.handed_ns >= self._machine.ends_ns
        return self._builder.has_audio_until(self._machine.ends_ns)

    def lacks_until_ns(self, reason: str, current: RecordingInProgress, now_ns: int) -> int | None:
        """Up to where a recording that ends for `reason` may have no video, None where it has all that there is.

        Its camera is away, or was silent for so long that nobody waits any more. What a camera that delivers still has
        when the device ends a recording at once is not missing.
        """
        ends_ns = self._machine.ends_ns
        if reason == "source_ended":
            return None
        if self.all_is_in and ends_ns - current.handed_ns > SILENT_NS:
            return ends_ns
        return ends_ns if not self._builder.has_camera or now_ns >= self.given_up_ns() else None
