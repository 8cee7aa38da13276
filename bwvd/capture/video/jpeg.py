"""libjpeg-turbo where the machine has it: a camera's MJPEG decoded in less than half of libav's time.

Only what it takes without any complaint is its own; everything else goes to libav, which says whether that is a frame.
The library is asked for by its name (Debian: `libturbojpeg0`), and through its C interface of 2.0, which 3.x keeps.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache

import av
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from bwvd.capture.video.colours import JFIF
from bwvd.capture.video.pixel_format import ChromaMean, Lines, new_frame

LIBRARY = "libturbojpeg.so.0"

# TJSAMP of turbojpeg.h: by how much chroma is smaller, across and down.
_444, _422, _420 = 0, 1, 2
_SMALLER = {_444: (1, 1), _422: (2, 1), _420: (2, 2)}
_YCBCR = 1  # TJCS_YCbCr

_THREE_POINTERS = ctypes.c_void_p * 3
_THREE_INTS = ctypes.c_int * 3
_FOUR_INTS = ctypes.c_int * 4


@cache
def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(LIBRARY)  # lets go of the interpreter's lock in every call
        library.tjInitDecompress.restype = ctypes.c_void_p
        library.tjInitDecompress.argtypes = []
        library.tjDestroy.argtypes = [ctypes.c_void_p]
        library.tjDecompressHeader3.argtypes = [
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_ulong,
            *4 * (ctypes.c_void_p,),
        ]
        library.tjDecompressToYUVPlanes.argtypes = [
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_ulong,
            _THREE_POINTERS,
            ctypes.c_int,
            _THREE_INTS,
            ctypes.c_int,
            ctypes.c_int,
        ]
    except (OSError, AttributeError):
        return None
    return library


def is_there() -> bool:
    """True if the library can be loaded."""
    return _library() is not None


def decoder_of(stream: VideoStream) -> JpegDecoder | None:
    """A decoder for a stream of JPEGs; None where libav has to decode it: another codec, an odd size, no library."""
    context = stream.codec_context
    width, height = context.width, context.height
    if context.codec.canonical_name != "mjpeg" or not width or not height or width % 2 or height % 2 or not is_there():
        return None
    return JpegDecoder(width, height)


@dataclass(frozen=True, slots=True)
class _Room:
    """Where JPEGs of one kind are written to, as long as the frame's buffers and the kind are the same."""

    kind: list[int]  # width, height, sampling, colour space: as the header says
    begin: int  # address of the frame's first sample
    pointers: ctypes.Array[ctypes.c_void_p]
    lines: ctypes.Array[ctypes.c_int]
    chroma: tuple[Lines, Lines]  # of the frame
    mean: ChromaMean | None  # that makes them; None where the library writes them


class JpegDecoder:
    """Decodes JPEGs straight into frames in `ENCODED_FORMAT`, full range.

    **Synchronization:** one thread.
    """

    def __init__(self, width: int, height: int) -> None:
        """width, height: of the stream; a frame of another size is libav's.

        Raises: RuntimeError where the library is not there (ask `is_there`).
        """
        library = _library()
        handle = library.tjInitDecompress() if library is not None else None
        if library is None or not handle:
            raise RuntimeError(f"no {LIBRARY}")
        self._library = library
        self._handle: int | None = handle
        self._size = (width, height)
        self._header = _FOUR_INTS()
        self._header_at = [ctypes.addressof(self._header) + n * ctypes.sizeof(ctypes.c_int) for n in range(4)]
        self._mean: ChromaMean | None = None
        self._room: _Room | None = None
        self.frame: av.VideoFrame | None = None
        """What `decode` returns: the same object each time, of the same size, format, range and matrix."""

    def decode(self, packet: av.Packet[VideoStream]) -> av.VideoFrame | None:
        """Decode a packet; None for what libav should be asked about: damaged, or not of the plain kind.

        The frame is overwritten by the next call unless somebody else still holds its buffers.
        """
        data, size, handle = packet.buffer_ptr, packet.buffer_size, self._handle
        if handle is None or not size:
            return None
        if self._library.tjDecompressHeader3(handle, data, size, *self._header_at):
            self._begin_again()
            return None
        frame = self._writable()
        room, kind = self._room, self._header[:]
        # Made writable, a frame that somebody holds gets other buffers.
        if room is None or room.kind != kind or room.begin != VideoPlane(frame, 0).buffer_ptr:
            room = self._room = self._room_for(kind, frame)
            if room is None:
                return None
        width, height, _, _ = kind
        if self._library.tjDecompressToYUVPlanes(handle, data, size, room.pointers, width, room.lines, height, 0):
            self._begin_again()
            return None
        if room.mean is not None:
            room.mean.store(room.chroma)
        return frame

    def close(self) -> None:
        """Let go of the library's memory."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._library.tjDestroy(handle)

    def _begin_again(self) -> None:
        """Behind an error: the library's decoder may stand in the middle of it, and refuse what follows."""
        self.close()
        self._handle = self._library.tjInitDecompress() or None

    def _writable(self) -> av.VideoFrame:
        frame = self.frame
        if frame is None:
            frame = self.frame = new_frame(*self._size)
            frame.color_range = ColorRange.JPEG
            frame.colorspace = JFIF.matrix
        frame.make_writable()
        return frame

    def _room_for(self, kind: list[int], frame: av.VideoFrame) -> _Room | None:
        """None for JPEGs of a kind that is libav's."""
        width, height, sampling, space = kind
        smaller = _SMALLER.get(sampling)
        if smaller is None or space != _YCBCR or (width, height) != self._size:
            return None
        luma, u, v = frame.planes
        mean: ChromaMean | None = None
        if smaller == _SMALLER[_420]:
            pointers, lines = (u.buffer_ptr, v.buffer_ptr), (u.line_size, v.line_size)
        else:
            mean = self._of_size(width // smaller[0], height // smaller[1])
            pointers, lines = mean.pointers, (mean.line_size, mean.line_size)
        begin = luma.buffer_ptr
        return _Room(
            kind,
            begin,
            _THREE_POINTERS(begin, *pointers),
            _THREE_INTS(luma.line_size, *lines),
            (Lines.of(u), Lines.of(v)),
            mean,
        )

    def _of_size(self, width: int, height: int) -> ChromaMean:
        if self._mean is None or self._mean.size != (width, height):
            self._mean = ChromaMean(width, height)
        return self._mean
