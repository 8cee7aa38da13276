"""Presentation of frames: what their samples mean to whoever shows them, as their source says."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
from av.sidedata.sidedata import SideData, Type
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from bwvd.capture.video.colours import LIMITED, Colours, is_grey

Fields = Literal["progressive", "top", "bottom"]
"""Of interlaced frames: which field was taken first."""

SQUARE = Fraction(1)
MOST_ASPECT = 10  # a sample that is wider or higher than that is a camera's mistake: many JPEGs have nonsense there

# AVFieldOrder, of frames whose bottom field is shown first.
_BOTTOM_FIRST = frozenset({3, 4})


@dataclass(frozen=True, slots=True)
class Presentation:
    """What an encoder says of its frames."""

    colours: Colours = LIMITED
    aspect: Fraction = SQUARE  # width of a sample to its height
    fields: Fields = "progressive"


PLAIN = Presentation()


@dataclass(frozen=True, slots=True)
class Form:
    """What the frames of a track have in common: where any of it changes, another track begins."""

    width: int  # as decoded
    height: int
    presentation: Presentation
    turn: str = ""  # libav's filters that show them upright

    @property
    def upright(self) -> Presentation:
        """Of the frames behind `turn`."""
        shown = self.presentation
        if not self.is_turned_aside or shown.aspect == SQUARE:
            return shown
        return Presentation(shown.colours, 1 / shown.aspect, shown.fields)

    @property
    def is_turned_aside(self) -> bool:
        """True if `turn` makes the width the height."""
        return "transpose" in self.turn


class FormReader:
    """Reads the form of each frame; the same object as long as it is the same.

    **Synchronization:** one thread.
    """

    def __init__(self, camera: Colours | None = None) -> None:
        """camera: the colours of frames that say nothing of theirs; None = nobody knows them."""
        self._camera = camera
        self._form: Form | None = None
        self._container_says: Fraction | None = None  # a sample's aspect, against what the frames say
        self._turned = 0  # degrees, as of the last frame
        self._said: tuple[object, ...] = ()  # all that a form is read from, of the last frame

    def read(self, frame: av.VideoFrame, stream: VideoStream) -> Form:
        """The form of a frame that the stream's decoder has just given out."""
        before = self._form
        camera = self._camera
        # What is made of RGB has a range of ours.
        unsaid = frame.color_range == ColorRange.UNSPECIFIED
        if camera is not None and camera.full_range and unsaid and not frame.format.is_rgb:
            frame.color_range = ColorRange.JPEG  # for all that read it later
        elif camera is not None and camera.range_said and unsaid and is_grey(frame):
            frame.color_range = ColorRange.MPEG  # of a grey sensor that says nothing the samples are taken for full
        context = stream.codec_context
        said = (
            frame.width,
            frame.height,
            frame.format.name,
            frame.color_range,
            frame.colorspace,
            frame.color_primaries,
            frame.color_trc,
            frame.interlaced_frame,
            frame.rotation,
            context.sample_aspect_ratio,
            context.field_order,
        )
        if said == self._said and before is not None:
            return before
        self._said = said
        told = context.sample_aspect_ratio
        if before is None:
            guessed = stream.sample_aspect_ratio
            self._container_says = guessed if guessed and guessed != told else None
        fields: Fields = "progressive"
        size = frame.width, frame.height
        if frame.interlaced_frame:
            fields = "bottom" if int(context.field_order) in _BOTTOM_FIRST else "top"
        elif before is not None and size == (before.width, before.height):
            fields = before.presentation.fields  # a stream of fields may have whole frames among them
        aspect = _sensible(self._container_says or told)
        # A frame that was asked for its matrix holds itself, and stays in memory until the next collection: a second of
        # them is 40 MB. So only one is asked, and another where anything else has changed.
        turned = frame.rotation
        known = before is not None and size == (before.width, before.height) and turned == self._turned
        self._turned = turned
        turn = before.turn if before is not None and known else turn_of(frame)
        form = Form(*size, Presentation(Colours.of(frame, camera=camera), aspect, fields), turn)
        if form != before:
            self._form = form
        return self._form or form


def turn_of(frame: av.VideoFrame) -> str:
    """The filters that turn a frame as its display matrix says; "" for none, or for another angle than a quarter's."""
    data = frame.side_data.get(Type.DISPLAYMATRIX.name)
    if not isinstance(data, SideData):
        return ""
    matrix = memoryview(bytes(data)).cast("i")  # ISO/IEC 14496-12, 6.2.2: x' = a x + c y, y' = b x + d y
    return _TURNS.get((_sign(matrix[0]), _sign(matrix[1]), _sign(matrix[3]), _sign(matrix[4])), "")


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)


# By the signs of a, b, c, d. A flip alone would leave the lines in memory as they are, and read them from the last on.
_TURNS = {
    (-1, 0, 0, -1): "vflip,hflip",
    (-1, 0, 0, 1): "hflip",
    (1, 0, 0, -1): "vflip,copy",
    (0, 1, -1, 0): "transpose=clock",
    (0, -1, 1, 0): "transpose=cclock",
    (0, 1, 1, 0): "transpose=cclock_flip",
    (0, -1, -1, 0): "transpose=clock_flip",
}


def _sensible(aspect: Fraction | None) -> Fraction:
    """Nothing, or nonsense, is square."""
    return aspect if aspect and Fraction(1, MOST_ASPECT) <= aspect <= MOST_ASPECT else SQUARE
