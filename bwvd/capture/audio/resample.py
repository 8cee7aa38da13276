"""Audio in the form that the encoder takes, stretched by libav's resampler so that it follows a clock."""

from __future__ import annotations

from fractions import Fraction

import av
from av.filter import Graph

_BASE = Fraction(1, 1_000_000)

# What libswresample may do (its "soft compensation"): where its output is further than `min_comp` from the times that
# it is told, it goes faster or slower for a second to get there, by 0.4 % at most, a fifteenth of a semitone. It never
# puts silence in or leaves audio out: we do that, and say so.
_OPTIONS = {
    "min_comp": "0.0005",  # seconds
    "comp_duration": "1",  # seconds
    "max_soft_comp": "0.004",
    "min_hard_comp": "1000000",  # seconds
    "flags": "+res",  # from the first sample on: to begin with it later is heard as a click
}


class SoftResampler:
    """One stretch of audio without holes: frames in, with their times; frames out that are simply one after another.

    **Synchronization:** one thread.
    """

    def __init__(self, like: av.AudioFrame, rate: int, layout: str, sample_format: str) -> None:
        """like: a frame as those that will come. The others: of what comes out."""
        self._ratio = Fraction(rate, like.sample_rate)
        self._kind = _kind(like)
        self._in = 0  # samples
        self._out = 0
        self._held: int | None = None  # samples of output that are always on their way through the filter
        self._graph = Graph()
        self._graph.threads = 1  # this one; it would start as many as there are processors, to wait for work
        source = self._graph.add(
            "abuffer",
            sample_rate=str(like.sample_rate),
            sample_fmt=like.format.name,
            channel_layout=like.layout.name,
            time_base=str(_BASE),
        )
        stretch = self._graph.add("aresample", **_OPTIONS)
        form = self._graph.add("aformat", sample_rates=str(rate), sample_fmts=sample_format, channel_layouts=layout)
        self._graph.link_nodes(source, stretch, form, self._graph.add("abuffersink")).configure()

    @property
    def stretched(self) -> int:
        """Samples of output more (+) or fewer (-) than came in, so far: what was put in or left out unheard."""
        return self._out + (self._held or 0) - int(self._in * self._ratio)

    def take(self, frame: av.AudioFrame, at_ns: int) -> list[av.AudioFrame]:
        """Take audio that belongs at `at_ns` after the first. The frame may be overwritten when this has returned.

        Raises: ValueError when it is not like the first; av.FFmpegError.
        """
        if _kind(frame) != self._kind:
            raise ValueError("the form of the sound has changed")
        frame.time_base = _BASE
        frame.pts = at_ns // 1_000
        self._in += frame.samples
        self._graph.push(frame)
        found = self._pull()
        if self._held is None and self._out:
            self._held = int(self._in * self._ratio) - self._out
        return found

    def finish(self) -> list[av.AudioFrame]:
        """Return what was still inside. Nothing may follow."""
        self._graph.push(None)
        self._held = 0
        return self._pull()

    def _pull(self) -> list[av.AudioFrame]:
        found: list[av.AudioFrame] = []
        while True:
            try:
                frame = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return found
            assert isinstance(frame, av.AudioFrame)  # noqa: S101 - of a graph of audio
            frame.pts = None  # counted by us; the encoder's own resampler must not make up for anything
            self._out += frame.samples
            found.append(frame)


def _kind(frame: av.AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate
