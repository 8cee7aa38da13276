"""Parameter sets of a camera that encodes by itself: which ones hold, and the track that follows from them.

A camera may change its size at any key frame, and what is damaged looks the same. So new sets are believed only where a
frame that they came with, or that follows them, can be decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import av
from av.video.stream import VideoStream

from bwvd.capture.libav_errors import refusing
from bwvd.capture.source import DeviceLost, Out
from bwvd.capture.video.form_damper import FormDamper
from bwvd.media.init_segment import VIDEO_TIMESCALE, InitUnusable, decodes, init_of_annexb, init_of_stream
from bwvd.media.nal import PREFIX_BYTES, START_CODE, AccessUnit, NalForm, Readable, Span, unit_type
from bwvd.media.samples import Track

DOUBTED_KEYS = 3  # key frames in a row whose new parameter sets are no good: what the decoder was told is wrong

Spans = list[Span] | None  # None = they have to be found
NewTrack = Callable[[bytes, int, int], Track]
"""Makes the track of an init segment, a width and a height."""


class _Parameters(NamedTuple):
    """Parameter sets, and what an init segment of them says."""

    sets: tuple[bytes, ...]
    init: bytes
    width: int
    height: int


class ParameterSets:
    """Those that hold for a stream.

    **Synchronization:** the device's thread.
    """

    def __init__(self, stream: VideoStream, form: NalForm, text: str, new_track: NewTrack) -> None:
        """form: of the stream's access units. text: the address, for messages.

        Raises: SourceRefused where libav makes no track of what it has found at the opening.
        """
        self._form = form
        self._text = text
        self._new_track = new_track
        self.track: Track | None = None  # of the sets that hold; None until there are any
        self.is_news = True  # nobody was told of the track, or that it is the track again
        self.is_restless = False  # the last key frame is one too many of those that change the parameters
        self._sets: tuple[bytes, ...] = ()
        self._unsure = 0  # key frames that may still show of which form the track is that came of the opening
        self._aspect: Fraction | None = None  # of a sample, where the container alone has said it
        self._doubted = 0  # key frames in a row
        self._doubtful: tuple[bytes, ...] = ()  # new ones of which nothing was kept yet: they may hold
        self._damper = FormDamper()
        self._refused: _Parameters | None = None  # it has changed to these, which are not kept: key frames may be bare
        context = stream.codec_context
        if context.extradata:
            with refusing("video.encoder"):
                init = init_of_stream(stream, VIDEO_TIMESCALE)
            self.track = new_track(init, stream.width, stream.height)
            self._sets = form.sets_in(bytes(context.extradata))
            self._unsure = DOUBTED_KEYS if self._sets else 0
            told, said = context.sample_aspect_ratio, stream.sample_aspect_ratio
            self._aspect = said if said and said != told else None

    def fit(self, data: Readable, spans: Spans, whole: AccessUnit, at_ns: int, out: Out) -> bool:
        """True if the sets in an access unit are those that we know, or good new ones at a key frame.

        spans: of its units, where they were found already. at_ns: decode time of the frame. out: is told of a camera
        that changes them again and again.
        Raises: DeviceLost when it must be opened again.
        """
        key = whole.key
        found = self._form.units(data) if spans is None else spans
        sets = self._form.parameter_sets(data, found) if whole.has_sets else ()
        self.is_restless = False
        holding = self._sets if self._refused is None else self._refused.sets
        known = set(sets) <= set(holding) or set(sets) <= set(self._sets)
        if key and known and self._doubtful:
            # Where both decode it, the camera has changed: damage does not make another form that is whole.
            unit = _annexb(data, found)
            if set(sets) <= set(self._doubtful) and decodes(self._form.codec, self._of_sets(self._doubtful) + unit):
                return self._take_parameters(self._doubtful, self._of_sets(self._doubtful) + unit, at_ns, out)
            if not sets and not decodes(self._form.codec, self._of_sets(holding) + unit):
                return self._doubt(self._doubtful)
        if key and known and self._unsure and self._refused is None and not self._settled(_annexb(data, found), sets):
            return False
        if key and known:
            self._doubted, self._doubtful = 0, ()
        if self._refused is not None and set(sets) <= set(self._refused.sets):
            # They hold until others come: a frame without any is not one of those that are kept.
            return key and self._take(self._refused, at_ns, out)
        if known:
            if key:
                self._refused = None
                if self.track is not None:
                    self._is_kept(self.track.init, at_ns, out)
            return True
        if not key:
            self._suspect(sets)
            return not self._sets
        unit = _annexb(data, found)
        if self.track is not None and not decodes(self._form.codec, unit):
            return self._doubt(sets)
        return self._take_parameters(sets, unit, at_ns, out)

    def broken(self, data: Readable, spans: Spans, unit: AccessUnit) -> None:
        """A frame that is no good came; bare key frames may be of the sets that it brought."""
        if unit.has_sets:
            self._suspect(self._form.parameter_sets(data, self._form.units(data) if spans is None else spans))

    def _settled(self, unit: bytes, sets: tuple[bytes, ...]) -> bool:
        """True if the first key frame is of the parameter sets that the opening has found: the track is then of both.

        libav reads ahead when it opens a stream. It keeps the sets that it came to first, and the size and the
        samples' shape that it came to last; and the first sets may be of a later form than the first frames.

        unit: the key frame, in Annex B.
        """
        picture = b"".join(b"\0" + START_CODE + unit[a:b] for a, b in self._form.without_sets(unit))
        unit = self._of_sets(self._sets) + picture
        if not set(self._sets) <= set(sets) and not decodes(self._form.codec, unit):
            self._unsure -= 1  # not for ever: a decoder that takes less than libav's may take them
            return False
        self._unsure = 0
        try:
            init, width, height = init_of_annexb(self._form.codec, unit, self._say_aspect)
        except InitUnusable:
            return True
        was = self.track
        if was is None:
            return True
        if self._form.length_bytes == PREFIX_BYTES:
            other = (width, height) != (was.width, was.height)  # the rest is what the container says
        else:
            other = not self._form.length_bytes and init != was.init  # units that keep shorter lengths keep theirs
        if other:
            self.track = self._new_track(init, width, height)
        return True

    def _say_aspect(self, context: av.VideoCodecContext) -> None:
        if self._aspect is not None:
            context.sample_aspect_ratio = self._aspect

    def _of_sets(self, sets: tuple[bytes, ...]) -> bytes:
        """In Annex B, to be put before a key frame that has none: those that others refer to first."""
        ordered = sorted(sets, key=lambda one: unit_type(self._form.codec, one[0]))
        return b"".join(b"\0" + START_CODE + one for one in ordered)

    def _suspect(self, sets: tuple[bytes, ...]) -> None:
        """Parameter sets came that nothing can be kept of yet: bare key frames may be of them."""
        if self._sets and not set(sets) <= set(self._sets):
            self._doubtful = sets

    def _doubt(self, sets: tuple[bytes, ...]) -> bool:
        """Leave out a key frame of such sets, or one that neither those decode nor what holds. Always False.

        Raises: DeviceLost where it is one too many.
        """
        self._suspect(sets)
        self._doubted += 1
        if self._doubted >= DOUBTED_KEYS:
            raise DeviceLost(f"{self._text} gives key frames that can't be decoded")
        return False

    def _is_kept(self, init: bytes, at_ns: int, out: Out) -> bool:
        """True if frames of that init segment are kept; not where the camera changes it again and again."""
        kept = self._damper.takes(init, at_ns, out)
        if self._damper.has_calmed():
            self.is_news = True
        return kept

    def _take_parameters(self, sets: tuple[bytes, ...], unit: bytes, at_ns: int, out: Out) -> bool:
        """Take new ones that decode, of a key frame in Annex B that they stand before. False where none can be kept."""
        if self._sets and self._form.length_bytes not in (0, PREFIX_BYTES):
            # Units keep the length of their prefix, and the new init segment would say four.
            raise DeviceLost(f"{self._text} has changed its parameters")
        if not self._sets and self._form.length_bytes and self.track is not None:
            self._doubted, self._sets = 0, sets
            return True  # repeated in the stream beside those of the container
        try:
            init, width, height = init_of_annexb(self._form.codec, unit)
        except InitUnusable:
            # What holds for the track stays as it is. Without one there is none that bare key frames could pass under.
            return self.track is not None and self._doubt(sets)
        self._doubted, self._doubtful, self._unsure = 0, (), 0
        return self._take(_Parameters(sets, init, width, height), at_ns, out)

    def _take(self, found: _Parameters, at_ns: int, out: Out) -> bool:
        """Keep what comes with these parameters, from a key frame on; False where that is one change too many."""
        self.is_restless = not self._is_kept(found.init, at_ns, out)
        self._refused = found if self.is_restless else None
        if self.is_restless:
            return False
        self._sets = found.sets
        if self.track is None or found.init != self.track.init:
            self.track = self._new_track(found.init, found.width, found.height)
            self.is_news = True
        return True


def _annexb(data: Readable, spans: list[Span]) -> bytes:
    return b"".join(b"\0" + START_CODE + data[a:b] for a, b in spans)
