"""Whether a recording that is to end has all that belongs to it, and what it lacks. Pure; the time is an argument.

The group of pictures that holds the last moment comes when it is whole, which may be long after that moment; without a
camera it is the last sound that is waited for.
"""

from __future__ import annotations

from bwvd.clock import NS
from bwvd.recorder.gop_builder import AUDIO_WAIT_NS, Assembler
from bwvd.recorder.in_progress import Progress
from bwvd.recorder.state_machine import Machine

# How much longer than the loop the end of a recording waits for the GOP that holds its last moment: capture lets none
# be longer than the loop, and of a camera that falls silent it delivers what there is.
LAST_GOP_WAIT_NS = 10 * NS
# When the devices are closed in order, a camera delivers what it has up to its last picture: an older one means that it
# was silent. A thread that waits in a driver has half a second to come back.
SILENT_NS = NS


class Ending:
    """Looks at the recorder's parts and changes none of them. **Synchronization:** one task.

    all_is_in: the devices were closed in order, and what they had has been taken.
    """

    def __init__(self, machine: Machine, assembler: Assembler, loop_ns: int) -> None:
        self._machine = machine
        self._assembler = assembler
        self._loop_ns = loop_ns
        self.all_is_in = False

    def given_up_ns(self) -> int:
        """When nobody waits any more for what is still to come."""
        wait_ns = self._loop_ns + LAST_GOP_WAIT_NS if self._assembler.has_camera else AUDIO_WAIT_NS
        return self._machine.ends_ns + wait_ns

    def is_reached(self, current: Progress | None, now_ns: int) -> bool:
        """Whether a recording of which the state machine says that it is over can be closed."""
        if current is None or not current.opened or now_ns >= self.given_up_ns():
            return True
        if self._assembler.has_camera:
            return current.handed_ns >= self._machine.ends_ns
        return self._assembler.has_sound_until(self._machine.ends_ns)

    def lacks_until_ns(self, reason: str, current: Progress, now_ns: int) -> int | None:
        """Up to where a recording that ends for `reason` may have no pictures, None where it has all that there are.

        Its camera is away, or was silent for so long that nobody waits any more. What a camera that delivers still has
        when the device ends a recording at once is not missing.
        """
        ends_ns = self._machine.ends_ns
        if reason == "source_ended":
            return None
        if self.all_is_in and ends_ns - current.handed_ns > SILENT_NS:
            return ends_ns
        return ends_ns if not self._assembler.has_camera or now_ns >= self.given_up_ns() else None
