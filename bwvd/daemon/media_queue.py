"""The queue between capture and the recorder: a trio memory channel whose bound counts what carries media.

A device's batches come once a second or four times. `MEDIA_BOUND` that wait mean that trio's thread has been held for
seconds, or that a device gave all of it in one hop: then a batch is dropped and wiped, and what was lost is told as a
gap before the next event that goes through. The camera never waits (invariant 10). What tells a state (a device is up
or down, a fault began or is over) always goes through: it comes a few times a second at most, and without it the
recorder would believe in a camera that is gone.
"""

from __future__ import annotations

import math
from contextlib import suppress

import trio

from bwvd.media.samples import Batch, Kind
from bwvd.messages import MediaEvent, MediaGap

MEDIA_BOUND = 64  # events that wait
CAUSE = "queue_full"


class MediaQueue:
    """Where capture leaves what it has for the recorder, and which never waits.

    **Synchronization:** trio's thread.
    """

    def __init__(self) -> None:
        self._send, self.receive = trio.open_memory_channel[MediaEvent](math.inf)
        self._lost: dict[Kind, MediaGap] = {}  # what no event tells of yet
        self.dropped = 0  # batches, since the start

    def take(self, event: MediaEvent) -> None:
        """Queue one event, or lose a batch and remember its span. Events after a failed recorder go nowhere."""
        full = self.receive.statistics().current_buffer_used >= MEDIA_BOUND
        if full and isinstance(event, Batch):
            self.dropped += 1
            frames = len(event.samples) if event.track.kind == "video" else 0
            self._lose(MediaGap(event.track.kind, event.start_ns, event.end_ns, CAUSE, frames))
            event.wipe()
            return
        if full and isinstance(event, MediaGap):
            self._lose(event)
            return
        self._tell()
        self._put(event)

    def close(self) -> None:
        """Nothing more will come. What was lost last is still told."""
        self._tell()
        self._send.close()

    def _lose(self, gap: MediaGap) -> None:
        known = self._lost.get(gap.kind)
        if known is not None:
            from_ns, to_ns = min(known.from_ns, gap.from_ns), max(known.to_ns, gap.to_ns)
            gap = MediaGap(gap.kind, from_ns, to_ns, CAUSE, known.frames + gap.frames)
        self._lost[gap.kind] = gap

    def _tell(self) -> None:
        lost, self._lost = self._lost, {}
        for gap in lost.values():
            self._put(gap)

    def _put(self, event: MediaEvent) -> None:
        with suppress(trio.BrokenResourceError):  # the recorder has failed; its error is on its way
            self._send.send_nowait(event)
