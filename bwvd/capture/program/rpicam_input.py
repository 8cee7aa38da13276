"""A ribbon camera through rpicam-vid (`video.source = "rpicam:0"`): its frames and the kernel's time of each.

rpicam-vid writes frames into one FIFO and their metadata into another. Its own time stamps (MPEG-TS, `--save-pts`)
count from 0 and have lost the kernel's time; the metadata has it, for each frame. A frame of H.264 is whole when its
line is there: nobody has to wait for the next one to begin.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
from av.container import InputContainer
from av.video.reformatter import ColorRange

from bwvd.capture.address import Address
from bwvd.capture.input import Input, Packets
from bwvd.capture.program.annexb import AccessUnitSplitter, NotAnnexB, RawSplitter
from bwvd.capture.program.child import OPENING_S, PIPE_BYTES, SILENCE_S, Child, widen
from bwvd.capture.program.coded_stream import NANOSECONDS, packet_of, stream_of
from bwvd.capture.program.rpicam_cameras import PROGRAMS, NoList, encodes, list_cameras, program
from bwvd.capture.program.rpicam_times import FramesAndLines, MetadataLines, Timed
from bwvd.capture.source import DeviceLost, SourceRefused
from bwvd.clock import NS
from bwvd.config.schema import Config
from bwvd.log import get_logger

_log = get_logger("rpicam")

ROW_BYTES = 64  # rows of a raw frame are padded to a multiple of it
SUSPENDED_NS = 2_000_000  # CLOCK_BOOTTIME and CLOCK_MONOTONIC have moved apart by more: the board has slept
BEFORE_KEY = 300  # frames, at most, before the first key frame
# rpicam-vid's raw frames are those of a JPEG: BT.601 with full range, sRGB (its get_colourspace_flags).
_BT709, _SRGB, _SMPTE170M = 1, 13, 6

_MEANT = (  # what its last words mean, in words for a person
    ("failed to acquire camera", "another program has the camera"),
    ("no cameras available", "no camera is attached, or its ribbon cable is not seated"),
    ("selected camera is not available", "there is no camera of this number"),
    ("failed to open V4L2 H264 encoder", "the board's encoder can't be opened"),
    ("unrecognised option", "this rpicam-vid does not know an option"),
)


def open_rpicam(address: Address, config: Config, stopping: Callable[[], bool]) -> Input:
    """Start rpicam-vid and read until its first frame.

    stopping: asked while nothing comes. Raises: DeviceLost, SourceRefused; Stopped, when `stopping` says so.
    """
    path = program(config.rpicam.program)
    if path is None:
        wanted = config.rpicam.program or " or ".join(PROGRAMS)
        raise SourceRefused(f"{address.key}: {address.text}: no such program: {wanted} (Debian: rpicam-apps)")
    raw = gives_raw(config)
    if raw and config.video.width % ROW_BYTES:
        raise SourceRefused(
            f"video.size: {address.text} gives raw frames, which we encode, and they must be a multiple of {ROW_BYTES} "
            f"wide, not {config.video.width}"
        )
    index = _index(address, path)
    reader: _Reader | None = None
    folder = _folder(address)
    try:
        reader = _Reader(folder, address, config, raw)
        words = command(path, index, config, raw, reader.media_path, reader.lines_path)
        reader.start(words, stopping)
        return reader.open()
    except BaseException:
        if reader is not None:
            reader.end()
        raise
    finally:
        # Both ends are open: nothing of it is left behind, however we end.
        shutil.rmtree(folder, ignore_errors=True)


def _folder(address: Address) -> Path:
    """A new folder for the FIFOs: in the unit's own, where it has one."""
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    try:
        return Path(tempfile.mkdtemp(prefix="rpicam-", dir=runtime or None))
    except OSError as error:
        raise DeviceLost(f"{address.text}: {runtime or tempfile.gettempdir()}: {error.strerror}") from error


def gives_raw(config: Config, root: Path = Path("/")) -> bool:
    """True if rpicam-vid gives raw frames and we encode; else it encodes, and we keep what it gives.

    `video.encoder`: "copy" = it encodes; "auto" = it does where the board has hardware for it; else we do.
    """
    encoder = config.video.encoder
    return encoder != "copy" and not (encoder == "auto" and encodes(root))


def command(path: str, index: int, config: Config, raw: bool, media: str, lines: str) -> list[str]:
    """rpicam-vid and its arguments. media, lines: where it is to write frames and metadata."""
    video = config.video
    words = [path, "--timeout", "0", "--nopreview", "--camera", str(index)]
    words += ["--width", str(video.width), "--height", str(video.height), "--framerate", f"{video.rate:g}"]
    if raw:
        words += ["--codec", "yuv420"]
    else:
        intra = max(round(video.rate * video.keyframe_s), 1)
        words += ["--codec", "h264", "--inline", "--bitrate", str(video.bitrate), "--intra", str(intra)]
        if not encodes():
            words += ["--libav-video-codec-opts", "bf=0"]  # its frames would not come in the order of their lines
    words += ["--flush", "--output", media.replace("%", "%%"), "--metadata", lines, "--metadata-format", "txt"]
    return [*words, *config.rpicam.options]


def _index(address: Address, path: str) -> int:
    """The camera's number; one that is named is asked for."""
    if address.target.isdigit():
        return int(address.target)
    try:
        cameras = list_cameras(path)
    except NoList as error:
        raise DeviceLost(f"{address.text}: {error}") from error
    for camera in cameras:
        if address.target in (camera.model, camera.path):
            return camera.index
    there = ", ".join(camera.model for camera in cameras) or "none"
    raise DeviceLost(f"{address.text}: no such camera; there is {there}")


class _Reader:
    """The two FIFOs, and the frames that come out of them with their times.

    **Synchronization:** the device's thread, but for `end`.
    """

    def __init__(self, folder: Path, address: Address, config: Config, raw: bool) -> None:
        self.media_path, self.lines_path = str(folder / "frames.h264"), str(folder / "metadata.txt")
        self._address = address
        self._config = config
        self._raw_bytes = config.video.width * config.video.height * 3 // 2 if raw else 0
        self._splitter = RawSplitter(self._raw_bytes) if raw else AccessUnitSplitter()
        self._rate = Fraction(config.video.rate).limit_denominator(1001)
        self._metadata = MetadataLines()
        self._pairs = FramesAndLines(int(NS / self._rate))
        self._clocks = BootTime()
        self._told = 0, 0
        self._line_s = self._frame_s = 0.0  # when the last one came; trio's clock is not ours here
        self._child: Child
        self._files: list[int] = []
        for path in (self.media_path, self.lines_path):
            os.mkfifo(path, 0o600)
            # Without waiting for the other end: it opens the second only with its first frame.
            self._files.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
            widen(self._files[-1])
        self._media, self._lines = self._files

    def start(self, words: list[str], stopping: Callable[[], bool]) -> None:
        self._child = Child(words, self._address.text, self._address.key, stopping, stdout=False, meant=_MEANT)
        self._line_s = self._frame_s = time.monotonic() + OPENING_S - SILENCE_S

    def open(self) -> Input:
        how = "raw frames, which are encoded here" if self._raw_bytes else "H.264, which is kept as it is"
        _log.info("rpicam_started", source=self._address.text, gives=how)
        first = next((frame for frame in islice(self._frames(), BEFORE_KEY) if frame.key), None)
        if first is None:
            raise DeviceLost(f"{self._address.text}: {BEFORE_KEY} frames without a key frame")
        container = self._raw_stream() if self._raw_bytes else stream_of(first.data, self._address.text)
        return Input(
            container, self._packets(container, first), self, NANOSECONDS, self._rate, copies=not self._raw_bytes
        )

    def end(self) -> None:
        """As `bwvd.capture.input.Program`."""
        if hasattr(self, "_child"):
            self._child.end()
        files, self._files = self._files, []
        for file in files:
            os.close(file)

    # --- what is made of the frames ----------------------------------------------------------------------------------

    def _raw_stream(self) -> InputContainer:
        video = self._config.video
        options = {"video_size": video.size, "pixel_format": "yuv420p", "framerate": str(self._rate)}
        container = av.open(_Nothing(self._raw_bytes), "r", format="rawvideo", options=options)
        context = container.streams.video[0].codec_context
        context.color_range, context.colorspace = ColorRange.JPEG, _SMPTE170M
        context.color_primaries, context.color_trc = _BT709, _SRGB
        return container

    def _packets(self, container: InputContainer, first: Timed) -> Packets:
        stream = container.streams.video[0]
        yield packet_of(stream, first.data, self._time_of(first), key=True)
        for frame in self._frames():
            yield packet_of(stream, frame.data, self._time_of(frame), key=frame.key)

    def _time_of(self, frame: Timed) -> int | None:
        return None if frame.stamp_ns is None else frame.stamp_ns - self._clocks.ahead_ns()

    # --- how they come -----------------------------------------------------------------------------------------------

    def _frames(self) -> Iterator[Timed]:
        while True:
            yield from self._step()

    def _step(self) -> list[Timed]:
        """Wait for something to come, and return the frames that it completes, with their times.

        The order of the reads is what tells frames and lines apart (see `rpicam_times`): of each line that was read
        first the frame is there, and of each frame whose successor has begun the line, when the lines are read again.
        """
        waits = not (self._pairs.lines and self._splitter.has_picture)
        if waits:
            self._child.wait(self._media, self._lines)
        came = self._read_lines()
        known = len(self._pairs.lines)
        came = self._read_media() or came
        if waits and not came:  # the other ends were closed
            raise DeviceLost(self._child.why_ended())
        if known > len(self._pairs.frames) and (held := self._splitter.flush()) is not None:
            self._pairs.frames.append((held.data, held.at_ns, held.key))
        self._read_lines()
        all_frames = known > len(self._pairs.frames)
        held_at_ns = self._splitter.held_at_ns
        timed = self._pairs.take(held_at_ns=held_at_ns, all_frames=all_frames)
        self._judge()
        return timed

    def _read_lines(self) -> bool:
        data = _read(self._lines)
        stamps = self._metadata.feed(data)
        self._pairs.lines.extend(stamps)
        if stamps:
            self._line_s = time.monotonic()
        return bool(data)

    def _read_media(self) -> bool:
        """Read all that is there: nothing of a frame may be left behind whose line is known."""
        came = False
        while data := _read(self._media):
            came, self._frame_s = True, time.monotonic()
            try:
                units = self._splitter.feed(data, time.monotonic_ns())
            except NotAnnexB as error:
                raise DeviceLost(f"{self._address.text} gives no H.264: {error}") from error
            self._pairs.frames.extend((unit.data, unit.at_ns, unit.key) for unit in units)
        return came

    def _judge(self) -> None:
        """Name what does not fit together. Raises: DeviceLost, where one of the two does not come any more."""
        now_s = time.monotonic()
        for what, since_s in (("frames", self._frame_s), ("metadata", self._line_s)):
            if now_s - since_s > SILENCE_S:
                raise DeviceLost(f"{self._address.text} wrote no {what} for {SILENCE_S:g} s, and went on with the rest")
        told = self._pairs.lineless, self._pairs.frameless
        if told != self._told:
            self._told = told
            _log.warning(
                "frames_and_times_differ",
                source=self._address.text,
                frames_without_a_time=told[0],
                times_without_a_frame=told[1],
            )


def _read(file: int) -> bytes:
    """What is there now; b"" for nothing, or for ever."""
    try:
        return os.read(file, PIPE_BYTES)
    except BlockingIOError:
        return b""


class BootTime:
    """How far CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC: by the time that the board was suspended."""

    def __init__(self, read: Callable[[], tuple[int, int, int]] | None = None) -> None:
        """read: CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC, one after the other; for tests."""
        self._read = read or _clocks
        self._width_ns = 1 << 62  # between the two outer readings: the less, the surer
        self._ahead_ns = 0

    def ahead_ns(self) -> int:
        """Look again; the surest reading since the last suspend counts."""
        before_ns, boot_ns, after_ns = self._read()
        width_ns, ahead_ns = after_ns - before_ns, boot_ns - (before_ns + after_ns) // 2
        if width_ns < self._width_ns or abs(ahead_ns - self._ahead_ns) > SUSPENDED_NS + width_ns:
            self._width_ns, self._ahead_ns = width_ns, ahead_ns
        return self._ahead_ns


def _clocks() -> tuple[int, int, int]:
    return time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.monotonic_ns()


class _Nothing:
    """A file of one black frame, so that libav makes a stream of raw frames."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, limit: int) -> bytes:
        size = min(limit, self._left)
        self._left -= size
        return bytes(size)
