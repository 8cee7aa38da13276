"""Audio to AAC batches: decoded and encoded again, counted by samples, and kept in by the gate."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from typing import Any, NamedTuple

import av
from av.audio.stream import AudioStream
from av.codec.context import Flags

from bwvd.capture.audio.resample import SoftResampler
from bwvd.capture.audio.sample_clock import SampleClock
from bwvd.capture.batch_builder import Assembler
from bwvd.capture.libav_errors import why
from bwvd.capture.source import AUDIO_BATCH_NS, NOTHING_DECODES, AudioGate, DeviceLost, Out, SourceRefused
from bwvd.capture.timestamps import Moment, Stamps, TimeBase, to_ns
from bwvd.clock import NS
from bwvd.config.schema import Audio
from bwvd.media.init_segment import InitSegment
from bwvd.media.samples import Track
from bwvd.messages import MediaGap, SourceUp

_ENCODER = "aac"
SAMPLE_FORMAT = "fltp"
_UNSIGNED = frozenset({"u8", "u8p"})

HELD_NS = AUDIO_BATCH_NS  # of raw audio while the gate is closed: longer than a press needs to open it


class AudioEncoder:
    """One AAC encoder; its output counted from `begin_ns`.

    **Synchronization:** one thread.
    """

    def __init__(self, config: Audio, source: str) -> None:
        """Raises: SourceRefused when the encoder does not take the rate or the channels."""
        self._segment = InitSegment()
        try:
            stream = self._segment.container.add_stream(_ENCODER, rate=config.rate)
            assert isinstance(stream, AudioStream)  # noqa: S101 - libav's own encoder, known to be one for audio
            context = stream.codec_context
            context.layout = "mono" if config.channels == 1 else "stereo"
            context.format = SAMPLE_FORMAT
            context.bit_rate = config.bitrate
            context.time_base = stream.time_base = Fraction(1, config.rate)
            context.flags |= Flags.global_header
            init = self._segment.finish()
        except (av.FFmpegError, ValueError) as error:
            self._segment.close()
            raise SourceRefused(f"audio.rate, audio.channels or audio.bitrate: {_ENCODER}: {why(error)}") from error
        self._stream = stream
        self._rate = config.rate
        self._frame = context.frame_size
        # What the encoder puts before the first sample; libav's `aac` always one frame.
        self._count = -self._frame
        self._fed: deque[tuple[av.AudioFrame, int]] = deque()  # what may not have been encoded yet, and where it ends
        self._fed_samples = 0
        self.track = Track(
            kind="audio",
            codec="aac",
            timescale=config.rate,
            init=init,
            source=source,
            encoder=_ENCODER,
            rate=float(config.rate),
            channels=config.channels,
        )

    def encode(self, frame: av.AudioFrame | None, begin_ns: int) -> list[tuple[av.Packet[Any], int, int]]:
        """Packets with their time and duration in ns; None drains the encoder. The frame is overwritten later."""
        found = []
        if frame is not None:
            self._fed_samples += frame.samples
            self._fed.append((frame, self._fed_samples))
        try:
            packets = self._stream.encode(frame)
        except (av.FFmpegError, ValueError) as error:
            raise DeviceLost(f"{self.track.source}: the encoder {_ENCODER} failed: {why(error)}") from error
        for packet in packets:
            at_ns = begin_ns + self._count * NS // self._rate
            self._count += self._frame
            found.append((packet, at_ns, begin_ns + self._count * NS // self._rate - at_ns))
        self._wipe(self._count + self._frame)
        return found

    def close(self) -> None:
        self._segment.close()
        self._wipe(self._fed_samples)

    def _wipe(self, until: int) -> None:
        """Overwrite raw audio: libav waits with what does not fill a frame of the encoder's."""
        while self._fed and self._fed[0][1] <= until:
            wipe_frame(self._fed.popleft()[0])


class _Held(NamedTuple):
    """Raw audio that waits for the gate."""

    frame: av.AudioFrame
    start_ns: int


class EncodedAudio:
    """The audio of one device: raw frames in, batches out.

    While the gate is closed nothing is encoded, and the last `HELD_NS` of raw audio are kept, so that a recording's
    audio begins at the press and not when the press has come through.

    **Synchronization:** one thread; the gate is written by another.
    """

    def __init__(self, config: Audio, source: str, gate: AudioGate) -> None:
        self._config = config
        self._source = source
        self._gate = gate
        self._encoder = AudioEncoder(config, source)
        self.track = self._encoder.track
        self._resampler: SoftResampler | None = None  # since the encoder has been given audio
        self._stretched = 0  # samples, as far as told
        self._begin_ns = 0
        self._clock: SampleClock | None = None
        self._held: deque[_Held] = deque()
        self._batches = Assembler()
        self._damaged = False  # samples came to no good, and the hole that they leave is not told yet
        self.gained = 0  # frames decoded
        self.lacks = NOTHING_DECODES  # to gain one

    def feed(self, packet: av.Packet[AudioStream], base: TimeBase, stamps: Stamps, moment: Moment, out: Out) -> None:
        """Take a packet; base: of its stamps, which `stamps` brings to CLOCK_MONOTONIC."""
        try:
            frames = packet.decode()
        except av.FFmpegError:
            self._damaged = True  # what is missing is a hole in the count of the samples that follow
            return
        for frame in frames:
            if frame.is_corrupt:
                self._damaged = True
                wipe_frame(frame)
                continue
            self.gained += 1
            ticks = frame.pts if frame.pts is not None else packet.pts
            self.take(frame, stamps.monotonic(to_ns(ticks, base), *moment), moment.mono_ns, out)

    def take(self, frame: av.AudioFrame, start_ns: int | None, arrival_ns: int, out: Out) -> None:
        """Take a raw frame that begins at `start_ns` (None: no believable stamp)."""
        if self._clock is None:
            self._clock = SampleClock(frame.sample_rate)
            out(SourceUp("microphone", self.track))
        if start_ns is None and self._clock.next_ns is None:
            start_ns = arrival_ns - frame.samples * NS // frame.sample_rate
        since = self._gate.open_from_ns
        if since is None:
            self._close_gate(out)
            if start_ns is not None:
                self._hold(frame, start_ns)
            return
        while self._held:
            held = self._held.popleft()
            self._account(held.frame, held.start_ns, since, out)
            wipe_frame(held.frame)
        self._account(frame, start_ns, since, out)

    def finish(self, out: Out) -> None:
        """Deliver what is left."""
        if self._resampler is not None:
            try:
                rest = self._resampler.finish()
            except av.FFmpegError as error:
                raise DeviceLost(f"{self._source}: the resampler failed: {why(error)}") from error
            for frame in (*rest, None):
                self._encode(frame, out)
        self._flush(out)

    def interrupt(self, out: Out) -> None:
        """Deliver what there is: the sound has stopped. With its next frame it is up again."""
        if self._resampler is not None:
            self.finish(out)
            self._renew()
        while self._held:
            wipe_frame(self._held.popleft().frame)
        self._clock = None

    def close(self) -> None:
        """Wipe what is left."""
        self._batches.wipe()
        while self._held:
            wipe_frame(self._held.popleft().frame)
        self._resampler = None
        self._encoder.close()

    def _close_gate(self, out: Out) -> None:
        if self._resampler is not None:
            # What lies before the closing was allowed; the rest of the encoder's last frame is silence.
            self.finish(out)
            self._renew()
        if self._clock is not None:
            self._clock.stop()

    def _hold(self, frame: av.AudioFrame, start_ns: int) -> None:
        self._held.append(_Held(frame, start_ns))
        while self._held[0].start_ns < start_ns - HELD_NS:
            wipe_frame(self._held.popleft().frame)

    def _account(self, frame: av.AudioFrame, start_ns: int | None, since: int, out: Out) -> None:
        clock = self._clock
        assert clock is not None  # noqa: S101 - made by feed
        skip = 0
        if clock.next_ns is None:
            assert start_ns is not None  # noqa: S101 - feed sees to it
            skip = min(max(0, (since - start_ns) * frame.sample_rate // NS), frame.samples)
            if skip == frame.samples:
                return
            start_ns += skip * NS // frame.sample_rate
        before_ns = clock.next_ns
        step = clock.take(start_ns, frame.samples - skip)
        if step.lost_ns and before_ns is not None:
            cause = "timestamps" if step.drop else "corrupt" if self._damaged else "dropped_by_device"
            self._damaged = False
            out(MediaGap("audio", before_ns, before_ns + step.lost_ns, cause, 0))
        if step.begin_ns is not None:
            if self._resampler is not None:
                self.finish(out)
                self._renew()
            self._begin_ns = step.begin_ns
        if step.silence and before_ns is not None:
            self._keep(silence_like(frame, step.silence), before_ns, out)
        skip += step.drop
        if not skip:
            self._keep(frame, step.at_ns, out)
        elif (rest := without_first(frame, skip)) is not None:
            self._keep(rest, step.at_ns, out)
            wipe_frame(rest)

    def _keep(self, frame: av.AudioFrame, at_ns: int, out: Out) -> None:
        if self._resampler is None:
            layout = "mono" if self._config.channels == 1 else "stereo"
            self._resampler = SoftResampler(frame, self._config.rate, layout, SAMPLE_FORMAT)
            self._stretched = 0
        try:
            resampled = self._resampler.take(frame, at_ns - self._begin_ns)
        except (av.FFmpegError, ValueError) as error:
            raise DeviceLost(f"{self._source}: the resampler failed: {why(error)}") from error
        for part in resampled:
            self._encode(part, out)

    def _encode(self, frame: av.AudioFrame | None, out: Out) -> None:
        for packet, at_ns, duration_ns in self._encoder.encode(frame, self._begin_ns):
            # The lead-in of an encoder that begins anew never lies over the end of the one before it: that one has
            # kept back as much while the gate was open, and a hole that makes us begin anew is far longer.
            if self._gate.lets(at_ns):
                self._batches.add(memoryview(packet), at_ns, at_ns, duration_ns, True)
                if at_ns + duration_ns - self._batches.start_ns >= AUDIO_BATCH_NS:
                    self._flush(out)

    def _flush(self, out: Out) -> None:
        if self._batches.empty:
            return
        batch = self._batches.take(self.track)
        if self._resampler is not None:
            stretched = self._resampler.stretched
            batch.stretched, self._stretched = stretched - self._stretched, stretched
        out(batch)

    def _renew(self) -> None:
        """A fresh encoder with the same parameters, and so the same track."""
        self._encoder.close()
        self._encoder = AudioEncoder(self._config, self._source)
        self._resampler = None


def _planes(frame: av.AudioFrame) -> tuple[int, int]:
    """Bytes of one sample in a plane, and how many planes there are."""
    channels = len(frame.layout.channels)
    planar = frame.format.is_planar
    return frame.format.bytes * (1 if planar else channels), channels if planar else 1


def _new_like(frame: av.AudioFrame, samples: int) -> av.AudioFrame:
    made = av.AudioFrame(frame.format.name, frame.layout.name, samples)
    made.sample_rate = frame.sample_rate
    if frame.time_base is not None:
        made.time_base = frame.time_base
    return made


def silence_like(frame: av.AudioFrame, samples: int) -> av.AudioFrame:
    """So many samples of silence in the frame's format."""
    made = _new_like(frame, samples)
    zero = b"\x80" if frame.format.name in _UNSIGNED else b"\0"
    for plane in made.planes:
        plane.update(zero * plane.buffer_size)
    return made


def without_first(frame: av.AudioFrame, skip: int) -> av.AudioFrame | None:
    """The frame without its first `skip` samples; None if nothing is left."""
    left = frame.samples - skip
    if left <= 0:
        return None
    width, planes = _planes(frame)
    made = _new_like(frame, left)
    for index in range(planes):
        source = memoryview(frame.planes[index])[skip * width : frame.samples * width]
        target = made.planes[index]
        target.update(bytes(source) + bytes(target.buffer_size - len(source)))
    return made


def wipe_frame(frame: av.AudioFrame) -> None:
    """Overwrite raw audio."""
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
