"""Decoder of segments, for the count of their frames: the proof that what is signed is also video."""

from __future__ import annotations

import io

from bwvd.evidence.errors import EvidenceError
from bwvd.text import one_line


class NotDecodable(EvidenceError):
    """libav can't decode a segment. One line."""


def count_frames(init: bytes, segment: bytes) -> tuple[int, int]:
    """How many video frames, and how many coded audio frames, `segment` gives behind its init segment.

    Every frame of both is decoded.

    Raises: NotDecodable.
    """
    import av  # here: most verify without decoding, and libav is half of what they would load
    import av.error

    frames = audio_frames = 0
    try:
        with av.open(io.BytesIO(init + segment), "r", format="mp4") as container:
            for packet in container.demux():
                if packet.stream.type == "audio" and packet.size:
                    audio_frames += 1
                decoded = len(packet.decode()) if packet.size or packet.stream.type == "video" else 0
                if packet.stream.type == "video":
                    frames += decoded
    except (av.error.FFmpegError, ValueError, EOFError) as error:
        raise NotDecodable(f"does not decode: {one_line(error)}") from None
    return frames, audio_frames
