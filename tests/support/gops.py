"""Small GOPs for tests of the pure core: bytes that are no video, times that are real."""

from __future__ import annotations

from bwvd.clock import NS
from bwvd.media.samples import Batch, Gop, Sample, Track

VIDEO = Track(kind="video", codec="h264", timescale=90000, init=b"video", source="virtual", encoder="copy", rate=10.0)
AUDIO = Track(
    kind="audio", codec="aac", timescale=48000, init=b"audio", source="virtual", encoder="aac", rate=48000.0, channels=1
)
AUDIO_FRAME_NS = 1024 * NS // 48000


def video_batch(start_ns: int, frames: int = 10, frame_ns: int = NS // 10, size: int = 100) -> Batch:
    samples = tuple(
        Sample(i * size, size, start_ns + i * frame_ns, start_ns + i * frame_ns, frame_ns, i == 0)
        for i in range(frames)
    )
    return Batch(VIDEO, samples, bytearray(b"v" * size * frames))


def audio_batch(start_ns: int, span_ns: int, track: Track = AUDIO) -> Batch:
    count = max(1, span_ns // AUDIO_FRAME_NS)
    samples = tuple(
        Sample(i * 8, 8, start_ns + i * AUDIO_FRAME_NS, start_ns + i * AUDIO_FRAME_NS, AUDIO_FRAME_NS, True)
        for i in range(count)
    )
    return Batch(track, samples, bytearray(b"a" * 8 * count))


def gop(start_ns: int, frames: int = 10, frame_ns: int = NS // 10, size: int = 100) -> Gop:
    return Gop(video_batch(start_ns, frames, frame_ns, size))
