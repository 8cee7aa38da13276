"""One opening of a source on its thread: packets are read, paced if need be, and handed to their track's path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from bwvd.capture.address import Address
from bwvd.capture.copied import CopiedVideo
from bwvd.capture.copied_sound import CopiedSound, can_copy
from bwvd.capture.encoded import EncodedVideo
from bwvd.capture.losses import Losses
from bwvd.capture.moment import Moment, to_ns
from bwvd.capture.open import open_input, why
from bwvd.capture.sound import EncodedSound
from bwvd.capture.source import AudioGate, DeviceLost, SourceRefused
from bwvd.capture.thread import Line, Stopped
from bwvd.capture.timeline import FrameTimes, KernelStamps, OwnClock, Playback, Stamps, UnixStamps
from bwvd.clock import Clock
from bwvd.config import Config
from bwvd.messages import NS, Kind, MediaGap

FETCH_NS = NS // 10  # of a played source that is copied: so much is fetched at a time
LATE_NS = 2 * NS  # a played source that is behind by more skips ahead, as a camera would have

_NO_BASE = Fraction(1)


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be read, and how."""

    address: Address
    config: Config
    clock: Clock
    gate: AudioGate
    kinds: tuple[Kind, ...]  # of the tracks that are wanted
    flush: Callable[[], bool]  # whether what is in the making is delivered when we are asked to stop


class Reading:
    """**Synchronization:** one thread, from `__init__` to the end of `run`."""

    def __init__(self, job: Job, line: Line) -> None:
        self._job = job
        self._address = job.address
        self._line = line
        self._playback: Playback | None = None
        self._stamps: Stamps = OwnClock()
        self._reads_unix = job.address.scheme in ("v4l2", "alsa")
        self._video: EncodedVideo | CopiedVideo | None = None
        self._sound: EncodedSound | CopiedSound | None = None
        self._bases: dict[int, Fraction] = {}  # time bases by stream; libav's are dear to ask for
        self._first_ns: int | None = None
        self._end_ns = 0  # of the video read so far (of the sound, where there is no video), in the stream's own time

    def run(self) -> None:
        """Read to the end, a stop, or an error.

        A device that is lost takes nothing with it: what it gave until then is delivered. After a stop that is as
        `Job.flush` says; what is not delivered is wiped.

        Raises: DeviceLost, SourceRefused.
        """
        deliver, whole = True, False
        try:
            self._read()
            whole = True
        except Stopped:
            deliver = self._job.flush()
        finally:
            try:
                if deliver:
                    self._finish(whole)
            finally:
                for path in (self._video, self._sound):
                    if path is not None:
                        path.close()

    def _finish(self, whole: bool) -> None:
        if self._video is not None:
            self._video.finish(self._line.put, whole)
        if self._sound is not None:
            self._sound.finish(self._line.put)
        self._line.hop()

    def _read(self) -> None:
        while True:
            with open_input(self._address, self._job.config) as container:
                self._line.alive()
                self._set_up(container)
                self._read_container(container)
            if not self._address.loop:
                return
            if self._first_ns is None or self._playback is None or self._end_ns <= self._first_ns:
                raise SourceRefused(f"{self._address.key}: {self._address.text}: nothing in it that could be played")
            self._playback.again(self._end_ns - self._first_ns)

    def _streams(self, container: InputContainer) -> list[VideoStream | AudioStream]:
        streams: list[VideoStream | AudioStream] = []
        for kind in self._job.kinds:
            found: tuple[VideoStream, ...] | tuple[AudioStream, ...] = (
                container.streams.video if kind == "video" else container.streams.audio
            )
            if not found:
                # The camera's address is only to blame for the sound if that was asked of it.
                key = "audio.source" if kind == "audio" else self._address.key
                raise SourceRefused(f"{key}: {self._address.text} has no {kind}")
            found[0].codec_context.thread_count = 1  # what it decodes at once, it decodes at the least cost
            self._bases[found[0].index] = found[0].time_base or _NO_BASE
            streams.append(found[0])
        return streams

    def _set_up(self, container: InputContainer) -> None:
        """Make the paths; when a file begins again, they go on."""
        streams = self._streams(container)
        if self._video is not None or self._sound is not None:
            return
        if self._address.played:
            self._stamps = self._playback = Playback(self._job.clock.monotonic_ns())
        elif self._address.scheme == "v4l2":
            self._stamps = KernelStamps()
        elif self._address.scheme == "alsa":
            self._stamps = UnixStamps()
        for stream in streams:
            if isinstance(stream, VideoStream):
                self._video = self._video_path(stream)
            elif can_copy(stream):
                self._sound = CopiedSound(stream, self._address.text, self._job.gate)
            else:
                self._sound = EncodedSound(self._job.config.audio, self._address.text, self._job.gate)

    def _video_path(self, stream: VideoStream) -> EncodedVideo | CopiedVideo:
        config = self._job.config
        rate = stream.average_rate or stream.base_rate or Fraction(config.video.rate).limit_denominator(1001)
        live = not self._address.played
        times = FrameTimes(self._stamps, int(NS / rate), live)
        losses = Losses(int(NS / rate), live)
        if config.video.encoder == "copy":
            return CopiedVideo(stream, config, self._address, rate, times, losses)
        return EncodedVideo(config, self._address.text, rate, self._job.clock, times, losses)

    def _read_container(self, container: InputContainer) -> None:
        packets = container.demux(*self._streams(container))
        while True:
            if self._line.stopping:
                raise Stopped
            try:
                packet = next(packets)
            except StopIteration:
                break
            except av.FFmpegError as error:
                raise DeviceLost(f"{self._address.text}: {why(error)}") from error
            self._packet(packet)
            self._line.hop()
        if not self._address.played:
            raise DeviceLost(f"{self._address.text}: the stream has ended")

    def _packet(self, packet: av.Packet[Any]) -> None:
        stream = packet.stream
        base = self._bases[packet.stream_index]
        if packet.size:
            stamp_ns = to_ns(packet.dts if packet.dts is not None else packet.pts, base)
            if stamp_ns is not None:
                if self._playback is not None:
                    self._pace(self._playback, stamp_ns)
                self._note_end(stream, stamp_ns, to_ns(packet.duration, base))
            self._line.alive()
        if isinstance(stream, VideoStream):
            if self._video is not None:
                self._video.feed(packet, base, self._moment(), self._line.put)
        elif self._sound is not None:
            self._sound.feed(packet, base, self._stamps, self._moment(), self._line.put)

    def _moment(self) -> Moment:
        if self._reads_unix:
            reading = self._job.clock.read()
            return Moment(reading.mono_ns, reading.utc_ns)
        return Moment(self._job.clock.monotonic_ns(), 0)

    def _note_end(self, stream: VideoStream | AudioStream, stamp_ns: int, duration_ns: int | None) -> None:
        if self._first_ns is None:
            self._first_ns = stamp_ns
        if isinstance(stream, VideoStream) == ("video" in self._job.kinds):
            self._end_ns = max(self._end_ns, stamp_ns + (duration_ns or 0))

    def _pace(self, playback: Playback, stamp_ns: int) -> None:
        """Wait for the time of a packet that is played; skip ahead when it is long gone."""
        due_ns = playback.due(stamp_ns)
        now_ns = self._job.clock.monotonic_ns()
        if now_ns - due_ns > LATE_NS:
            for kind in self._job.kinds:
                self._line.put(MediaGap(kind, due_ns, now_ns, "encoder_slow", 0))
            playback.late(now_ns - due_ns)
        elif due_ns > now_ns:
            # Where there is nothing to encode, waking up is what costs: a few packets are fetched at a time.
            self._line.wait_until(due_ns if isinstance(self._video, EncodedVideo) else due_ns + FETCH_NS)
