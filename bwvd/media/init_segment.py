"""Init segments: what an MP4 reader must know of a track, in the form that the writer needs."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from typing import TypeVar

import av
from av.container import OutputContainer
from av.stream import Stream
from av.video.stream import VideoStream

# Nothing is printed by libav itself: errors reach us as exceptions, and standby must not write.
av.logging.set_libav_level(av.logging.PANIC)

VIDEO_TIMESCALE = 90_000  # ticks per second

# Of HEVC whose parameter sets are in the init segment. libav's own choice, "hev1", is not played by Apple's players.
HEVC_TAG = "hvc1"

# An init segment without media; default_base_moof makes fragments that may be moved about, frag_discont keeps their
# timestamps as given, and frag_custom cuts only where we say.
MUXER_OPTIONS = {
    "movflags": "empty_moov+default_base_moof+frag_discont+skip_trailer+frag_custom",
    "use_editlist": "0",
    "avoid_negative_ts": "disabled",
}
_BITEXACT = {"fflags": "bitexact"}  # no version of libav in it: equal parameters give equal bytes

AnyStream = TypeVar("AnyStream", bound=Stream)

Say = Callable[[av.VideoCodecContext], None]
"""Says of a track how its frames are to be shown, where its parameter sets may not."""


class Written:
    """What libav asks of a file. It must not be able to seek: then libav would go back and patch."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)


class InitUnusable(Exception):
    """No init segment can be made of a stream. One line."""


class InitSegment:
    """A fragmented MP4 that gets a header and never a sample."""

    def __init__(self) -> None:
        # A file of its own, not this object: container and file would hold each other until the collector looks.
        self._file = Written()
        self.container: OutputContainer = av.open(self._file, "w", format="mp4", options=MUXER_OPTIONS | _BITEXACT)

    def finish(self) -> bytes:
        """Open the encoder, write the header and return it (ftyp + moov). The container stays open."""
        self.container.start_encoding()
        return bytes(self._file.data)

    def close(self) -> None:
        self.container.close()


def add_like(container: OutputContainer, stream: AnyStream) -> AnyStream:
    """A stream of the same parameters. A sample's shape that only the container has said is one of them."""
    out = container.add_stream_from_template(stream)
    if isinstance(stream, VideoStream) and isinstance(out, VideoStream) and stream.sample_aspect_ratio:
        out.codec_context.sample_aspect_ratio = stream.sample_aspect_ratio
    return out


def init_of_stream(stream: AnyStream, timescale: int, say: Say | None = None) -> bytes:
    """The init segment for copied packets of an input stream. say: more than the stream itself does.

    Raises: InitUnusable when MP4 can't hold the codec.
    """
    segment = InitSegment()
    try:
        out = add_like(segment.container, stream)
        if stream.codec_context.codec.canonical_name == "hevc":
            out.codec_context.codec_tag = HEVC_TAG
        out.time_base = Fraction(1, timescale)
        if say is not None and isinstance(out, VideoStream):
            say(out.codec_context)
        return segment.finish()
    except (av.FFmpegError, ValueError) as error:
        raise InitUnusable(f"MP4 can't hold {stream.codec_context.name} as it is: {error}") from error
    finally:
        segment.close()


def init_of_annexb(codec: str, access_unit: bytes, say: Say | None = None) -> tuple[bytes, int, int]:
    """The init segment, width and height of a stream of which only an access unit with its parameter sets is known.

    codec: "h264" or "hevc". say: as for `init_of_stream`. Raises: InitUnusable when the parameter sets are not in it.
    """
    try:
        with av.open(io.BytesIO(access_unit), "r", format=codec) as container:
            stream = container.streams.video[0]
            return init_of_stream(stream, VIDEO_TIMESCALE, say), stream.width, stream.height
    except (av.FFmpegError, IndexError) as error:
        raise InitUnusable(f"no parameter sets in the first {codec} key frame: {error}") from error


STRICTEST = {"err_detect": "explode+careful+aggressive"}
"""Of a decoder that is only to judge: also of a slice that has bits left over."""


def decodes(codec: str, access_unit: bytes) -> bool:
    """Whether libav's decoder takes a key frame with its parameter sets (Annex B) without complaint. A few ms."""
    context = av.CodecContext.create(codec, "r")
    assert isinstance(context, av.VideoCodecContext)  # noqa: S101 - of a codec of pictures
    context.options = STRICTEST
    context.thread_count = 1
    try:
        frames = [*context.decode(av.Packet(access_unit)), *context.decode(None)]
    except (av.FFmpegError, ValueError):
        return False
    return len(frames) == 1 and not frames[0].is_corrupt
