"""Coded samples, and what holds them: a batch of one track in a buffer that can be wiped, a GOP of both tracks.

Times are integers in nanoseconds of CLOCK_MONOTONIC. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from bwvd.clock import NS

Kind = Literal["video", "audio"]

_ZEROS = memoryview(bytes(1 << 16))


def overwrite(view: memoryview) -> None:
    """Fill a view of bytes with zeros. Takes no memory, however large it is: half a megabyte of new zeros a second,
    each page of them faulted in, cost more than the copying.
    """
    size, step = len(view), len(_ZEROS)
    if size <= step:
        view[:] = _ZEROS[:size]
        return
    for at in range(0, size, step):
        end = min(at + step, size)
        view[at:end] = _ZEROS[: end - at]


def ticks(ns: int, timescale: int) -> int:
    """Nanoseconds in ticks of 1/timescale s, rounded to the nearest."""
    return (ns * timescale + NS // 2) // NS


class Sample(NamedTuple):
    """One access unit (video) or one coded frame (audio) inside its batch's buffer."""

    offset: int  # bytes from the start of Batch.data
    size: int  # bytes
    pts_ns: int
    dts_ns: int
    duration_ns: int
    key: bool


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """What a decoder must know before the first sample. Compared by identity: a new object is a new track epoch.

    `init` is a fragmented-MP4 init segment (ftyp + moov) that holds this one track; samples are in the form that MP4
    stores (length-prefixed NAL units, raw AAC frames), with parameter sets in `init`.
    """

    kind: Kind
    codec: str  # libav's decoder name: "h264", "hevc", "aac"
    timescale: int  # ticks per second in the MP4 track: 90000 for video, the sampling rate for audio
    init: bytes
    source: str  # as configured: "v4l2:/dev/video0"
    encoder: str  # "libx264", "h264_v4l2m2m", "copy", "aac"
    width: int = 0
    height: int = 0
    rate: float = 0.0  # nominal frames (video) or samples (audio) per second
    channels: int = 0
    stamped: bool = False  # time and device are drawn into the frames
    preset: str = ""  # of the encoder, where it has presets: how much work it puts into a frame
    times: str = ""  # "arrival": the frames bring no time of their own, and have that at which they came

    def continues(self, other: Track) -> bool:
        """Whether samples of this track may follow those of another one in the same epoch of a recording."""
        return self is other or (self.init == other.init and self.encoder == other.encoder)


@dataclass(slots=True, eq=False)
class Batch:
    """Samples of one track in decode order, and the one buffer that we own and can wipe.

    A video batch is one closed GOP: its first sample, and no other, is a key frame; its last sample's duration reaches
    to the next GOP's first dts when that was known. An audio batch is the audio since the last one.

    The loop and the writer's backlog share batches: each holds one while it needs it, and the last to let go wipes it.
    """

    track: Track
    samples: tuple[Sample, ...]  # never empty
    data: bytearray
    stretched: int = 0  # samples of audio put in (+) or left out (-) since the last batch, so that it follows the clock
    _holds: int = field(default=0, repr=False)

    @property
    def start_ns(self) -> int:
        """Presentation time of the first sample."""
        return self.samples[0].pts_ns

    @property
    def end_ns(self) -> int:
        """Where the next batch's first presentation time is expected."""
        first, last = self.samples[0], self.samples[-1]
        return first.pts_ns + (last.dts_ns + last.duration_ns - first.dts_ns)

    def hold(self) -> None:
        """Say that one more owner needs the buffer."""
        self._holds += 1

    def release(self) -> None:
        """Let go; the last owner's release overwrites the buffer."""
        self._holds -= 1
        if self._holds == 0:
            self.wipe()

    def wipe(self) -> None:
        """Overwrite the samples with zeros; the buffer keeps its size (a packet may still point into it)."""
        overwrite(memoryview(self.data))


@dataclass(frozen=True, slots=True, eq=False)
class Gop:
    """One group of pictures with the audio of the same span: the unit of the loop and of everything after it.

    While the camera is gone and the microphone is not, a unit has audio alone.

    late_from_ns: audio of its span from there on may come late, and then is in a later one; None: none will.
    """

    video: Batch | None
    audio: Batch | None = None
    late_from_ns: int | None = None

    @property
    def batches(self) -> tuple[Batch, ...]:
        video, audio = self.video, self.audio
        if video is None:
            return () if audio is None else (audio,)
        return (video,) if audio is None else (video, audio)

    @property
    def leading(self) -> Batch:
        """The batch whose span is the GOP's."""
        return self.batches[0] if self.video is None else self.video

    @property
    def start_ns(self) -> int:
        return self.leading.start_ns

    @property
    def end_ns(self) -> int:
        return self.leading.end_ns

    @property
    def settled_ns(self) -> int:
        """Up to where in its span all the audio is here that there will be."""
        return self.end_ns if self.late_from_ns is None else min(self.end_ns, self.late_from_ns)

    @property
    def frames(self) -> int:
        return len(self.video.samples) if self.video else 0

    @property
    def size(self) -> int:
        """Bytes of media held."""
        return sum(len(batch.data) for batch in self.batches)

    def hold(self) -> Gop:
        for batch in self.batches:
            batch.hold()
        return self

    def release(self) -> None:
        for batch in self.batches:
            batch.release()

    def wipe(self) -> None:
        """Overwrite the samples: nobody holds them, and nobody is to."""
        for batch in self.batches:
            batch.wipe()

    def without_audio(self, until_ns: int) -> Gop:
        """The same video without its audio, of which that from `until_ns` on may still come; shares the buffer."""
        return Gop(self.video, late_from_ns=until_ns)
