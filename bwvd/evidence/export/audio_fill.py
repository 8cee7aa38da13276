"""Silence that an export puts where a recording's audio track has nothing, so that the MP4's runs through. Pure.

The device does so itself (invariant 15) but for what it can't: recordings of its earlier versions have holes, the form
of a microphone that comes late is known to nobody before, and a hole of both tracks is none of the audio's alone. A
form of AAC that can't be made silent keeps its holes here too: to fill them, all of the audio would have to be encoded
anew, and a copy of what was recorded it would be no longer.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from bwvd.clock import NS
from bwvd.evidence.export.views import Views
from bwvd.media.audio_line import HOLE_NS, Filler
from bwvd.media.fragment_reader import Run, TrackHead
from bwvd.media.samples import ticks
from bwvd.media.silence import silence_like

Placed = tuple[Run, int]  # samples, and where the first lies in the file

_AT_ONCE = 2048  # frames: so many lie in one piece
_MOST = 4_000_000  # frames, a day: what a hostile manifest could ask for beyond that would fill a desk's memory
_LATE_NS = NS  # where there is no audio for longer, bytes of silence are put between the video's


class AudioFill:
    """The audio track of an MP4 on its way from the beginning to the end.

    Args:
        head: the track's.
        begin: where the MP4 begins, in ticks of the track.
    """

    def __init__(self, head: TrackHead, begin: int) -> None:
        self.head = head
        self.silence = silence_like(head.decoder_config, head.timescale)
        self.silent_frames = 0  # the recording's own, and those that were put in
        self.added_frames = 0  # those that were put in
        self._lacking: list[tuple[int, int]] = []
        self._hole = self.silence.ticks * 3 // 2 if self.silence else ticks(HOLE_NS, head.timescale)
        self._filler = Filler(self.silence.ticks if self.silence else 0, begin)
        self._begin: int | None = begin  # None: something has come
        self._ready: deque[tuple[int, int]] = deque()  # silence in the file, not in the index: where, how many frames
        self._ready_until = begin  # what that suffices for

    @property
    def lacking_ns(self) -> list[tuple[int, int]]:
        """Media time from and to where the recording has no audio, filled or not, up to the last that came."""
        scale = self.head.timescale
        return [(begin * NS // scale, end * NS // scale) for begin, end in self._lacking]

    def audio(self, run: Run, plain: memoryview, views: Views) -> Iterator[Placed]:
        """Audio of a segment, with the silence that comes before and between.

        Args:
            plain: the segment.
            views: what is to be written.
        """
        for part in self._parts(run):
            yield from self._before(part, views)
            self._ready.clear()  # what was put in for the time before, and not needed
            self.silent_frames += self._silent(part, plain)
            yield part, views.put(plain, part.offset, sum(part.sizes))

    def until(self, end_ns: int, views: Views) -> Iterator[Placed]:
        """The silence behind the last audio. `end_ns`: media time."""
        end = end_ns * self.head.timescale // NS
        self._lacks(end)
        yield from self._silences(end, views)

    def put_between(self, end_ns: int, views: Views) -> None:
        """Bytes of silence beside the video that they belong to, so that a player need not look for them elsewhere.

        They stand in no index before it is known that no audio comes late. `end_ns`: media time of what was written.
        """
        if self.silence is None:
            return
        begin = self._ready_until if self._ready else self._filler.due
        count = ((end_ns - _LATE_NS) * self.head.timescale // NS - begin) // self.silence.ticks
        if count > 0:
            count = min(count, _AT_ONCE)  # behind a gap of minutes the next ones catch up
            self._ready.append((self._put(count, views), count))
            self._ready_until = begin + count * self.silence.ticks

    def _silent(self, run: Run, plain: memoryview) -> int:
        """How many of a recording's frames are the silence that a device puts in (FORMAT.md, section 7)."""
        if self.silence is None or len(self.silence.data) not in run.sizes:
            return 0
        wanted, at, found = self.silence.data, run.offset, 0
        for size in run.sizes:
            found += size == len(wanted) and plain[at : at + size] == wanted
            at += size
        return found

    def _parts(self, run: Run) -> Iterator[Run]:
        """The run, cut at each hole in it: in a fragment a frame lasts until the next one comes."""
        first = 0
        if max(run.durations, default=0) > self._hole:
            for index, duration in enumerate(run.durations):
                if duration > self._hole:
                    part = run.part(first, index + 1)
                    durations = part.durations[:-1]
                    durations.append(self.silence.ticks if self.silence else min(run.durations))
                    yield replace(part, durations=durations)
                    first = index + 1
        if first < len(run):
            yield run.part(first, len(run))

    def _before(self, audio: Run, views: Views) -> Iterator[Placed]:
        begin, end = audio.dts, audio.dts + sum(audio.durations)
        filler = self._filler
        if self._begin is not None and 0 < begin - self._begin < filler.length:
            filler.due = begin  # the MP4 begins within a frame: its track begins with the next
        self._begin = None
        self._lacks(begin)
        yield from self._silences(begin, views)
        if begin - filler.due < 2 * filler.length:  # else it is too much to be filled
            for at in filler.audio(begin, end):
                yield from self._placed(at, 1, views)
        filler.due = max(filler.due, end)
        if filler.length:
            # What the device has left open between its own silence and audio, or filled too much, it has evened out.
            differences = [lasts - filler.length for lasts in set(audio.durations) if lasts != filler.length]
            for difference in differences:
                if abs(difference) * 8 >= filler.length:
                    filler.uneven(difference * audio.durations.count(difference + filler.length))

    def _lacks(self, until: int) -> None:
        if until - self._filler.due >= self._hole:
            self._lacking.append((self._filler.due, until))

    def _silences(self, until: int, views: Views) -> Iterator[Placed]:
        filler = self._filler
        if not filler.length or (until - filler.due) // filler.length > _MOST - self.added_frames:
            return
        while begins := filler.until(min(until, filler.due + _AT_ONCE * filler.length)):
            yield from self._placed(begins[0], len(begins), views)

    def _placed(self, begin: int, count: int, views: Views) -> Iterator[Placed]:
        """Frames of silence: in bytes that lie there for them, or in new ones."""
        assert self.silence is not None  # noqa: S101  else there is nothing to fill with
        self.added_frames += count
        self.silent_frames += count
        while count:
            if self._ready:
                offset, there = self._ready.popleft()
                taken = min(count, there)
                if taken < there:
                    self._ready.appendleft((offset + taken * len(self.silence.data), there - taken))
            else:
                taken, offset = count, self._put(count, views)
            sizes, durations = array("I", [len(self.silence.data)]), array("I", [self.silence.ticks])
            yield Run(self.head, begin, 0, sizes * taken, durations * taken, None, None), offset
            begin += taken * self.silence.ticks
            count -= taken

    def _put(self, count: int, views: Views) -> int:
        assert self.silence is not None  # noqa: S101  the caller has looked
        data = self.silence.data * count
        return views.put(memoryview(data), 0, len(data))
