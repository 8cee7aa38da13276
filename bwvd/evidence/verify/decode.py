"""Decoder of segments, for the count of their frames: the proof that what is signed is also video."""

from __future__ import annotations

import io
from typing import NamedTuple

from bwvd.evidence.errors import EvidenceError
from bwvd.media.silence import silence_of
from bwvd.text import one_line


class NotDecodable(EvidenceError):
    """libav can't decode a segment. One line."""


class Counted(NamedTuple):
    """What a segment holds."""

    frames: int
    audio_frames: int  # coded ones
    silent_frames: int  # of these: the coded silence that is put in where there was no audio


def count_frames(init: bytes, segment: bytes) -> Counted:
    """How many frames of video and audio `segment` gives behind its init segment.

    Every frame of both is decoded.

    Raises: NotDecodable.
    """
    import av  # here: most verify without decoding, and libav is half of what they would load
    import av.error

    frames = audio_frames = silent_frames = 0
    try:
        with av.open(io.BytesIO(init + segment), "r", format="mp4") as container:
            silences = [silence_of(stream) for stream in container.streams.audio]
            quiet = {silence.data for silence in silences if silence is not None}
            for packet in container.demux():
                if packet.stream.type == "audio" and packet.size:
                    audio_frames += 1
                    silent_frames += bytes(packet) in quiet
                decoded = len(packet.decode()) if packet.size or packet.stream.type == "video" else 0
                if packet.stream.type == "video":
                    frames += decoded
    except (av.error.FFmpegError, ValueError, EOFError) as error:
        raise NotDecodable(f"does not decode: {one_line(error)}") from None
    return Counted(frames, audio_frames, silent_frames)
