"""One opening of a source on its thread: packets are read, paced if need be, and handed to their track's path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, Any

import av
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from bwvd.capture.address import Address
from bwvd.capture.device.access_units import AccessUnits, Unit, units_of
from bwvd.capture.device.device_thread import ThreadChannel
from bwvd.capture.device.libav_log import libav_log
from bwvd.capture.device.open_input import open_input, transport_of
from bwvd.capture.device.packet_reader import PacketReader
from bwvd.capture.device.packet_stamps import NominalStamps, nominal_rate, stamp_first, ticks_of, untold
from bwvd.capture.device.track_watch import NAMED_NS, TrackWatch
from bwvd.capture.device.v4l2_colours import told_by_driver
from bwvd.capture.input import Input
from bwvd.capture.libav_errors import STRICT
from bwvd.capture.source import AudioGate, DeviceLost, SourceRefused, Stopped
from bwvd.capture.timestamps import (
    FrameTimes,
    KernelStamps,
    Moment,
    OwnClock,
    Playback,
    Stamps,
    TimeBase,
    UnixStamps,
    WithoutJumps,
    to_ns,
)
from bwvd.capture.video.encoder_choice import EncoderCall, EncoderChoice
from bwvd.capture.video.encoder_failover import FailoverEncoder
from bwvd.capture.video.frame_loss import Losses
from bwvd.capture.video.jpeg import decoder_of
from bwvd.capture.video.passthrough import CopiedVideo
from bwvd.capture.video.presentation import FormReader
from bwvd.capture.video.transcode import EncodedVideo
from bwvd.clock import NS, Clock
from bwvd.config.schema import Config
from bwvd.media.samples import Kind
from bwvd.messages import Device, MediaGap, SourceDown

if TYPE_CHECKING:
    from bwvd.capture.audio.path import AudioPath

FETCH_NS = NS // 5  # of a played source whose video is copied: so much is fetched at a time
ALONE_NS = NS // 10  # of one of audio alone: with the length of a batch, in time for the GOPs of another source
LOOK_NS = NS // 10  # the tracks are looked at so often: a silence is one of seconds
LATE_NS = 2 * NS  # a played source that is behind by more skips ahead, as a camera would have
CALIBRATED_NS = NS  # a stream's offset is learned from so much of it that came in its time, before any of it is placed
LIVE_NS = 5_000_000  # a read that had to wait for so long: there was no backlog any more
BACKLOG_PACKETS = 1_000  # at most
SETTLED_NS = 2 * NS  # a stream whose first frames have no decode times is waited for, at most
FIRST_PACKETS = 200  # read of a file, at most, until its first decode times are known

_NO_BASE = Fraction(1)

VideoPath = EncodedVideo | CopiedVideo


@dataclass(frozen=True, slots=True)
class Job:
    """The order to read a source: its address, the tracks that are wanted, and what is needed for it."""

    address: Address
    config: Config
    clock: Clock
    gate: AudioGate
    kinds: tuple[Kind, ...]  # of the tracks that are wanted
    flush: Callable[[], bool]  # whether what is in the making is delivered when we are asked to stop
    choice: EncoderChoice
    call: EncoderCall
    silence_ns: int = 3 * NS  # a track of which nothing was gained for so long is down


class Reading:
    """One opening of a source.

    **Synchronization:** one thread, from `__init__` to the end of `run`."""

    def __init__(self, job: Job, channel: ThreadChannel) -> None:
        self._job = job
        self._address = job.address
        self._channel = channel
        self._playback: Playback | None = None
        self._stamps: Stamps = OwnClock()
        self._audio_stamps: Stamps = self._stamps
        self._leading = 0  # the track that says how long a file is
        self._reads_unix = job.address.scheme in ("v4l2", "alsa")
        self._video: VideoPath | None = None
        self._audio: AudioPath | None = None
        self._bases: dict[int, TimeBase] = {}  # by wanted stream; libav's are dear to ask for
        self._units: dict[int, AccessUnits] = {}  # the same, where packets may be parts of frames
        self._reordered: dict[int, bool] = {}  # the same
        self._steps: dict[int, int] = {}  # the same: ticks from frame to frame, nominally
        self._nominal: dict[int, NominalStamps] = {}  # the same, of what is played
        self._watches: dict[int, tuple[TrackWatch, VideoPath | AudioPath]] = {}  # the same
        self._look_ns = 0  # when it is looked at them next
        self._read_ns = 0  # when the last packet was read
        self._video_index = -1  # the stream of video, where one is wanted
        self._asked_ns = job.clock.monotonic_ns()
        self._source: Input | None = None

    def run(self) -> None:
        """Read to the end, a stop, or an error.

        A device that is lost takes nothing with it: what it gave until then is delivered. After a stop or a refusal
        that is as `Job.flush` says; what is not delivered is wiped. Delivered in standby, the GOP in which a rule was
        broken would make a mistake in the configuration look like a camera that has changed.

        Raises: DeviceLost, SourceRefused.
        """
        deliver, whole = True, False
        try:
            self._read()
            whole = True
        except Stopped:
            deliver = self._job.flush()
        except SourceRefused:
            deliver = self._job.flush()
            raise
        finally:
            if not self._channel.taken_over:
                try:
                    if deliver:
                        self._finish(whole)
                finally:
                    self._close()

    def salvage(self) -> None:
        """In the place of a thread that never came back from a read: what it left behind is put into the channel, or
        wiped, as after a stop. Asks no device and no encoder for anything.

        **Synchronization:** any thread, after `ThreadChannel.take_over`.
        """
        if self._video is not None:
            self._video.salvage(self._channel.put)
        if self._audio is not None:
            self._audio.finish(self._channel.put)
        self._close()

    def wipe(self) -> None:
        """The same, where nothing of it is wanted."""
        self._close()

    def _close(self) -> None:
        for path in (self._video, self._audio):
            if path is not None:
                path.close()
        if self._source is not None and self._source.program is not None:
            self._source.program.end()  # also where the thread does not come back

    def _finish(self, whole: bool) -> None:
        for packet, moment in self._held():
            self._packet(packet, moment)
        if self._video is not None:
            self._video.finish(self._channel.put, whole)
        if self._audio is not None:
            self._audio.finish(self._channel.put)
        self._channel.hop()

    def _read(self) -> None:
        while True:
            config, stopping = self._job.config, lambda: self._channel.stopping
            listens = self._address.streamed and config.video.rtsp_transport != "tcp"
            with libav_log(listens) as log, open_input(self._address, config, stopping) as source:
                self._source = source
                self._channel.alive()
                self._job.choice.transport = transport_of(self._address, config, log)
                self._set_up(source)
                self._read_source(
                    source, PacketReader(source, self._address.text, self._channel, log if listens else None)
                )
            if not self._address.loop:
                return
            length_ns = 0 if self._playback is None else self._playback.length_ns(self._leading)
            if self._playback is None or length_ns <= 0:
                raise SourceRefused(f"{self._address.key}: {self._address.text}: nothing in it that could be played")
            self._playback.again(length_ns)

    def _streams(self, source: Input) -> list[VideoStream | AudioStream]:
        streams: list[VideoStream | AudioStream] = []
        for kind in self._job.kinds:
            found: tuple[VideoStream, ...] | tuple[AudioStream, ...] = (
                source.streams.video if kind == "video" else source.streams.audio
            )
            if not found and kind == "audio" and self._job.choice.had_audio:
                continue  # another camera was plugged in: video without audio is better than none
            if not found:
                # The camera's address is only to blame for the audio if that was asked of it.
                key = "audio.source" if kind == "audio" else self._address.key
                raise SourceRefused(f"{key}: {self._address.text} has no {kind}")
            found[0].codec_context.thread_count = 1  # what it decodes at once, it decodes at the least cost
            found[0].codec_context.options = dict(STRICT)
            self._describe(found[0], source)
            streams.append(found[0])
        return streams

    def _describe(self, stream: VideoStream | AudioStream, source: Input) -> None:
        index, base = stream.index, source.base or stream.time_base or _NO_BASE
        is_video = isinstance(stream, VideoStream)
        self._video_index = index if is_video else self._video_index
        rate = self._rate_of(stream, source) if isinstance(stream, VideoStream) else Fraction(1)
        self._bases[index] = TimeBase.of(base)
        self._reordered[index] = isinstance(stream, VideoStream) and bool(stream.codec_context.has_b_frames)
        self._steps[index] = round(1 / (rate * base)) if is_video else 0
        if isinstance(stream, VideoStream) and (units := units_of(stream, self._address.played)) is not None:
            self._units[index] = units
        if self._address.played and is_video:
            self._nominal[index] = NominalStamps(self._reordered[index], base, rate)

    def _rate_of(self, stream: VideoStream, source: Input) -> Fraction:
        return source.rate or nominal_rate(stream.average_rate, stream.base_rate, self._job.config.video.rate)

    def _set_up(self, source: Input) -> None:
        """Make the paths; when a file begins again, they go on."""
        streams = self._streams(source)
        if self._video is not None or self._audio is not None:
            return
        self._leading = streams[0].index
        if self._address.played:
            self._playback = Playback(self._job.clock.monotonic_ns())
        elif self._address.scheme == "v4l2" or source.base is not None:
            self._stamps = KernelStamps()
        elif self._address.scheme == "alsa":
            self._stamps = UnixStamps()
        if "audio" in self._job.kinds:
            if any(isinstance(stream, AudioStream) for stream in streams):
                self._job.choice.had_audio = True
            else:
                at_ns = self._job.clock.monotonic_ns()
                self._channel.put(SourceDown("microphone", at_ns, f"{self._address.text} has no audio"))
        for stream in streams:
            if isinstance(stream, VideoStream):
                self._video = self._video_path(stream, source)
                self._watch("video", self._video, stream.index)
                continue
            self._audio_stamps = self._of_track(stream)
            from bwvd.capture.audio.path import audio_path  # here: most cameras have no microphone

            self._audio = audio_path(stream, self._job.config.audio, self._address.text, self._job.gate)
            self._watch("audio", self._audio, stream.index)

    def _watch(self, kind: Kind, path: VideoPath | AudioPath, index: int) -> None:
        now_ns = self._job.clock.monotonic_ns()
        # What is played may have holes of its own, but something must come of it.
        silence_ns = NAMED_NS if self._address.played else self._job.silence_ns
        self._watches[index] = TrackWatch(kind, silence_ns, now_ns), path

    def _of_track(self, stream: VideoStream | AudioStream) -> Stamps:
        """The reading of one track's stamps."""
        if self._playback is not None:
            return self._playback.of(stream.index)
        return WithoutJumps(self._stamps) if isinstance(self._stamps, OwnClock) else self._stamps

    def _video_path(self, stream: VideoStream, source: Input) -> VideoPath:
        config = self._job.config
        rate = self._rate_of(stream, source)
        live = not self._address.played
        times = FrameTimes(self._of_track(stream), int(NS / rate), live)
        losses = Losses(int(NS / rate), live, queues=self._address.scheme == "v4l2")
        # What a server kept from before we asked may have been delivered before the connection was lost.
        not_before_ns = self._asked_ns if self._address.streamed else 0
        if config.video.encoder == "copy" or source.copies:
            return CopiedVideo(stream, config, self._address, rate, times, losses, not_before_ns)
        encoder = FailoverEncoder(config.video, self._address.text, rate, losses, self._job.choice, self._job.call)
        forms, jpeg = FormReader(told_by_driver(self._address)), decoder_of(stream)
        if stream.codec_context.codec.canonical_name == "mjpeg":
            self._job.choice.jpeg_decoder = "libav" if jpeg is None else "libjpeg-turbo"
        return EncodedVideo(config, self._job.clock, times, losses, encoder, not_before_ns, jpeg, _forms=forms)

    def _read_source(self, source: Input, packets: PacketReader) -> None:
        self._streams(source)
        if self._playback is None and isinstance(self._stamps, OwnClock):
            for packet, moment in self._backlog(packets, self._stamps):
                self._packet(packet, moment)
        playback, channel = self._playback, self._channel
        for packet, moment in self._stamped(self._whole(packets)):
            if playback is not None and packet.size:
                moment = Moment(self._pace(playback, packet), 0)
            self._packet(packet, moment)
            channel.hop()
        if not self._address.played:
            raise DeviceLost(f"{self._address.text}: the stream has ended")

    def _next(self, packets: PacketReader) -> av.Packet[Any] | None:
        """The next packet of a wanted track; None at the end. The tracks are judged meanwhile."""
        while (packet := packets.read()) is not None:
            now_ns = self._read_ns = self._channel.silent_since_ns = self._job.clock.monotonic_ns()
            if now_ns >= self._look_ns:
                self._look(now_ns)
            if packet.stream_index in self._bases:
                return packet
        return None

    def _look(self, now_ns: int) -> None:
        """Say of each track that has become silent that it is down, while the other goes on.

        Raises: DeviceLost where the camera has to be opened again for its video.
        """
        self._look_ns = now_ns + LOOK_NS
        for watch, path in self._watches.values():
            reason = watch.look(path.gained, now_ns, path.lacks)
            device: Device = "camera" if path is self._video else "microphone"
            reopens = device == "camera" and not self._address.played
            if reason is not None:
                path.interrupt(self._channel.put)
                self._channel.put(SourceDown(device, now_ns, f"{self._address.text}: {reason}"))
                self._channel.hop()
            # A file has no more than it has. To open a camera anew costs the other track a second: not for sound.
            if watch.is_down and reopens and (lost := watch.hopeless(now_ns, path.lacks)) is not None:
                raise DeviceLost(f"{self._address.text}: {lost}")

    def _whole(self, packets: PacketReader) -> Iterator[Unit]:
        """The packets, each a whole frame, with the moments at which they came."""
        while (packet := self._next(packets)) is not None:
            moment = self._moment()
            if not self._units:
                yield packet, moment
                continue
            units = self._units.get(packet.stream_index)
            if units is not None and packet.size:
                yield from units.take(packet, moment)
                continue
            if units is not None and (held := units.flush()) is not None:
                yield held
            yield packet, moment
        yield from self._held()

    def _held(self) -> list[Unit]:
        return [held for units in self._units.values() if (held := units.flush()) is not None]

    def _stamped(self, packets: Iterator[Unit]) -> Iterator[Unit]:
        """The packets of one opening. A container of presentation times alone (Matroska) leaves the decode times of the
        first ones open where frames are reordered; of what is played, they are put in before any is handed on.
        """
        first: list[Unit] = []
        if self._playback is not None:
            for unit in packets:
                first.append(unit)
                if len(first) >= FIRST_PACKETS or not self._untold(first):
                    break
            for index in self._bases:
                stamp_first(self._of_stream(first, index))
        return chain(first, packets)

    def _untold(self, packets: list[Unit]) -> bool:
        return any(untold(self._of_stream(packets, index), self._reordered[index]) for index in self._bases)

    @staticmethod
    def _of_stream(packets: list[Unit], index: int) -> list[av.Packet[Any]]:
        return [packet for packet, _ in packets if packet.stream_index == index and packet.size]

    def _backlog(self, packets: PacketReader, own: OwnClock) -> list[Unit]:
        """Read what is there at once when a stream opens, and a little of what follows: libav has looked at its first
        half second, and a server may hand out the last key frame and all that followed. Placed by its arrival it would
        lie in the future; and an offset that had to be corrected afterwards would change the distances of frames.
        """
        found: list[Unit] = []
        live_ns = 0
        clock = self._job.clock
        enough_ns = min(CALIBRATED_NS, self._job.silence_ns // 3)
        began_ns = last_ns = clock.monotonic_ns()
        while len(found) < BACKLOG_PACKETS and (packet := self._next(packets)) is not None:
            now_ns = clock.monotonic_ns()
            self._find(found, packet, Moment(now_ns, 0))
            stamp_ns = to_ns(packet.dts if packet.dts is not None else packet.pts, self._bases[packet.stream_index])
            if stamp_ns is not None:
                if live_ns and abs(own.delay_ns(stamp_ns, now_ns)) > WithoutJumps.JUMP_NS:
                    break  # its clock has been set, or the network has stopped for a while
                own.calibrate(stamp_ns, now_ns)
            live_ns = live_ns or (now_ns if now_ns - last_ns > LIVE_NS else 0)
            settled = now_ns - began_ns > SETTLED_NS or not self._untold(found)
            if live_ns and settled and now_ns - live_ns >= enough_ns:
                break
            last_ns = now_ns
        for index in self._bases:
            stamp_first(self._of_stream(found, index), self._reordered[index], self._steps[index])
        return self._hold_back(found)

    def _find(self, found: list[Unit], packet: av.Packet[Any], moment: Moment) -> None:
        """Keep a packet; one that is a part is put to the frame that it goes on with, if that has been found."""
        rest: av.Packet[Any] | None = packet
        units = self._units.get(packet.stream_index)
        if units is not None and packet.size and units.continues(packet):
            for place in reversed(range(len(found))):
                before, came = found[place]
                if before.stream_index == packet.stream_index:
                    part, rest = units.split(packet)
                    units.ahead = True
                    found[place] = units.join(before, part), came
                    break
        if rest is not None:
            found.append((rest, moment))

    def _hold_back(self, found: list[Unit]) -> list[Unit]:
        """Leave the last frame of a stream that sends frames in parts to what follows, which may go on with it."""
        for index, units in self._units.items():
            last = next((unit for unit in reversed(found) if unit[0].stream_index == index), None)
            if units.ahead and last is not None:
                units.take(*last)
                found = [unit for unit in found if unit is not last]
        return found

    def _packet(self, packet: av.Packet[Any], moment: Moment) -> None:
        index = packet.stream_index
        base = self._bases[index]
        if (watched := self._watches.get(index)) is not None and packet.size:
            watched[0].packet(moment.mono_ns)
        if index == self._video_index:
            if self._video is not None:
                self._video.feed(packet, base, moment, self._channel.put)
        elif self._audio is not None:
            self._audio.feed(packet, base, self._audio_stamps, moment, self._channel.put)

    def _moment(self) -> Moment:
        if self._reads_unix:
            reading = self._job.clock.read()
            return Moment(reading.mono_ns, reading.utc_ns)
        return Moment(self._read_ns, 0)

    def _pace(self, playback: Playback, packet: av.Packet[Any]) -> int:
        """Wait for the time of a packet that is played; skip ahead when it is long gone. Returns CLOCK_MONOTONIC."""
        index = packet.stream_index
        base, nominal = self._bases[index], self._nominal.get(index)
        stamp, duration = ticks_of(packet) if nominal is None else nominal.stamp(packet)
        stamp_ns = to_ns(stamp, base)
        if stamp_ns is None:
            return self._job.clock.monotonic_ns()
        due_ns = playback.due(stamp_ns, to_ns(duration, base) or 0, track=index)
        now_ns = self._job.clock.monotonic_ns()
        if now_ns - due_ns > LATE_NS:
            for kind in self._job.kinds:
                self._channel.put(MediaGap(kind, due_ns, now_ns, "encoder_slow", 0))
            playback.late(now_ns - due_ns)
        elif due_ns > now_ns:
            # Where there is nothing to encode, waking up is what costs: a few packets are fetched at a time.
            ahead_ns = ALONE_NS if self._video is None else FETCH_NS
            self._channel.wait_until(due_ns if isinstance(self._video, EncodedVideo) else due_ns + ahead_ns)
            return self._job.clock.monotonic_ns()
        return now_ns
