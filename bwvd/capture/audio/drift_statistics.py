"""Statistics of what keeps the audio in step with the video: samples put in and left out, and gaps."""

from __future__ import annotations

from bwvd.media.samples import Batch
from bwvd.messages import MediaEvent, MediaGap


class Corrections:
    """Sums since the daemon began.

    **Synchronization:** trio's thread.
    """

    def __init__(self) -> None:
        self.put_in = 0  # samples that the resampler has made more, because the microphone runs slow
        self.left_out = 0  # samples that it has made fewer, because the microphone runs fast
        self.gaps = 0  # stretches that were lost, or left out because they lay over others
        self.gap_ns = 0  # how long these were

    def take(self, event: MediaEvent) -> None:
        """Look at what a device has sent."""
        if isinstance(event, Batch):
            self.put_in += max(event.stretched, 0)
            self.left_out += max(-event.stretched, 0)
        elif isinstance(event, MediaGap) and event.kind == "audio":
            self.gaps += 1
            self.gap_ns += event.to_ns - event.from_ns
