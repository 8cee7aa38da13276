"""How many commands a line or a socket may give: what a hand or a script needs, not what a flood would write to flash.

Every command leaves a line in the journal, and a marker one in the manifest. A contact's storms end in its gesture
(`bwvd.controls.gesture`); who sends whole commands could fill a flash with them at the speed of his line.
"""

from __future__ import annotations

from bwvd.clock import NS, Clock
from bwvd.controls.ports import Refused, Send
from bwvd.messages import Answer, Command

BURST = 60  # commands at once
REFILL_NS = NS // 4  # one more after so long

TOO_MANY = "too many commands"


class Pace:
    """A bucket of `burst` that fills by one every `refill_ns`. Pure. **Synchronization:** one caller at a time."""

    def __init__(self, burst: int = BURST, refill_ns: int = REFILL_NS) -> None:
        self._burst = burst
        self._refill_ns = refill_ns
        self._room = burst
        self._since_ns: int | None = None  # up to when it has been filled

    def lets_through(self, now_ns: int, *, leaving: int = 0) -> bool:
        """Take one out at CLOCK_MONOTONIC `now_ns`, if more than `leaving` are there; False if not."""
        since_ns = now_ns if self._since_ns is None else self._since_ns
        more = max(now_ns - since_ns, 0) // self._refill_ns
        self._room = min(self._room + more, self._burst)
        self._since_ns = now_ns if self._room == self._burst else since_ns + more * self._refill_ns
        if self._room <= leaving:
            return False
        self._room -= 1
        return True


def paced(send: Send, clock: Clock, refused: Refused, pace: Pace | None = None) -> Send:
    """A `send` that says no to a flood; `refused` hears of the first of each flood alone, for the journal.

    pace: shared with what else the control's clients may ask for and is journalled; its own by default.
    """
    pace = pace or Pace()
    flooded = False

    def send_paced(command: Command) -> None:
        nonlocal flooded
        if pace.lets_through(clock.monotonic_ns()):
            flooded = False
            send(command)
            return
        command.answer(Answer(ok=False, text=TOO_MANY))
        if not flooded:
            flooded = True
            refused(command, f"{command.source}: {TOO_MANY}")

    return send_paced
