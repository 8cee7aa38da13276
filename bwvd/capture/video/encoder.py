"""The Protocol of a video encoder, and its failure."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Protocol

import av

from bwvd.capture.video.presentation import Presentation
from bwvd.config.schema import Video
from bwvd.media.samples import Batch, Track


class EncoderFailed(Exception):
    """The encoder took a frame and failed. The text is the reason, without the encoder's name."""


class EncoderUnfit(EncoderFailed):
    """The encoder works, and does not what a recording needs of it: it never did."""


class Encoder(Protocol):
    """Frames of one size in, closed GOPs out, in the order in which they went in.

    **Synchronization:** one thread.
    """

    @property
    def track(self) -> Track | None:
        """The parameters that a decoder needs; None until the encoder has given them (with its first frame)."""
        ...

    @property
    def copies(self) -> bool:
        """True if `encode` copies the frame, so that the caller may reuse its buffer."""
        ...

    def begins_group(self, at_ns: int) -> bool:
        """True if a frame taken at `at_ns` would begin a GOP."""
        ...

    def encode(self, frame: av.VideoFrame, at_ns: int) -> list[Batch]:
        """Take a frame; returns the GOPs that are complete by now. Raises: EncoderFailed."""
        ...

    def came_out(self) -> list[int]:
        """The times of the frames that have come out since this was last asked, as they were given to `encode`
        (to 50 µs: a track counts in ticks)."""
        ...

    def finish(self, next_ns: int | None = None) -> list[Batch]:
        """Take what the encoder still holds, and end the last GOP. No frame may follow. Raises: EncoderFailed.

        next_ns: when the first frame of the next encoder was taken, if there will be one.
        """
        ...

    def salvage(self) -> list[Batch]:
        """After a failure: what had come out of it and was not handed over. Asks nothing of the encoder."""
        ...

    def close(self) -> None:
        """Wipe what was not handed over and let go of the encoder."""
        ...


MakeEncoder = Callable[[str, Video, int, int, Fraction, str, int, Presentation], Encoder]
"""(name, settings, width, height, nominal frames per second, source, CLOCK_MONOTONIC of its first frame, presentation
of its frames, of full range only for one of `FULL_RANGE`).

Raises: SourceRefused, naming `video.encoder`, when there is no such encoder or it takes none of this.
"""
