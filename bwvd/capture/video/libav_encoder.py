"""Encoders of libav: chosen, set for a small processor, and their output as batches."""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.codec.context import Flags
from av.rational import AVRational
from av.video.frame import PictureType
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from bwvd.capture.batch_builder import Assembler
from bwvd.capture.libav_errors import refusing, why
from bwvd.capture.source import SourceRefused
from bwvd.capture.video.encoder import EncoderFailed, EncoderUnfit
from bwvd.capture.video.pixel_format import ENCODED_FORMAT
from bwvd.capture.video.presentation import PLAIN, Fields, Presentation
from bwvd.clock import NS
from bwvd.config.schema import Video
from bwvd.media.init_segment import HEVC_TAG, VIDEO_TIMESCALE, InitSegment, init_of_annexb
from bwvd.media.nal import NalForm, prefixed_room, write_prefixed
from bwvd.media.presets import PRESET_ENCODERS, PRESETS
from bwvd.media.samples import Batch, Track, overwrite, ticks

HARDWARE = "h264_v4l2m2m"
SOFTWARE = "libx264"

DEFAULT_PRESET = PRESETS[0]

MOST_SLICES = 4

# These take a copy of each frame before they return (x264_encoder_encode, x265_encoder_encode); others may keep a
# reference to the frame and read it later.
COPYING = frozenset({SOFTWARE, "libx265"})
# These say in their parameter sets that frames are of full range, where they are; of others nobody knows.
FULL_RANGE = COPYING

_BASE = AVRational(1, VIDEO_TIMESCALE)  # a `Fraction` is asked for its parts in Python, for every frame
_TRIAL_FRAMES = 8  # the first come out of a memory-to-memory encoder only when some are in
_LATE_KEY_FRAMES = 8  # a hardware encoder hears of a key frame that is asked for some frames late
_VBV_S = 1.5  # the encoder's buffer: how long it may spend more than the bit rate

# By encoder: what makes it cheap on a small processor, without delay, and its GOPs closed and ours.
_OPTIONS: dict[str, dict[str, str]] = {
    "libx264": {
        "tune": "zerolatency",
        "forced-idr": "1",
        "x264-params": "annexb=0:scenecut=0:open-gop=0",
    },
    "libx265": {
        "tune": "zerolatency",
        "forced-idr": "1",
        "x265-params": "scenecut=0:open-gop=0:repeat-headers=0:log-level=none",
    },
    HARDWARE: {"num_output_buffers": "8", "num_capture_buffers": "8"},
}

# Of libx264: each field is coded for itself where it moves. Others take a frame of two fields as one of one moment.
_FIELDS: dict[Fields, str] = {"progressive": "", "top": ":tff=1", "bottom": ":bff=1"}


class VideoEncoder:
    """An `Encoder` of libav's, of one size, and the GOP that it is making.

    **Synchronization:** one thread.
    """

    FLAGS = Flags.global_header | Flags.frame_duration  # parameter sets apart from the packets, as MP4 has them

    def __init__(
        self,
        name: str,
        config: Video,
        width: int,
        height: int,
        rate: Fraction,
        source: str,
        begin_ns: int,
        shown: Presentation = PLAIN,
    ) -> None:
        """rate: nominal frames per second. source: for the track. begin_ns: CLOCK_MONOTONIC of the first frame.
        shown: of the frames, as the parameter sets are to say it.

        Raises: SourceRefused, naming `video.encoder`, when there is no such encoder or it takes none of this.
        """
        self.track: Track | None = None
        self.copies = name in COPYING
        self._name = name
        self._source = source
        self._rate = rate
        self._stamped = config.stamp
        self._shown = shown
        self._times = config.times
        self._preset = preset_of(name, config)
        self._begin_ns = begin_ns
        self._keyframe_ns = int(config.keyframe_s * NS)
        self._half_frame_ns = int(NS / rate / 2)
        self._next_key_ns = begin_ns
        self._asked_key: int | None = None  # the time, in ticks, of a frame that was to be a key frame
        self._without_key = 0  # frames that have come out from there on
        self._obeyed = False  # it has made a key frame where one was asked for
        self._assembler = Assembler()
        self._ended: list[Batch] = []  # complete, and not handed over
        self._out: list[int] = []  # the times of what came out, until they are asked for
        self._segment = InitSegment()
        try:
            self._stream = self._open(config, width, height)
        except (av.FFmpegError, ValueError, TypeError) as error:
            self._segment.close()
            raise SourceRefused(f"video.encoder: {name} at {width}x{height}: {why(error)}") from error
        if self._preset and "preset" in self._stream.codec_context.options:  # what libav has not used
            self._segment.close()
            raise SourceRefused(f"video.preset: {name} has no preset")

    def _open(self, config: Video, width: int, height: int) -> VideoStream:
        options = dict(_OPTIONS.get(self._name, {}))
        if self._name == SOFTWARE and (fields := _FIELDS[self._shown.fields]):
            options["x264-params"] = options.get("x264-params", "") + fields
        if self._preset:
            options["preset"] = self._preset
        options["maxrate"] = str(config.bitrate)
        options["bufsize"] = str(int(config.bitrate * _VBV_S))
        stream = self._segment.container.add_stream(self._name, rate=self._rate, options=options)
        if not isinstance(stream, VideoStream):
            raise ValueError("not a video encoder")  # noqa: TRY004 - it is the configured value that is wrong
        context = stream.codec_context
        stream.width, stream.height, stream.pix_fmt = width, height, ENCODED_FORMAT
        stream.time_base = context.time_base = Fraction(1, VIDEO_TIMESCALE)
        context.framerate = self._rate
        context.bit_rate = config.bitrate
        self._say(context)
        # Key frames are forced by time, because cameras drop their rate in the dark; this is only the far end.
        context.gop_size = max(int(self._rate * int(config.keyframe_s + 1) * 4), 1)
        context.max_b_frames = 0
        context.thread_count = encoder_threads()
        context.flags = self.FLAGS
        if context.codec.canonical_name == "hevc":
            context.codec_tag = HEVC_TAG
        init = self._segment.finish()
        codec = context.codec.canonical_name
        extradata = context.extradata or b""
        self._form: NalForm | None = None
        if codec in ("h264", "hevc"):
            form = NalForm.of("h264" if codec == "h264" else "hevc", extradata)
            self._form = None if form.length_bytes else form
        # Hardware encoders give their parameter sets with the first key frame only.
        if self._form is None or extradata:
            self._found(codec, init, width, height)
        return stream

    def _say(self, context: av.VideoCodecContext) -> None:
        """Put into an encoder's settings, or those of a track, how its frames are to be shown."""
        colours = self._shown.colours
        context.color_range = ColorRange.JPEG if colours.full_range else ColorRange.MPEG
        context.colorspace, context.color_primaries = colours.matrix, colours.primaries
        context.color_trc = colours.transfer
        context.sample_aspect_ratio = self._shown.aspect

    def _found(self, codec: str, init: bytes, width: int, height: int) -> None:
        self.track = Track(
            kind="video",
            codec=codec,
            timescale=VIDEO_TIMESCALE,
            init=init,
            source=self._source,
            encoder=self._name,
            width=width,
            height=height,
            rate=float(self._rate),
            stamped=self._stamped,
            preset=self._preset,
            times=self._times,
        )

    @property
    def size(self) -> int:
        """Bytes of the GOP in the making."""
        return self._assembler.size

    def begins_group(self, at_ns: int) -> bool:
        # Half a frame early, so that jitter does not make groups of a frame more than asked.
        return at_ns >= self._next_key_ns - self._half_frame_ns

    def encode(self, frame: av.VideoFrame, at_ns: int) -> list[Batch]:
        """Encode a frame taken at `at_ns`; returns the GOPs that this ended.

        The frame must be in the encoder's size and format; its `pts`, `time_base` and `pict_type` are overwritten.
        """
        frame.pts = ticks(at_ns - self._begin_ns, VIDEO_TIMESCALE)
        frame.time_base = _BASE  # type: ignore[assignment]  # PyAV takes its own type, and does not say so
        # Decoders leave their own picture type in the frame: an MJPEG camera would make every frame a key frame.
        frame.pict_type = PictureType.NONE
        if self.begins_group(at_ns):
            frame.pict_type = PictureType.I
            if self._asked_key is None and at_ns > self._begin_ns:
                self._asked_key = frame.pts
            self._next_key_ns += self._keyframe_ns
            if self._next_key_ns <= at_ns:
                self._next_key_ns = at_ns + self._keyframe_ns
        self._collect(frame)
        return self._take_ended()

    def came_out(self) -> list[int]:
        out, self._out = self._out, []
        return out

    def finish(self, next_ns: int | None = None) -> list[Batch]:
        self._collect(None)
        return self.salvage(next_ns)

    def salvage(self, next_ns: int | None = None) -> list[Batch]:
        if not self._assembler.empty and self.track is not None:
            self._ended.append(self._assembler.take(self.track, next_ns))
        return self._take_ended()

    def close(self) -> None:
        """Wipe the GOP in the making and let go of the encoder."""
        self._assembler.wipe()
        for batch in self._take_ended():
            batch.wipe()
        with contextlib.suppress(av.FFmpegError):
            self._segment.close()

    def _take_ended(self) -> list[Batch]:
        ended, self._ended = self._ended, []
        return ended

    def _collect(self, frame: av.VideoFrame | None) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._keep(packet)
        except (av.FFmpegError, SourceRefused, ValueError) as error:
            raise EncoderFailed(why(error)) from error

    def _check_key(self, pts: int, key: bool) -> None:
        """Count the frames without a key frame that was asked for: a GOP as long as the encoder likes is lost whole."""
        if self._asked_key is None or pts < self._asked_key:
            return
        if key:
            self._asked_key, self._without_key, self._obeyed = None, 0, True
            return
        self._without_key += 1
        if self._without_key > _LATE_KEY_FRAMES:
            reason = f"it makes no key frame after video.keyframe_s = {self._keyframe_ns / NS:g}"
            raise EncoderFailed(reason) if self._obeyed else EncoderUnfit(reason)

    def _keep(self, packet: av.Packet[Any]) -> None:
        pts, dts, key = packet.pts, packet.dts, packet.is_keyframe
        if pts is None or dts is None or not packet.size:
            return
        if self._asked_key is not None:
            self._check_key(pts, key)
        pts_ns = dts_ns = self._begin_ns + pts * NS // VIDEO_TIMESCALE
        if dts != pts:
            dts_ns = self._begin_ns + dts * NS // VIDEO_TIMESCALE
        if key and not self._assembler.empty and self.track is not None:
            self._ended.append(self._assembler.take(self.track, dts_ns))
        duration_ns = self._half_frame_ns * 2
        if self._form is None:
            self._assembler.add(memoryview(packet), pts_ns, dts_ns, duration_ns, key)
            self._out.append(pts_ns)
            return
        data = bytearray(packet)
        spans = self._form.units(data)
        if self.track is None:
            with refusing("video.encoder"):
                init, width, height = init_of_annexb(self._form.codec, bytes(data), self._say)
            self._found(self._form.codec, init, width, height)
        self._assembler.write(
            lambda room: write_prefixed(data, spans, room),
            prefixed_room(len(data)),
            pts_ns,
            dts_ns,
            duration_ns,
            key,
        )
        self._out.append(pts_ns)
        overwrite(memoryview(data))


def preset_of(name: str, config: Video) -> str:
    """The preset of an encoder: as configured for it, else what is cheap on a small processor, or "" for its own."""
    if name in PRESET_ENCODERS:
        # What is configured may be meant for the encoder whose place this one has taken.
        return config.preset if config.preset in PRESETS else DEFAULT_PRESET
    return config.preset if name == config.encoder else ""


def encoder_threads() -> int:
    """The number of threads that an encoder gets: each takes a slice of the frame, so that no frame is held back.

    Slices cost next to nothing more (within the noise of the measurement), but on one or two fast cores there is
    nothing to be won. A board with four slow ones may not keep up on one of them.
    """
    cores = len(os.sched_getaffinity(0))
    return MOST_SLICES if cores >= MOST_SLICES else 1


def has_hardware(config: Video, width: int, height: int) -> bool:
    """True if the kernel's memory-to-memory H.264 encoder is there and takes frames of this size: it is tried."""
    if not any(Path("/dev").glob("video*")):
        return False
    try:
        trial = VideoEncoder(HARDWARE, config, width, height, Fraction(30), "trial", 0)
    except SourceRefused:
        return False
    try:
        for number in range(_TRIAL_FRAMES):
            frame = av.VideoFrame(width, height, ENCODED_FORMAT)
            trial.encode(frame, number * NS // 30)
    except EncoderFailed:
        return False
    else:
        return trial.size > 0 and trial.track is not None
    finally:
        trial.close()
