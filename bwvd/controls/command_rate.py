"""A limit on the commands of a line or a socket: what a hand or a script needs, not what a flood would write to flash.

Every command leaves a line in the journal, and a marker one in the manifest. A contact's storms end in its gesture
(`bwvd.controls.gesture`); who sends whole commands could fill a flash with them at the speed of his line.
"""

from __future__ import annotations

from bwvd.clock import NS, Clock
from bwvd.controls.ports import Refused, Send
from bwvd.controls.storm import Bucket
from bwvd.messages import Answer, Command

BURST = 60  # commands at once
REFILL_NS = NS // 4  # one more after so long

TOO_MANY = "too many commands"


def paced(send: Send, clock: Clock, refused: Refused) -> Send:
    """A `send` that says no to a flood; `refused` hears of the first of each flood alone, for the journal."""
    bucket = Bucket(BURST, REFILL_NS)
    flooded = False

    def send_paced(command: Command) -> None:
        nonlocal flooded
        if bucket.lets_through(clock.monotonic_ns()):
            flooded = False
            send(command)
            return
        command.answer(Answer(ok=False, text=TOO_MANY))
        if not flooded:
            flooded = True
            refused(command, f"{command.source}: {TOO_MANY}")

    return send_paced
