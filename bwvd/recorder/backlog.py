"""The queue between recorder and writer: a trio memory channel whose bound is counted in bytes.

Bound: `max_bytes` of media (`storage.backlog_bytes`), so that a stall of the flash costs a known amount of memory.
When full: `offer` says no, and the recorder drops that GOP whole and records a gap; the camera never waits (invariant
10). Notes and openings are small and few: they always find room.
"""

from __future__ import annotations

import math

import trio

from bwvd.media.samples import Gop
from bwvd.messages import WriterMessage


class Backlog:
    """The GOPs and notes on their way to the writer, which holds each GOP until its commit has returned.

    **Synchronization:** trio's thread; the methods never block.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        # No bound on the number of items: the bytes bound the GOPs, and controls bound the pace of the rest.
        self._send, self.receive = trio.open_memory_channel[WriterMessage](math.inf)
        self.bytes = 0  # of media that waits, or is being committed
        self.peak_bytes = 0  # the most that ever was
        self.gops = 0

    def has_room(self, gop: Gop) -> bool:
        """Whether `offer` would take it."""
        # One GOP always fits into an empty backlog, however large: a bound that can never be met would lose all.
        return not self.gops or self.bytes + gop.size <= self.max_bytes

    def offer(self, gop: Gop) -> bool:
        """Queue a GOP and hold it; False, and nothing held, where the bytes would pass the bound."""
        if not self.has_room(gop) or not self.put(gop):
            return False
        gop.hold()
        self.bytes += gop.size
        self.gops += 1
        self.peak_bytes = max(self.peak_bytes, self.bytes)
        return True

    def put(self, message: WriterMessage) -> bool:
        """Queue anything that is not media. False where the writer has failed: its error is on its way to everybody."""
        try:
            self._send.send_nowait(message)
        except trio.BrokenResourceError:
            return False
        return True

    def done(self, gop: Gop) -> None:
        """The writer is through with a GOP that it received: committed, or given up with a gap record."""
        self.bytes -= gop.size
        self.gops -= 1
        gop.release()

    def close(self) -> None:
        """Nothing more will come; the writer drains what is there and ends."""
        self._send.close()
