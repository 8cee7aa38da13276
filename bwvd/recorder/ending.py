"""Whether a recording that is to end has all that belongs to it, and what it lacks. Pure; the time is an argument.

The group of pictures that holds the last moment comes when it is whole, which may be long after that moment; without a
camera it is the last sound that is waited for.
"""

from __future__ import annotations

from bwvd.messages import NS
from bwvd.recorder.assemble import AUDIO_WAIT_NS, Assembler
from bwvd.recorder.machine import Machine
from bwvd.recorder.progress import Lacking, Progress

# How much longer than the loop the end of a recording waits for the GOP that holds its last moment: capture lets none
# be longer than the loop, and of a camera that falls silent it delivers what there is.
LAST_GOP_WAIT_NS = 10 * NS


class Ending:
    """Looks at the recorder's parts and changes none of them. **Synchronization:** one task."""

    def __init__(self, machine: Machine, assembler: Assembler, loop_ns: int) -> None:
        self._machine = machine
        self._assembler = assembler
        self._loop_ns = loop_ns

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

    def lacking(self, reason: str, cause: str, now_ns: int) -> Lacking | None:
        """What a recording that ends for `reason` may have no pictures of: its camera is away for `cause`, or was
        silent for so long that nobody waits any more. What a camera still has when the device ends a recording at once
        is not missing.
        """
        if reason == "source_ended" or (self._assembler.has_camera and now_ns < self.given_up_ns()):
            return None
        return Lacking(self._machine.ends_ns, cause)
