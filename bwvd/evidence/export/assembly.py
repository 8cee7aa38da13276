"""One plain MP4 in the making: the coded frames and audio as they are, in their places on one time line from 0.

The file is written in one go, in the order of the recording: room for the index, then the samples of one segment after
the other. What stands in the index is known only at the end, the verdict on the recording among it; until `finish` has
put the index in its room, the file is nothing that a player opens. Where the room does not suffice (the manifest counts
fewer frames than there are) the index goes to the end.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

from bwvd.clock import NS
from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.export.audio_fill import AudioFill
from bwvd.evidence.export.captions import CaptionWriter
from bwvd.evidence.export.views import Views
from bwvd.media.boxes import HEADER, LARGE_HEADER, box
from bwvd.media.fragment_reader import Run, TrackHead
from bwvd.media.movie import SOUND_HEADER, TIMESCALE, VIDEO_HEADER, MovieTrack, Samples, movie
from bwvd.media.text_track import (
    Text,
    caption_track,
    chapter_list,
    chapter_track,
    customary_tags,
    own_tags,
    text_samples,
)

_FTYP = box(b"ftyp", b"isom", (0x200).to_bytes(4, "big"), b"isom", b"iso2", b"avc1", b"mp41")

# Bytes of the index at the most: of a frame (how long, shown how much later, how large, whether a key frame), of a
# coded audio frame, of a stretch of either in the file, of a cue; and all else.
_FRAME, _AUDIO_FRAME, _CHUNK, _CUE, _REST = 24, 12, 24, 64, 32_768

_WRITEBACK = 16 * 1024 * 1024  # bytes after which the kernel is told to begin writing: the flush at the end is short
_VIEWS = 512  # handed to the kernel at once; it takes 1024


@dataclass(frozen=True, slots=True)
class Expected:
    """How much a file will hold, by the manifest."""

    frames: int
    audio_frames: int  # silence that is put in included
    gops: int
    seconds: float
    texts: int  # bytes of chapters and tags
    fixes: int = 0  # a cue begins with each

    @property
    def room(self) -> int:
        """Bytes of the index at the most."""
        samples = _FRAME * self.frames + _AUDIO_FRAME * self.audio_frames + 4 * _CHUNK * self.gops
        return samples + _CUE * round(self.seconds + self.gops + self.fixes) + 2 * self.texts + _REST


@dataclass(frozen=True, slots=True)
class Assembled:
    """What was written. Times are media time, in nanoseconds."""

    begin_ns: int  # of the first frame
    end_ns: int  # of the last one's end
    frames: int
    audio_frames: int
    frames_end_ns: int  # of the last frame's end, whatever audio there is behind it
    left_out: int  # frames whose time stood still or went back: no MP4 can hold them


@dataclass(slots=True)
class _Track:
    """A track in the making."""

    head: TrackHead
    samples: Samples = field(default_factory=Samples)
    newest: int = 0  # presentation time of what was taken before the end


class Assembly:
    """Writes to the file at `path`, which is empty; use as a context manager, which closes it.

    Args:
        begin_ns: media time up to which a key frame is looked for to begin with, in the first segment; None = begin
            with whatever comes first. It becomes time 0.
        end_ns: media time behind the last frame, but for those that earlier ones are coded from.
        captions: cues of what is taken; None = no timed text.
        audio: an audio track that is to come; None = it is not known whether there will be one.

    **Synchronization:** blocking; one thread. Raises: OSError.
    """

    def __init__(
        self,
        path: Path,
        expected: Expected,
        *,
        begin_ns: int | None = None,
        end_ns: int | None = None,
        captions: CaptionWriter | None = None,
        audio: TrackHead | None = None,
    ) -> None:
        self.path = path
        self._audio = audio
        self._fill: AudioFill | None = None  # None: there has been no audio, and none is known to come
        self._begin_ns = begin_ns
        self._end_ns = end_ns
        self._captions = captions
        self._tracks: dict[str, _Track] = {}
        self._zero: tuple[int, int] | None = None  # ticks and timescale of the media time that becomes 0
        self._end_reached_ns = 0
        self._frames_end_ns = 0
        self._left_out = 0
        self._room = expected.room
        self._data = len(_FTYP) + self._room  # where `mdat` begins
        self._at = self._data + LARGE_HEADER  # where the next sample goes
        self._flushed = self._at
        self._fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        os.lseek(self._fd, self._at, os.SEEK_SET)

    def __enter__(self) -> Assembly:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    # --- samples -----------------------------------------------------------------------------------------------------

    @property
    def begin_ns(self) -> int | None:
        """Media time of what became time 0; None as long as there is nothing."""
        return None if self._zero is None else _ns(*self._zero)

    @property
    def end_ns(self) -> int:
        """Media time behind what was taken so far."""
        return self._end_reached_ns

    def take(self, plain: memoryview, runs: Sequence[Run]) -> None:
        """Write a segment's samples, as far as they are wanted. The memory may be used anew when this returns."""
        if self._begin_ns is not None and self._zero is None:
            runs = self._from_key_frame(runs)
            self._zero = _zero_of([run for run in runs if run.head.kind == "video"])
        elif self._zero is None:
            self._zero = _zero_of(runs)
        if self._zero is None:
            return
        if self._fill is None and self._audio is not None:
            self._fill = self._fill_of(self._audio)
        views = Views(self._at)
        for run in runs:
            for piece in self._wanted(run):
                if piece.head.kind == "audio":
                    if self._fill is None:
                        self._fill = self._fill_of(piece.head)
                    for part, at in self._fill.audio(piece, plain, views):
                        self._add(part, at)
                else:
                    self._add(piece, views.put(plain, piece.offset, sum(piece.sizes)))
        if self._fill is not None:
            self._fill.put_between(self._frames_end_ns, views)
        self._write(views.all())

    def fill_up(self) -> AudioFill | None:
        """Let the audio track run to the end of the last frame: nothing more will be taken.

        Returns what was put in; None without audio.
        """
        if self._fill is not None:
            views = Views(self._at)
            for silence, at in self._fill.until(self._frames_end_ns, views):
                self._add(silence, at)
            self._write(views.all())
        return self._fill

    def take_text(self) -> None:
        """Write the cues of the segment that was taken last."""
        if self._captions is not None and self._zero is not None:
            coded = self._captions.due(_ns(*self._zero), self._frames_end_ns, self._at)
            self._write([memoryview(coded)] if coded else [])

    def _from_key_frame(self, runs: Sequence[Run]) -> list[Run]:
        """Without the frames before the key frame to begin with."""
        assert self._begin_ns is not None  # noqa: S101  the caller has looked
        keys: list[tuple[int, int, int]] = []  # presentation time, and which sample it is
        for number, run in enumerate(runs):
            if run.head.kind == "video":
                times = _times(run)
                for key in range(len(run)) if run.keys is None else run.keys:
                    pts = times[key] + (run.shifts[key] if run.shifts is not None else 0)
                    keys.append((_ns(pts, run.head.timescale), number, key))
        if not keys:
            return []
        before = [key for key in keys if key[0] <= self._begin_ns]
        _, number, first = max(before) if before else min(keys)
        kept = list(runs)
        kept[number] = runs[number].part(first, len(runs[number]))
        return [run for index, run in enumerate(kept) if run.head.kind != "video" or index >= number]

    def _wanted(self, run: Run) -> list[Run]:
        """The run, or what is left of it between the beginning, the end, and what is there already."""
        track = self._tracks.get(run.head.kind)
        if track is None:
            track = self._tracks[run.head.kind] = _Track(run.head)
        assert self._zero is not None  # noqa: S101  the caller has looked
        zero, scale = self._zero
        # Audio from before the first frame is left out.
        earliest = _divided(zero * run.head.timescale, scale) if run.head.kind == "audio" else None
        last_dts = track.samples.last_dts
        end = None if self._end_ns is None else self._end_ns * run.head.timescale
        run_end = run.dts + sum(run.durations)
        simple = run.dts > last_dts and (earliest is None or run.dts >= earliest) and 0 not in run.durations
        if simple and (end is None or run_end * NS <= end):
            track.newest = max(track.newest, run_end)
            return [run] if len(run) else []
        kept: list[int] = []
        for index, dts in enumerate(_times(run)):
            pts = dts + (run.shifts[index] if run.shifts is not None else 0)
            if end is not None and dts * NS >= end and pts >= track.newest:
                # A frame of later decode time that is shown before one that is written already must not be missing.
                continue
            if end is None or dts * NS < end:
                track.newest = max(track.newest, pts)
            if earliest is not None and pts < earliest:
                continue
            if dts <= last_dts:
                self._left_out += 1
                continue
            last_dts = dts
            kept.append(index)
        return [run.part(first, last + 1) for first, last in _stretches(kept)]

    def _fill_of(self, head: TrackHead) -> AudioFill:
        assert self._zero is not None  # noqa: S101  the caller has looked
        zero, scale = self._zero
        self._tracks.setdefault("audio", _Track(head))
        return AudioFill(head, _divided(zero * head.timescale, scale))

    def _add(self, run: Run, offset: int) -> None:
        scale = run.head.timescale
        try:
            track = self._tracks[run.head.kind]
            track.samples.add(run.dts, offset, run.sizes, run.durations, run.shifts, run.keys)
        except OverflowError:
            raise ExportRefused("a frame would last for hours: no MP4 can hold that") from None
        if run.shifts is None:
            end = run.dts + sum(run.durations)
        else:
            ends = accumulate(run.durations, initial=run.dts)
            next(ends)
            end = max(map(int.__add__, ends, run.shifts))
        self._end_reached_ns = max(self._end_reached_ns, _ns(end, scale))
        if run.head.kind == "video":
            self._frames_end_ns = max(self._frames_end_ns, _ns(end, scale))

    def _write(self, views: list[memoryview]) -> None:
        for first in range(0, len(views), _VIEWS):
            some = views[first : first + _VIEWS]
            while some:
                written = os.writev(self._fd, some)
                self._at += written
                while some and written >= len(some[0]):
                    written -= len(some.pop(0))
                if some:
                    some[0] = some[0][written:]
        if self._at - self._flushed >= _WRITEBACK:
            os.posix_fadvise(self._fd, self._flushed, self._at - self._flushed, os.POSIX_FADV_DONTNEED)
            self._flushed = self._at

    # --- the end -----------------------------------------------------------------------------------------------------

    def finish(
        self,
        created: datetime.datetime | None,
        tags: dict[str, str],
        customary: dict[bytes, str],
        chapters: Sequence[tuple[int, str]],
        location: bytes = b"",
    ) -> Assembled:
        """Write the index: from here on the file is an MP4. It is not durable yet.

        Args:
            created: when the first frame was recorded.
            tags: names of our own, and what stands under them.
            customary: likewise, under the names that most players know.
            chapters: media time (ns) and title, in order; those outside of the file are left out.
            location: the box that says where it was recorded.

        Raises: ExportRefused if there is no frame.
        """
        if self._zero is None or not any(len(track.samples.sizes) for track in self._tracks.values()):
            raise ExportRefused("there is no frame in what was asked for")
        zero_ns = _ns(*self._zero)
        self.fill_up()
        tracks = self._movie_tracks()
        length = max(track.begin + track.duration for track in tracks)
        titles = _chapters(chapters, zero_ns, length)
        if titles:
            coded = b"".join(title.sample for title in titles)
            tracks.append(chapter_track(text_samples(titles, length, self._at)))
            self._write([memoryview(coded)])
            tracks[0] = replace(tracks[0], chapters=len(tracks))
        listed = [chapter_list(titles)] if titles else []
        index = movie(tracks, created, own_tags(tags), box(b"udta", customary_tags(customary), location, *listed))
        mdat = (1).to_bytes(4, "big") + b"mdat" + (self._at - self._data).to_bytes(8, "big")
        if len(index) + HEADER <= self._room:
            free = (self._room - len(index)).to_bytes(4, "big") + b"free"
            head = _FTYP + index + free
        else:
            self._write([memoryview(index)])
            head = _FTYP + self._room.to_bytes(4, "big") + b"free"
        _write_at(self._fd, mdat, self._data)
        _write_at(self._fd, head, 0)
        counts = {kind: len(track.samples.sizes) for kind, track in self._tracks.items()}
        return Assembled(
            zero_ns,
            self._end_reached_ns,
            counts.get("video", 0),
            counts.get("audio", 0),
            self._frames_end_ns,
            self._left_out,
        )

    def _movie_tracks(self) -> list[MovieTrack]:
        assert self._zero is not None  # noqa: S101  the caller has looked
        zero, zero_scale = self._zero
        tracks = []
        for kind in ("video", "audio"):
            track = self._tracks.get(kind)
            if track is None or not len(track.samples.sizes):
                continue
            video, head, samples = kind == "video", track.head, track.samples
            begin = _divided(
                (samples.first_pts * zero_scale - zero * head.timescale) * TIMESCALE, head.timescale * zero_scale
            )
            tracks.append(
                MovieTrack(
                    samples,
                    head.timescale,
                    b"vide" if video else b"soun",
                    head.entry,
                    VIDEO_HEADER if video else SOUND_HEADER,
                    max(0, begin),
                    "VideoHandler" if video else "SoundHandler",
                    head.size,
                    head.matrix,
                    group=0 if video else 1,
                )
            )
        if self._captions is not None and len(self._captions.samples.sizes):
            frame_size = tracks[0].size if tracks else bytes(8)
            tracks.append(caption_track(self._captions.samples, frame_size, self._captions.samples.first_dts))
        return tracks


def _chapters(chapters: Sequence[tuple[int, str]], zero_ns: int, length: int) -> list[Text]:
    """Those that lie in the file, in order, one at its beginning; of several at one moment all are in one title."""
    titles: dict[int, str] = {}
    before = ""
    for at_ns, title in sorted(chapters, key=lambda chapter: chapter[0]):
        at = _divided((at_ns - zero_ns) * TIMESCALE, NS)
        if at < 0:
            before = title
        elif at < length:
            titles[at] = f"{titles[at]}; {title}" if at in titles else title
    if not titles:
        return []
    if 0 not in titles:
        titles = {0: before or "Begin"} | titles
    return [Text(at, title) for at, title in sorted(titles.items())]


def _zero_of(runs: Sequence[Run]) -> tuple[int, int] | None:
    """Ticks and timescale of the presentation time of what is decoded first."""
    first = min((run for run in runs if len(run)), key=lambda run: Fraction(run.dts, run.head.timescale), default=None)
    if first is None:
        return None
    return first.dts + (first.shifts[0] if first.shifts is not None else 0), first.head.timescale


def without_frames(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """The audio that begins before the first frame that is shown, and all else."""
    shown = [
        Fraction(dts + (run.shifts[index] if run.shifts is not None else 0), run.head.timescale)
        for run in runs
        if run.head.kind == "video"
        for index, dts in enumerate(_times(run))
    ]
    first = min(shown, default=None)
    early: list[Run] = []
    rest: list[Run] = []
    for run in runs:
        if run.head.kind != "audio":
            rest.append(run)
            continue
        times = _times(run)
        count = sum(first is None or time < first * run.head.timescale for time in times)
        early += [run.part(0, count)] if count else []
        rest += [run.part(count, len(run))] if count < len(run) else []
    return early, rest


def _times(run: Run) -> list[int]:
    """Decode times of a run's samples."""
    return list(accumulate(run.durations, initial=run.dts))[: len(run)]


def _stretches(indexes: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each stretch of numbers that follow one another."""
    found: list[tuple[int, int]] = []
    for index in indexes:
        if found and found[-1][1] == index - 1:
            found[-1] = (found[-1][0], index)
        else:
            found.append((index, index))
    return found


def _divided(numerator: int, denominator: int) -> int:
    """Rounded to the nearest."""
    return (2 * numerator + denominator) // (2 * denominator)


def _ns(ticks: int, timescale: int) -> int:
    return _divided(ticks * NS, timescale)


def _write_at(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written
