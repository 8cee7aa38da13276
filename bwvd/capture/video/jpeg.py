"""libjpeg-turbo where the machine has it: a camera's MJPEG decoded in less than half of libav's time.

Only what it takes without any complaint is its own; everything else goes to libav, which says whether that is a frame.
The library is asked for by its name (Debian: `libturbojpeg0`), and through its C interface of 2.0, which 3.x keeps.
"""

from __future__ import annotations

import ctypes
from functools import cache

import av
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from bwvd.capture.video.colours import JFIF
from bwvd.capture.video.pixel_format import ChromaMean, new_frame

LIBRARY = "libturbojpeg.so.0"

# TJSAMP of turbojpeg.h: by how much chroma is smaller, across and down.
_444, _422, _420 = 0, 1, 2
_SMALLER = {_444: (1, 1), _422: (2, 1), _420: (2, 2)}
_YCBCR = 1  # TJCS_YCbCr

_THREE_POINTERS = ctypes.c_void_p * 3
_THREE_INTS = ctypes.c_int * 3


@cache
def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(LIBRARY)  # lets go of the interpreter's lock in every call
        library.tjInitDecompress.restype = ctypes.c_void_p
        library.tjInitDecompress.argtypes = []
        library.tjDestroy.argtypes = [ctypes.c_void_p]
        number = ctypes.POINTER(ctypes.c_int)
        library.tjDecompressHeader3.argtypes = [
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_ulong,
            number,
            number,
            number,
            number,
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
        self._numbers = tuple(ctypes.c_int() for _ in range(4))
        self._frame: av.VideoFrame | None = None
        self._mean: ChromaMean | None = None

    def decode(self, packet: av.Packet[VideoStream]) -> av.VideoFrame | None:
        """Decode a packet; None for what libav should be asked about: damaged, or not of the plain kind.

        The frame is overwritten by the next call unless somebody else still holds its buffers.
        """
        if self._handle is None or not packet.size:
            return None
        data, size = packet.buffer_ptr, packet.buffer_size
        width, height, sampling, space = self._numbers
        if self._library.tjDecompressHeader3(self._handle, data, size, width, height, sampling, space):
            self._begin_again()
            return None
        smaller = _SMALLER.get(sampling.value)
        if smaller is None or space.value != _YCBCR or (width.value, height.value) != self._size:
            return None
        frame = self._writable()
        luma, *chroma = frame.planes
        mean: ChromaMean | None = None
        if smaller == _SMALLER[_420]:
            pointers = [plane.buffer_ptr for plane in (luma, *chroma)]
            lines = [plane.line_size for plane in (luma, *chroma)]
        else:
            mean = self._of_size(width.value // smaller[0], height.value // smaller[1])
            pointers = [luma.buffer_ptr, *mean.pointers]
            lines = [luma.line_size, mean.line_size, mean.line_size]
        if self._library.tjDecompressToYUVPlanes(
            self._handle, data, size, _THREE_POINTERS(*pointers), width.value, _THREE_INTS(*lines), height.value, 0
        ):
            self._begin_again()
            return None
        if mean is not None:
            mean.store(frame)
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
        frame = self._frame
        if frame is None:
            frame = self._frame = new_frame(*self._size)
            frame.color_range = ColorRange.JPEG
            frame.colorspace = JFIF.matrix
        frame.make_writable()
        return frame

    def _of_size(self, width: int, height: int) -> ChromaMean:
        if self._mean is None or self._mean.size != (width, height):
            self._mean = ChromaMean(width, height)
        return self._mean
