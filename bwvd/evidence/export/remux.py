"""Segments to one plain MP4: the coded frames and audio as they are, in their places on one time line from 0."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.container
import av.error
import av.packet
import av.stream

from bwvd.clock import NS
from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.export.captions import Captions, CaptionTrack
from bwvd.text import one_line

# faststart: the index in front, so that a player can begin before it has the whole file. use_metadata_tags: names of
# our own survive beside the customary ones.
# movie_timescale: where a track begins later than the others is said in these units; the default is a millisecond.
MUXER_OPTIONS = {"movflags": "+faststart+use_metadata_tags", "movie_timescale": "90000"}
_HEVC_TAG = "hvc1"  # parameter sets in the header; players by Apple want it said


@dataclass(frozen=True, slots=True)
class Run:
    """Segments that share an init segment: the init segment, then each segment's plain bytes."""

    init: bytes
    segments: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Remuxed:
    """What was written. Times are media time, in nanoseconds."""

    begin_ns: int  # of the first frame
    end_ns: int  # of the last one's end
    frames: int
    audio_frames: int
    left_out: int  # packets whose time stood still or went back: no MP4 can hold them


Parameters = dict[str, tuple[object, ...]]  # by kind of track


def parameters(init: bytes) -> Parameters:
    """What must be equal for two epochs to share a track.

    Raises: ExportRefused if libav can't read the init segment.
    """
    try:
        with _open(io.BytesIO(init)) as container:
            return {stream.type: _parameters(stream) for stream in container.streams}
    except (av.error.FFmpegError, ValueError, EOFError) as error:
        raise ExportRefused(f"an init segment can't be read: {one_line(error)}") from None


def key_times(init: bytes, segment: bytes) -> list[int]:
    """Presentation times of a segment's key frames, in nanoseconds of media time.

    Raises: ExportRefused.
    """
    try:
        with _open(io.BytesIO(init + segment)) as container:
            packets = [packet for packet in container.demux() if packet.size and packet.stream.type == "video"]
            return sorted(_ns(packet.pts, packet) for packet in packets if packet.is_keyframe)
    except (av.error.FFmpegError, ValueError, EOFError) as error:
        raise ExportRefused(f"a segment can't be read: {one_line(error)}") from None


def remux(
    path: str,
    runs: Sequence[Run],
    metadata: dict[str, str],
    *,
    begin_ns: int | None = None,
    end_ns: int | None = None,
    captions: Captions | None = None,
) -> Remuxed:
    """Write `runs` to a new file at `path`.

    Args:
        runs: at least one; tracks of the same kind have equal `parameters` in all.
        begin_ns: media time of the key frame to begin with; None = whatever comes first. It becomes time 0.
        end_ns: media time behind the last frame, but for those that earlier ones are coded from.
        captions: filled by whoever reads the segments, before their frames come; None = no timed text.

    Raises: ExportRefused for what libav says; OSError and the errors of `runs` pass through.
    """
    try:
        with av.open(f"file:{path}", "w", format="mp4", options=MUXER_OPTIONS) as output:
            output.metadata.update(metadata)
            with _tracks_like(runs, output) as streams:
                track = CaptionTrack(output, captions) if captions is not None else None
                writer = _Writer(output, streams, begin_ns, end_ns, track)
                for run in runs:
                    _copy(run, writer)
                writer.finish()
        return writer.result()
    except (av.error.FFmpegError, EOFError) as error:
        raise ExportRefused(f"{path}: {one_line(error)}") from None


@contextmanager
def _tracks_like(runs: Sequence[Run], output: av.container.OutputContainer) -> Iterator[dict[str, Any]]:
    """The output's tracks by kind, each like the first run's that has one of its kind."""
    streams: dict[str, Any] = {}
    with ExitStack() as opened:
        for run in runs:
            for template in opened.enter_context(_open(io.BytesIO(run.init))).streams:
                if template.type in streams:
                    continue
                stream: Any = output.add_stream_from_template(template)
                stream.time_base = template.time_base
                if stream.codec_context.codec.canonical_name == "hevc":
                    stream.codec_context.codec_tag = _HEVC_TAG
                streams[template.type] = stream
        yield streams


class _Writer:
    """Moves packets to the new time line and counts them."""

    def __init__(
        self,
        output: av.container.OutputContainer,
        streams: dict[str, Any],
        begin_ns: int | None,
        end_ns: int | None,
        captions: CaptionTrack | None,
    ) -> None:
        self._output = output
        self._streams = streams
        self._captions = captions
        self._begin_ns = begin_ns or 0
        self._waiting = begin_ns is not None  # for the key frame to begin with
        self._end_ns = end_ns
        self._newest_ns: dict[str, int] = {}  # presentation time of what was written before the end
        self._zero: Fraction | None = None  # seconds of media time that become 0
        self._last_dts: dict[str, int] = {}
        self._counts = {"video": 0, "audio": 0}
        self._end_reached_ns = 0
        self._frames_end_ns = 0
        self._left_out = 0

    def take(self, packet: av.packet.Packet[Any]) -> None:
        """Write one packet, or leave it out."""
        kind = packet.stream.type
        if packet.pts is None or packet.dts is None:
            raise ExportRefused("a packet without a time")
        if not self._wanted(kind, packet):
            return
        if self._zero is None:
            self._zero = packet.pts * packet.time_base
        shift = round(self._zero / packet.time_base)
        if kind == "audio" and packet.pts < shift:
            return  # audio from before the first frame
        last = self._last_dts.get(kind)
        if last is not None and packet.dts <= last:
            self._left_out += 1
            return
        self._last_dts[kind] = packet.dts
        self._counts[kind] += 1
        end_ns = _ns(packet.pts + (packet.duration or 0), packet)
        self._end_reached_ns = max(self._end_reached_ns, end_ns)
        if kind == "video":
            self._frames_end_ns = max(self._frames_end_ns, end_ns)
            if self._captions is not None:
                self._captions.write_due(_ns(packet.dts, packet), round(self._zero * NS))
        packet.pts -= shift
        packet.dts -= shift
        packet.stream = self._streams[kind]
        self._output.mux(packet)

    def _wanted(self, kind: str, packet: av.packet.Packet[Any]) -> bool:
        pts_ns, dts_ns = _ns(packet.pts, packet), _ns(packet.dts, packet)
        if self._waiting:
            if kind != "video" or not packet.is_keyframe or pts_ns < self._begin_ns:
                return False
            self._waiting = False
        if self._end_ns is None or dts_ns < self._end_ns:
            self._newest_ns[kind] = max(self._newest_ns.get(kind, pts_ns), pts_ns)
            return True
        # A frame of later decode time that is shown before one that is written already must not be missing.
        return kind == "video" and pts_ns < self._newest_ns.get(kind, pts_ns)

    def finish(self) -> None:
        """No packet comes any more."""
        if self._captions is not None and self._zero is not None:
            self._captions.write_rest(self._frames_end_ns, round(self._zero * NS))

    def result(self) -> Remuxed:
        if self._zero is None:
            raise ExportRefused("there is no frame in what was asked for")
        begin_ns = round(self._zero * NS)
        return Remuxed(begin_ns, self._end_reached_ns, self._counts["video"], self._counts["audio"], self._left_out)


def _copy(run: Run, writer: _Writer) -> None:
    source = _Joined(run)
    try:
        with _open(source) as container:
            for packet in container.demux():
                if packet.size:
                    writer.take(packet)
    except (av.error.FFmpegError, EOFError):
        if source.error is None:
            raise
    if source.error is not None:
        raise source.error


class _Joined:
    """A file that can only be read: the init segment, then one segment after the other, each when it is its turn."""

    def __init__(self, run: Run) -> None:
        self._segments = run.segments
        self._piece = memoryview(run.init)
        self.error: BaseException | None = None  # what a segment raised: libav would make another error of it

    def read(self, size: int) -> bytes:
        while not self._piece:
            try:
                self._piece = memoryview(next(self._segments))
            except StopIteration:
                return b""
            except Exception as error:  # noqa: BLE001  raised again by the caller, when libav has let go
                self.error = error
                return b""
        taken, self._piece = self._piece[:size], self._piece[size:]
        return bytes(taken)


def _open(file: object) -> av.container.InputContainer:
    return av.open(file, "r", format="mp4")


def _parameters(stream: Any) -> tuple[object, ...]:
    context = stream.codec_context
    video = stream.type == "video"
    shape = (context.width, context.height) if video else (context.sample_rate, context.layout.name)
    return (context.name, context.extradata, stream.time_base, *shape)


def _ns(ticks: int | None, packet: av.packet.Packet[Any]) -> int:
    return round((ticks or 0) * packet.time_base * NS)
