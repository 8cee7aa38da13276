"""Arrangement of frames by libav's filters: turned upright, and the fields of interlaced ones kept apart and named."""

from __future__ import annotations

from fractions import Fraction

import av

from bwvd.capture.video.colours import FULL_RANGE_FORMATS
from bwvd.capture.video.pixel_format import ENCODED_FORMAT
from bwvd.capture.video.presentation import Form

_FULL_RANGE_FORMAT = "yuvj420p"  # the same, as decoders of JPEG call it
_BASE = Fraction(1, 1_000)  # any: a frame's time is set where it is encoded


class Arranger:
    """Makes of decoded frames of one form what an encoder takes, where a conversion of pixels is not enough.

    **Synchronization:** one thread.
    """

    def __init__(self, form: Form) -> None:
        fields = form.presentation.fields
        self._interlaced = fields != "progressive"
        # A filter that only names the fields would give out the decoder's own frame.
        steps = [form.turn or "copy"]
        if self._interlaced:
            steps.append("setfield=tff" if fields == "top" else "setfield=bff")
        self._arranging = _Filters(",".join(steps))
        # Chroma of two moments must not be mixed: each field for itself.
        self._reducing = _Filters(f"scale=interl=1,format={ENCODED_FORMAT}")
        self._reducing_full = _Filters(f"scale=interl=1,format={_FULL_RANGE_FORMAT}")

    @staticmethod
    def is_needed(form: Form) -> bool:
        """True if frames of this form have to be turned, or are interlaced."""
        return bool(form.turn) or form.presentation.fields != "progressive"

    def reduce(self, frame: av.VideoFrame) -> av.VideoFrame:
        """An interlaced frame in 4:2:0 and its own range; any other as it is."""
        name = frame.format.name
        if not self._interlaced or name in (ENCODED_FORMAT, _FULL_RANGE_FORMAT):
            return frame
        return (self._reducing_full if name in FULL_RANGE_FORMATS else self._reducing).apply(frame)

    def arrange(self, fitted: av.VideoFrame) -> av.VideoFrame:
        """Turn a frame in `ENCODED_FORMAT`, and say in it which field comes first. What is returned is ours alone."""
        arranged = self._arranging.apply(fitted)
        arranged.color_range = fitted.color_range
        return arranged


class _Filters:
    """A chain of filters, each of which gives out a frame for a frame."""

    def __init__(self, steps: str) -> None:
        self._steps = [step.partition("=") for step in steps.split(",")]
        self._graph: av.filter.Graph | None = None
        self._takes: tuple[int, int, str] | None = None

    def apply(self, frame: av.VideoFrame) -> av.VideoFrame:
        takes = frame.width, frame.height, frame.format.name
        if self._graph is None or takes != self._takes:
            self._graph, self._takes = self._configured(frame), takes
        if frame.pts is None:
            frame.pts = 0
        self._graph.vpush(frame)
        return self._graph.vpull()

    def _configured(self, frame: av.VideoFrame) -> av.filter.Graph:
        graph = av.filter.Graph()
        graph.threads = 1
        chain = [graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=_BASE)]
        chain += [graph.add(name, arguments or None) for name, _, arguments in self._steps]
        chain.append(graph.add("buffersink"))
        graph.link_nodes(*chain).configure()
        return graph
