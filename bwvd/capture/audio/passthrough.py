"""AAC of a file or stream, kept as it comes."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import av
from av.audio.stream import AudioStream

from bwvd.capture.batch_builder import Assembler
from bwvd.capture.libav_errors import refusing
from bwvd.capture.source import AUDIO_BATCH_NS, NOTHING_DECODES, AudioGate, Out
from bwvd.capture.timestamps import MS, Moment, Stamps, TimeBase, to_ns
from bwvd.clock import NS
from bwvd.media.init_segment import init_of_stream
from bwvd.media.samples import Track, overwrite
from bwvd.messages import MediaGap, SourceUp

TOLERANCE_NS = 15 * MS  # a packet is put where counting says, as long as its stamp is not further off
LOST_NS = 100 * MS  # further on than drift explains: audio is missing
CUT_NS = 250 * MS  # so much left out is more than drift, or the lead-in of a file that begins again

_FRAME = 1024  # samples of an AAC frame whose duration nobody says


def can_copy(stream: AudioStream) -> bool:
    """True if the packets are as MP4 stores them: AAC with its configuration apart, not ADTS."""
    context = stream.codec_context
    return context.codec.canonical_name == "aac" and bool(context.extradata) and bool(context.sample_rate)


class _Held(NamedTuple):
    data: bytearray
    at_ns: int
    duration_ns: int


class CopiedAudio:
    """AAC packets in, batches out; what the gate does not let through is wiped.

    **Synchronization:** one thread; the gate is written by another.
    """

    def __init__(self, stream: AudioStream, source: str, gate: AudioGate) -> None:
        self._gate = gate
        self._rate = stream.codec_context.sample_rate
        self._begin_ns: int | None = None
        self._count = 0  # samples since then
        self._batches = Assembler()
        self._held: deque[_Held] = deque()
        self._cut_ns = 0  # left out since the last packet that was kept
        self._stretched = 0  # samples left open (+) or left out (-), as far as not told
        self._told = False
        self._damaged = False  # packets came to no good since the last one that was kept
        self.gained = 0  # packets taken
        self.lacks = NOTHING_DECODES  # to gain one; what comes here is not decoded
        with refusing("audio.source"):
            init = init_of_stream(stream, self._rate)
        self._track = Track(
            kind="audio",
            codec="aac",
            timescale=self._rate,
            init=init,
            source=source,
            encoder="copy",
            rate=float(self._rate),
            channels=stream.codec_context.layout.nb_channels,
        )

    def feed(self, packet: av.Packet[Any], base: TimeBase, stamps: Stamps, moment: Moment, out: Out) -> None:
        """Take a packet; base: of its stamps, which `stamps` brings to CLOCK_MONOTONIC."""
        if not packet.size:
            return  # the end of the container
        if packet.is_corrupt:
            self._damaged = True
            return
        self.gained += 1
        start_ns = stamps.monotonic(to_ns(packet.pts, base), *moment)
        if not self._told:
            self._told = True
            out(SourceUp("microphone", self._track))
        duration_ns = to_ns(packet.duration, base) or 0
        samples = round(duration_ns * self._rate / NS) or _FRAME
        at_ns = self._place(start_ns, moment.mono_ns, samples, out)
        if at_ns is None:
            return
        end_ns = self._next_ns()
        self._held.append(_Held(bytearray(packet), at_ns, end_ns - at_ns))
        if self._gate.open_from_ns is None:
            self._flush(out)  # what came before the gate closed
            while self._held[0].at_ns < at_ns - AUDIO_BATCH_NS:
                overwrite(memoryview(self._held.popleft().data))
            return
        while self._held:
            data, begin_ns, length_ns = self._held.popleft()
            if self._gate.lets(begin_ns):
                self._batches.add(data, begin_ns, begin_ns, length_ns, True)
            overwrite(memoryview(data))
        if not self._batches.empty and end_ns - self._batches.start_ns >= AUDIO_BATCH_NS:
            self._flush(out)

    def finish(self, out: Out) -> None:
        """Deliver what is left."""
        self._flush(out)

    def interrupt(self, out: Out) -> None:
        """Deliver what there is: the sound has stopped. With its next packet it is up again."""
        self._flush(out)
        while self._held:
            overwrite(memoryview(self._held.popleft().data))
        self._begin_ns, self._count, self._cut_ns, self._told = None, 0, 0, False

    def close(self) -> None:
        """Wipe what is left."""
        self._batches.wipe()
        while self._held:
            overwrite(memoryview(self._held.popleft().data))

    def _next_ns(self) -> int:
        return (self._begin_ns or 0) + self._count * NS // self._rate

    def _place(self, start_ns: int | None, arrival_ns: int, samples: int, out: Out) -> int | None:
        """The packet's time; None if it overlaps what is there already."""
        expected_ns = self._next_ns()
        if self._begin_ns is None:
            self._begin_ns = expected_ns = arrival_ns if start_ns is None else start_ns
        elif start_ns is not None and abs(start_ns - expected_ns) > TOLERANCE_NS:
            if start_ns < expected_ns:
                # What comes from there on lies over what is there. It can't be made shorter, only left out.
                self._cut_ns += samples * NS // self._rate
                self._stretched -= samples
                return None
            hole_ns = start_ns - expected_ns
            if hole_ns > LOST_NS or self._damaged:
                cause = "corrupt" if self._damaged else "dropped_by_device"
                out(MediaGap("audio", expected_ns, start_ns, cause, 0))
            else:
                self._stretched += hole_ns * self._rate // NS
            self._begin_ns, self._count, expected_ns = start_ns, 0, start_ns
        if self._cut_ns > CUT_NS:
            out(MediaGap("audio", expected_ns, expected_ns + self._cut_ns, "timestamps", 0))
        self._cut_ns, self._damaged = 0, False
        self._count += samples
        return expected_ns

    def _flush(self, out: Out) -> None:
        if not self._batches.empty:
            batch = self._batches.take(self._track)
            batch.stretched, self._stretched = self._stretched, 0
            out(batch)
