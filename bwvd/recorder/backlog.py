"""The queue between recorder and writer: a trio memory channel whose bound is counted in bytes.

Bound: `max_bytes` of media (`storage.backlog_bytes`), so that a stall of the flash costs a known amount of memory.
When full: `offer` says no, and the recorder drops that GOP whole and records a gap; the camera never waits (invariant
10). Notes and openings are small and few: they always find room.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import trio

from bwvd.media.samples import Gop
from bwvd.messages import WriterMessage


@dataclass(frozen=True, slots=True)
class InboxStatistics:
    backlog_bytes: int
    backlog_gops: int
    peak_bytes: int
    dropped_gops: int


class Inbox:
    """Where the recorder leaves what the writer is to keep. The writer holds each GOP until its commit has returned.

    **Synchronization:** trio's thread; the methods never block.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        # No bound on the number of items: the bytes bound the GOPs, and controls bound the pace of the rest.
        self._send, self.receive = trio.open_memory_channel[WriterMessage](math.inf)
        self._bytes = 0
        self._gops = 0
        self._peak = 0
        self._dropped = 0

    def has_room(self, gop: Gop) -> bool:
        """Whether `offer` would take it."""
        # One GOP always fits into an empty backlog, however large: a bound that can never be met would lose all.
        return not self._gops or self._bytes + gop.size <= self.max_bytes

    def offer(self, gop: Gop) -> bool:
        """Queue a GOP and hold it; False, and nothing held, where the bytes would pass the bound."""
        if not self.has_room(gop):
            self._dropped += 1
            return False
        if not self.put(gop):
            return False
        gop.hold()
        self._bytes += gop.size
        self._gops += 1
        self._peak = max(self._peak, self._bytes)
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
        self._bytes -= gop.size
        self._gops -= 1
        gop.release()

    def close(self) -> None:
        """Nothing more will come; the writer drains what is there and ends."""
        self._send.close()

    def statistics(self) -> InboxStatistics:
        return InboxStatistics(self._bytes, self._gops, self._peak, self._dropped)
