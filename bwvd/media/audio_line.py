"""The audio track of a recording on its time line: how far it has come, and where it is filled with silence. Pure.

A player takes a hole in an audio track for a mistake: it rushes through it, freezes, or plays what follows too early.
So the track is continuous, and what is silence for want of audio is counted by whoever signs it (invariant 15).
"""

from __future__ import annotations

from bwvd.media.samples import Gop, Track, ticks
from bwvd.media.silence import Silence

HOLE_NS = 100_000_000  # between two GOPs: longer than this is a hole in the recording, of which players are told


class Filler:
    """Places frames of silence between audio, all in ticks of one track.

    They never begin in audio. Some players follow timestamps, others count samples: so what does not make a whole frame
    is left open or filled with a frame too much, whichever keeps the sum of both within half a frame.

    Args:
        length: of a frame of silence; 0 = there is none, and holes stay.
        due: where the next audio is due.
    """

    def __init__(self, length: int, due: int = 0) -> None:
        self.length = length
        self.due = due
        self._open = 0  # sum of what was left open, less what was filled too much

    def until(self, at: int) -> list[int]:
        """Where whole frames of silence begin that end at `at` or before."""
        if not self.length or at - self.due < self.length:
            return []
        count = (at - self.due) // self.length
        found = list(range(self.due, self.due + count * self.length, self.length))
        self.due += count * self.length
        return found

    def audio(self, begin: int, end: int) -> list[int]:
        """Audio comes: where frames of silence begin that are put before it."""
        found = self.until(begin)
        left = begin - self.due
        if self.length and left * 8 >= self.length:  # less is the rounding of timestamps
            self._open += left
            if self._open * 2 >= self.length:
                found.append(self.due)
                self._open -= self.length
        self.due = max(self.due, end)
        return found

    def uneven(self, more: int) -> None:
        """Audio that has come lasts so many ticks more (less: negative) than its samples: silence was placed so."""
        self._open += more

    def continued(self, length: int, old_scale: int, new_scale: int) -> Filler:
        """The same place in a track of another timescale."""
        filler = Filler(length, self.due * new_scale // old_scale)
        filler._open = self._open * new_scale // old_scale
        return filler


class AudioLine:
    """Where the GOPs of a recording want silence, epoch after epoch.

    **Synchronization:** one thread at a time.
    """

    def __init__(self) -> None:
        self._filler: Filler | None = None  # None: there has been no audio track yet
        self._track: Track | None = None
        self._until_ns: int | None = None  # the end of the last GOP, media time; None before the first
        self._begins = False  # an epoch

    def begin_epoch(self) -> None:
        """The next GOP is the first of an epoch: what comes before its frames would belong to neither."""
        self._begins = True

    def silent(self, gop: Gop, track: Track | None, silence: Silence | None, origin_ns: int) -> tuple[int, ...]:
        """Take the next GOP into account; returns where in it frames of silence begin, in ticks of `track`.

        What may still come late (`Gop.settled_ns`) is left for the next GOP. A hole that both tracks have stays one.

        Args:
            track: the epoch's audio track, None where it has none; `silence` is in its form, None where there is none.
        """
        before_ns, self._until_ns = self._until_ns, gop.end_ns - origin_ns
        if track is None:
            return ()
        scale = track.timescale
        start = ticks(gop.start_ns - origin_ns, scale)
        heard = [
            (ticks(sample.dts_ns - origin_ns, scale), ticks(sample.dts_ns - origin_ns + sample.duration_ns, scale))
            for sample in (gop.audio.samples if gop.audio else ())
            if sample.dts_ns >= origin_ns
        ]
        filler = self._of(track, silence)
        hole = before_ns is not None and gop.start_ns - origin_ns - before_ns > HOLE_NS
        if hole or (before_ns is not None and self._filler is None):
            filler.due = max(filler.due, min(start, heard[0][0]) if heard else start)
        elif self._begins and start - filler.due < filler.length:
            filler.due = max(filler.due, start)
        self._begins = False
        self._filler, self._track = filler, track
        found: list[int] = []
        for begin, end in heard:
            found += filler.audio(begin, end)
        return (*found, *filler.until(ticks(gop.settled_ns - origin_ns, scale)))

    def _of(self, track: Track, silence: Silence | None) -> Filler:
        length = silence.ticks if silence is not None else 0
        if self._filler is None or self._track is None:
            return Filler(length)
        if self._track is track:
            return self._filler
        return self._filler.continued(length, self._track.timescale, track.timescale)
