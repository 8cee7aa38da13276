"""Decoded frames as the encoder wants them: 4:2:0, even size, the range it takes, and ours to draw on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from bwvd.capture.video.colours import FULL_RANGE_FORMATS, is_full_range, is_grey

ENCODED_FORMAT = "yuv420p"
_OTHER_FORMAT = "yuv444p"  # on the way to a fresh frame of the same format, which libav would not make
_BASE = Fraction(1, 1_000)  # any: filters want times, and what is encoded gets its own
_LESS_CHROMA = frozenset({"yuv422p", "yuvj422p", "yuv444p", "yuvj444p"})  # luma is 4:2:0's, chroma is to be averaged


def even(size: int) -> int:
    """4:2:0 halves both sides."""
    return size & ~1


def new_frame(width: int, height: int) -> av.VideoFrame:
    """A frame in `ENCODED_FORMAT` whose lines lie as far apart as in those that filters make: a plane of such a one is
    copied at once, and not line by line."""
    frame = av.VideoFrame(width, height, ENCODED_FORMAT)
    graph = av.filter.Graph()
    graph.threads = 1
    begin = graph.add_buffer(width=width, height=height, format=frame.format, time_base=_BASE)
    graph.link_nodes(begin, graph.add("copy"), graph.add("buffersink")).configure()
    frame.pts = 0
    graph.vpush(frame)
    return graph.vpull()


@dataclass(frozen=True, slots=True)
class Lines:
    """A plane's samples as they lie in memory: of no more use when its frame's buffers are others."""

    view: memoryview
    line: int  # bytes from one line to the next
    width: int
    height: int

    @classmethod
    def of(cls, plane: VideoPlane) -> Lines:
        return cls(memoryview(plane), plane.line_size, plane.width, plane.height)


class PixelConverter:
    """Brings frames of one source to one size and format.

    **Synchronization:** one thread.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = even(width), even(height)
        self._reformatter = VideoReformatter()
        self._scratch: av.VideoFrame | None = None
        self._mean: ChromaMean | None = None
        self._rows: RowMean | None = None

    def fit(self, frame: av.VideoFrame, *, full_range: bool = False) -> av.VideoFrame:
        """The frame in `ENCODED_FORMAT`; the same object where nothing had to be done.

        full_range: of what is returned. Where the frame has the same, nothing is rounded, and it costs less.
        """
        if frame.color_range == ColorRange.MPEG and is_grey(frame):
            frame = self._levels_kept(frame)
        full, wanted = is_full_range(frame), ColorRange.JPEG if full_range else ColorRange.MPEG
        if full == full_range:
            fitted = self._in_its_range(frame)
        else:
            fitted = self._reformatter.reformat(
                frame,
                self.width,
                self.height,
                ENCODED_FORMAT,
                src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
                dst_color_range=wanted,
                threads=1,  # a second thread costs more than it saves at these sizes
            )
        fitted.color_range = wanted
        return fitted

    def own(self, fitted: av.VideoFrame, original: av.VideoFrame) -> av.VideoFrame:
        """Return what `fit` made of `original`, on a frame that may be written on until the next call.

        A decoder may still refer to its frame, and a filter may give one frame again and again: those are copied.
        """
        if fitted is not original:
            return fitted
        scratch = self._writable()
        for target, source in zip(scratch.planes, fitted.planes, strict=True):
            _copy(Lines.of(target), Lines.of(source))
        scratch.color_range = fitted.color_range
        return scratch

    def _writable(self) -> av.VideoFrame:
        """Ours alone, unless an encoder still holds it: then libav gives us another buffer."""
        if self._scratch is None:
            self._scratch = new_frame(self.width, self.height)
        self._scratch.make_writable()
        return self._scratch

    def _in_its_range(self, frame: av.VideoFrame) -> av.VideoFrame:
        same_size = (frame.width, frame.height) == (self.width, self.height)
        if same_size and frame.format.name in _LESS_CHROMA and VideoPlane(frame, 0).line_size > 0:
            return self._averaged(frame)
        # No range is named: libswscale has a fast path for most formats of cameras where it is not asked about that.
        # But where the format's own name means full range, that would become limited.
        named = ColorRange.JPEG if frame.format.name in FULL_RANGE_FORMATS else None
        fitted = self._reformatter.reformat(
            frame,
            self.width,
            self.height,
            ENCODED_FORMAT,
            src_color_range=named,
            dst_color_range=named,
            threads=1,
        )
        if fitted.planes[0].line_size < 0:
            # Upside down in memory: to libav that is the same image, but nobody could draw on it by counting lines.
            fitted = self._reformatter.reformat(fitted, format=_OTHER_FORMAT).reformat(format=ENCODED_FORMAT)
        return fitted

    def _levels_kept(self, frame: av.VideoFrame) -> av.VideoFrame:
        """A grey frame that says it is limited, as that in `ENCODED_FORMAT`: asked for limited range, libswscale would
        limit it once more."""
        kept = self._reformatter.reformat(
            frame,
            self.width,
            self.height,
            ENCODED_FORMAT,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        )
        kept.color_range = ColorRange.MPEG
        return kept

    def _averaged(self, frame: av.VideoFrame) -> av.VideoFrame:
        luma, *chroma = [Lines.of(plane) for plane in frame.planes]
        size = chroma[0].width, chroma[0].height
        target = self._writable()
        own_luma, own_u, own_v = [Lines.of(plane) for plane in target.planes]
        _copy(own_luma, luma)
        if size[0] == own_u.width:
            if self._rows is None or not self._rows.takes(frame):
                self._rows = RowMean(frame)
            _, *means = self._rows.apply(frame).planes
            for to, mean in zip((own_u, own_v), means, strict=True):
                _copy(to, Lines.of(mean))
            return target
        if self._mean is None or self._mean.size != size:
            self._mean = ChromaMean(*size)
        self._mean.load(chroma)
        self._mean.store((own_u, own_v))
        return target


class RowMean:
    """Each two lines of a frame, in all its planes, brought to one: their mean, rounded down.

    By filters that read the lines where they lie: a twentieth of what a scaler takes, which works with 15 bits.

    **Synchronization:** one thread.
    """

    def __init__(self, like: av.VideoFrame) -> None:
        """like: a frame of the size, an even number of lines, and of the format of all that follow."""
        self._like = like.width, like.height, like.format.name
        self._number = 0
        graph = self._graph = av.filter.Graph()
        graph.threads = 1
        begin = graph.add_buffer(width=like.width, height=like.height, format=like.format, time_base=_BASE)
        both, first, second = graph.add("split"), graph.add("field", "top"), graph.add("field", "bottom")
        mean, end = graph.add("blend", "all_mode=average"), graph.add("buffersink")
        self._begin, self._end = begin, end  # asked for them, a graph looks through all its filters
        begin.link_to(both)
        for index, lines in enumerate((first, second)):
            both.link_to(lines, index, 0)
            lines.link_to(mean, 0, index)
        mean.link_to(end)
        graph.configure()

    def takes(self, frame: av.VideoFrame) -> bool:
        """True if the frame is like the first one."""
        return self._like == (frame.width, frame.height, frame.format.name)

    def apply(self, frame: av.VideoFrame) -> av.VideoFrame:
        """A frame of half the height, that nobody else has. Sets the time of what it is given."""
        self._number += 1  # the filters wait for a pair of frames of one time
        frame.pts = self._number
        self._begin.push(frame)
        mean = self._end.pull()
        if not isinstance(mean, av.VideoFrame):
            raise TypeError("filters of video give frames of video")
        return mean


class ChromaMean:
    """Two chroma planes of 4:2:2 or 4:4:4, brought to 4:2:0: each sample is the mean of those in its place.

    They lie one below the other in one grey frame, so that both are done at once, and luma is not touched.

    **Synchronization:** one thread.
    """

    def __init__(self, width: int, height: int) -> None:
        """width, height: of each plane as it comes, in samples."""
        self.size = (width, height)
        self._both = av.VideoFrame(width, 2 * height, "gray")
        self._plane = self._both.planes[0]
        self._rows = RowMean(self._both) if height % 2 == 0 else None
        self._reformatter = VideoReformatter()

    @property
    def line_size(self) -> int:
        """Bytes from one line to the next."""
        return self._plane.line_size

    @property
    def pointers(self) -> tuple[int, int]:
        """Addresses of both planes' first samples, for a decoder that writes there itself."""
        begin = self._plane.buffer_ptr
        return begin, begin + self.size[1] * self.line_size

    def load(self, planes: Sequence[Lines]) -> None:
        """Copy both planes of a frame."""
        both, (width, height), line = memoryview(self._plane), self.size, self.line_size
        for index, plane in enumerate(planes):
            _copy(Lines(both[index * height * line :], line, width, height), plane)

    def store(self, chroma: Sequence[Lines]) -> None:
        """Write the means into the chroma planes of a frame in `ENCODED_FORMAT`."""
        u, v = chroma
        width, height = u.width, u.height
        if self._rows is not None and width == self.size[0]:
            small = self._rows.apply(self._both)
        else:
            # Each is the middle of what it was made of: the mean is exact where `AREA` divides without a rest.
            small = self._reformatter.reformat(
                self._both, width, 2 * height, "gray", interpolation=Interpolation.AREA, threads=1
            )
        plane = VideoPlane(small, 0)
        means, line = memoryview(plane), plane.line_size
        size = height * line
        if u.line == line == v.line:
            u.view[:size], v.view[:size] = means[:size], means[size : 2 * size]
            return
        for index, to in enumerate(chroma):
            _copy_rows(to.view, to.line, means[index * size :], line, width, height)


def _copy(target: Lines, source: Lines) -> None:
    """Copy a plane onto one of the same size."""
    width, height = min(target.width, source.width), min(target.height, source.height)
    _copy_rows(target.view, target.line, source.view, source.line, width, height)


def _copy_rows(target: memoryview, to: int, source: memoryview, of: int, width: int, height: int) -> None:
    """Copy samples and lines. to, of: bytes from one line to the next, there and here."""
    if to == of:
        size = min(height * to, len(target), len(source))
        target[:size] = source[:size]
        return
    for y in range(height):
        target[y * to : y * to + width] = source[y * of : y * of + width]
