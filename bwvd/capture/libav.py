"""A camera, a microphone, or both in one, read with libav on a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import trio
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from bwvd.capture.address import AUDIO_SCHEMES, VIDEO_SCHEMES, Address, parse_address
from bwvd.capture.copied import CopiedVideo
from bwvd.capture.copied_sound import CopiedSound, can_copy
from bwvd.capture.encoded import EncodedVideo
from bwvd.capture.losses import Losses
from bwvd.capture.moment import Moment, to_ns
from bwvd.capture.open import open_input, why
from bwvd.capture.sound import EncodedSound
from bwvd.capture.source import AudioGate, DeviceLost, SourceEnded, SourceRefused
from bwvd.capture.thread import Line, Stopped, run_thread
from bwvd.capture.timeline import FrameTimes, KernelStamps, OwnClock, Playback, PlayedSound, Stamps, UnixStamps
from bwvd.clock import Clock
from bwvd.config import Config
from bwvd.messages import NS, MediaEvent, MediaGap, SourceUp

LATE_NS = 2 * NS  # a played source that is behind by more skips ahead, as a camera would have


class LibavSource:
    """A `MediaSource` for every address that libav can open.

    **Synchronization:** `run` once at a time; `flush_on_cancel` on trio's thread.
    """

    SILENCE_S = 3.0  # no packet for so long: the device is lost
    OPENING_S = 15.0  # an RTSP server may take its time to answer

    def __init__(
        self,
        address: Address,
        config: Config,
        clock: Clock,
        gate: AudioGate,
        *,
        video: bool,
        audio: bool,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._address = address
        self._config = config
        self._clock = clock
        self._gate = gate
        self._video = video
        self._audio = audio
        self._silence_s = silence_s
        self._flush = False  # read by the device's thread

    def flush_on_cancel(self, flush: bool) -> None:
        self._flush = flush

    async def run(
        self,
        send: Callable[[MediaEvent], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        up = False

        def deliver(events: list[MediaEvent]) -> None:
            nonlocal up
            for event in events:
                if not up and isinstance(event, SourceUp):
                    up = True
                    task_status.started()
                send(event)

        await run_thread(
            self._address.text,
            lambda line: _Reading(self, line).run(),
            deliver,
            clock=self._clock,
            silence_s=lambda: self._silence_s if up else max(self.OPENING_S, self._silence_s),
        )
        raise SourceEnded(f"{self._address.text} has come to its end")


class _Reading:
    """One opening of the source, on its thread."""

    def __init__(self, source: LibavSource, line: Line) -> None:
        self._source = source
        self._address = source._address
        self._config = source._config
        self._line = line
        self._playback: Playback | None = None
        self._stamps_of_sound: Stamps | None = None
        self._video_path: EncodedVideo | CopiedVideo | None = None
        self._sound_path: EncodedSound | CopiedSound | None = None
        self._first_ns: int | None = None
        self._end_ns = 0  # of the video read so far (of the sound, where there is no video), in the stream's own time

    def run(self) -> None:
        """Read to the end, a stop, or an error. What is in the making is delivered, or wiped if so asked."""
        deliver = True
        try:
            self._read()
        except Stopped:
            deliver = self._source._flush
        finally:
            # A device that is lost takes nothing with it: what it gave until then is delivered.
            try:
                if deliver:
                    self._finish()
            finally:
                for path in (self._video_path, self._sound_path):
                    if path is not None:
                        path.close()

    def _finish(self) -> None:
        if self._video_path is not None:
            self._video_path.finish(self._line.put)
        if self._sound_path is not None:
            self._sound_path.finish(self._line.put)
        self._line.hop()

    def _read(self) -> None:
        while True:
            with open_input(self._address, self._config) as container:
                self._line.alive()
                self._set_up(container)
                self._read_container(container)
            if not self._address.loop:
                return
            if self._first_ns is None or self._playback is None or self._end_ns <= self._first_ns:
                raise SourceRefused(f"{self._address.key}: {self._address.text}: nothing in it that could be played")
            self._playback.again(self._end_ns - self._first_ns)

    def _set_up(self, container: InputContainer) -> None:
        """Make the paths; when a file begins again, they go on."""
        if self._source._video and not container.streams.video:
            raise SourceRefused(f"{self._address.key}: {self._address.text} has no video")
        if self._source._audio and not container.streams.audio:
            key = "audio.source" if self._source._video else self._address.key
            raise SourceRefused(f"{key}: {self._address.text} has no sound")
        if self._video_path is not None or self._sound_path is not None:
            return
        if self._address.played:
            self._playback = Playback(self._source._clock.monotonic_ns())
        stamps = self._stamps()
        if self._source._video:
            self._video_path = self._video(container.streams.video[0], stamps)
        if self._source._audio:
            stream = container.streams.audio[0]
            self._stamps_of_sound = PlayedSound(stamps) if isinstance(stamps, Playback) else stamps
            if can_copy(stream):
                self._sound_path = CopiedSound(stream, self._address.text, self._source._gate)
            else:
                self._sound_path = EncodedSound(self._config.audio, self._address.text, self._source._gate)

    def _video(self, stream: VideoStream, stamps: Stamps) -> EncodedVideo | CopiedVideo:
        rate = stream.average_rate or stream.base_rate or Fraction(self._config.video.rate).limit_denominator(1001)
        live = not self._address.played
        times = FrameTimes(stamps, int(NS / rate), live)
        losses = Losses(int(NS / rate), live)
        if self._config.video.encoder == "copy":
            return CopiedVideo(stream, self._config, self._address, rate, times, losses)
        return EncodedVideo(self._config, self._address.text, rate, self._source._clock, times, losses)

    def _stamps(self) -> Stamps:
        if self._playback is not None:
            return self._playback
        match self._address.scheme:
            case "v4l2":
                return KernelStamps()
            case "alsa":
                return UnixStamps()
            case _:
                return OwnClock()

    def _moment(self) -> Moment:
        if self._address.scheme in ("v4l2", "alsa"):
            reading = self._source._clock.read()
            return Moment(reading.mono_ns, reading.utc_ns)
        return Moment(self._source._clock.monotonic_ns(), 0)

    def _read_container(self, container: InputContainer) -> None:
        streams: list[VideoStream | AudioStream] = []
        if self._source._video:
            streams.append(container.streams.video[0])
        if self._source._audio:
            streams.append(container.streams.audio[0])
        packets = container.demux(*streams)
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
        stamp_ns = to_ns(packet.dts if packet.dts is not None else packet.pts, packet.time_base)
        if packet.size:
            if self._playback is not None:
                self._pace(stamp_ns)
            self._line.alive()
            if stamp_ns is not None:
                self._note_end(stream, stamp_ns, to_ns(packet.duration, packet.time_base))
        moment = self._moment()
        if isinstance(stream, VideoStream):
            if self._video_path is not None:
                self._video_path.feed(packet, moment, self._line.put)
        else:
            self._sound(stream, packet, moment)

    def _sound(self, stream: AudioStream, packet: av.Packet[Any], moment: Moment) -> None:
        path, stamps = self._sound_path, self._stamps_of_sound
        if isinstance(path, CopiedSound) and stamps is not None:
            if packet.size:
                start_ns = stamps.monotonic(to_ns(packet.pts, packet.time_base), *moment)
                path.feed(packet, start_ns, moment.mono_ns, self._line.put)
        elif isinstance(path, EncodedSound) and stamps is not None:
            try:
                frames: list[av.AudioFrame] = stream.decode(packet)
            except av.FFmpegError:
                return  # the samples that are missing are a hole in the count of those that follow
            for frame in frames:
                start_ns = stamps.monotonic(to_ns(frame.pts, frame.time_base), *moment)
                path.feed(frame, start_ns, moment.mono_ns, self._line.put)

    def _note_end(self, stream: VideoStream | AudioStream, stamp_ns: int, duration_ns: int | None) -> None:
        if self._first_ns is None:
            self._first_ns = stamp_ns
        if isinstance(stream, VideoStream) == self._source._video:
            self._end_ns = max(self._end_ns, stamp_ns + (duration_ns or 0))

    def _pace(self, stamp_ns: int | None) -> None:
        """Wait for the time of a packet that is played; skip ahead when it is long gone."""
        playback = self._playback
        now_ns = self._source._clock.monotonic_ns()
        due_ns = None if playback is None else playback.monotonic(stamp_ns, now_ns, 0)
        if playback is None or due_ns is None:
            return
        if now_ns - due_ns > LATE_NS:
            for kind in ("video", "audio"):
                if getattr(self._source, f"_{kind}"):
                    self._line.put(MediaGap(kind, due_ns, now_ns, "encoder_slow", 0))
            playback.late(now_ns - due_ns)
        else:
            self._line.wait_until(due_ns)


def open_camera(config: Config, clock: Clock, gate: AudioGate) -> LibavSource:
    """The camera of the configuration, with its own sound where `audio.source` is "video".

    Raises: SourceRefused when `video.source` can't be understood.
    """
    address = parse_address(config.video.source, "video.source", VIDEO_SCHEMES)
    return LibavSource(address, config, clock, gate, video=True, audio=config.audio.source == "video")


def open_microphone(config: Config, clock: Clock, gate: AudioGate) -> LibavSource | None:
    """The microphone of the configuration; None where there is none, or where the camera's source delivers it.

    Raises: SourceRefused when `audio.source` can't be understood.
    """
    if config.audio.source in ("", "video"):
        return None
    address = parse_address(config.audio.source, "audio.source", AUDIO_SCHEMES)
    return LibavSource(address, config, clock, gate, video=False, audio=True)
