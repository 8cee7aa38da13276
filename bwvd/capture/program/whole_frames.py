"""Whether each frame of raw H.264 is whole, where nobody else decodes it.

Raw H.264 has no sums and no lengths: half a frame with the next one behind it is again a valid stream, and so is one
whose last slices are missing. Only a decoder notices, at the first macroblock that is not there.
"""

from __future__ import annotations

import re

import av
from av.codec.context import Flags

from bwvd.media.init_segment import STRICTEST

_IDR = re.compile(rb"\x00\x00\x01[\x05\x25\x45\x65]")  # nal_unit_type 5, whatever its nal_ref_idc


class WholeFrames:
    """A decoder beside frames that are kept as they come. Without the loop filter, whose work nobody would see.

    **Synchronization:** one thread.
    """

    def __init__(self) -> None:
        context = av.CodecContext.create("h264", "r")
        assert isinstance(context, av.VideoCodecContext)  # noqa: S101 - of a codec of pictures
        context.options = {**STRICTEST, "skip_loop_filter": "all"}
        context.thread_count = 1
        context.flags |= Flags.low_delay  # each frame comes out with its own packet
        self._context = context
        self._lost = False  # what the next frames refer to

    def is_whole(self, unit: bytes) -> bool:
        """False for an access unit of which something is missing. Those that refer to it are not judged: up to the next
        key frame nobody keeps them anyway."""
        if self._lost:
            if _IDR.search(unit) is None:
                return True
            self._lost = False
        try:
            self._lost = any(frame.is_corrupt for frame in self._context.decode(av.Packet(unit)))
        except (av.FFmpegError, ValueError):
            self._lost = True
        if self._lost:
            self._context.flush_buffers()
        return not self._lost
