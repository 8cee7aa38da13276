"""Fragments that the desk puts in where a player would stop: coded silence, and a key frame held still. Pure.

A player of a browser takes a hole in a track for the end, a mistake, or a place to jump over; where the camera was away
its microphone would not be heard. So what is played runs through, and the page covers the picture for as long as there
is none. Nothing of this is evidence, and none of it is written anywhere.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bwvd.clock import NS
from bwvd.media.audio_line import HOLE_NS
from bwvd.media.boxes import HEADER, BoxUnusable, box, full_box
from bwvd.media.fragment_reader import Run, TrackHead, read_fragments
from bwvd.media.silence import Silence, silence_like

EDGE_NS = 3 * HOLE_NS  # audio that is still to come may be missing at a segment's end, and come in the next one

_BASE_IS_MOOF = 0x020000  # ISO/IEC 14496-12, 8.8.7
_RUN_FLAGS = 0x000F01  # 8.8.8: offset; of each sample its duration, size, flags and shift
_KEY_FRAME, _OTHER_FRAME = 0x02000000, 0x01010000


@dataclass(frozen=True, slots=True)
class Heads:
    """The tracks of the init segment that a player was given, and the silence that fits its audio."""

    video: TrackHead | None
    audio: TrackHead | None
    silence: Silence | None

    @classmethod
    def of(cls, heads: Sequence[TrackHead]) -> Heads:
        video = next((head for head in heads if head.kind == "video"), None)
        audio = next((head for head in heads if head.kind == "audio"), None)
        try:
            silence = silence_like(audio.decoder_config, audio.timescale) if audio is not None else None
        except BoxUnusable:
            silence = None
        return cls(video, audio, silence)

    @property
    def all(self) -> list[TrackHead]:
        return [head for head in (self.video, self.audio) if head is not None]


def last_key_frame(segment: bytes, heads: Heads) -> bytes:
    """The last key frame of a media segment, coded; b"" where there is none. Raises: BoxUnusable."""
    found = b""
    for run in read_fragments(memoryview(segment), heads.all):
        if run.head.kind != "video" or not len(run):
            continue
        key = len(run) - 1 if run.keys is None else max(run.keys, default=-1)
        if key >= 0:
            begin = run.offset + sum(run.sizes[:key])
            found = segment[begin : begin + run.sizes[key]]
    return found


def audio_begins_ns(segment: bytes, heads: Heads) -> int | None:
    """Media time of the first audio in a media segment; None where there is none. Raises: BoxUnusable."""
    return min((run.dts * NS // run.head.timescale for run in _audio(segment, heads)), default=None)


def held(
    key_frame: bytes, heads: Heads, begin_ns: int, end_ns: int, segment: bytes = b"", silent_until_ns: int | None = None
) -> bytes:
    """What is played from one moment to another where there is no picture: the audio of `segment`, or silence.

    Args:
        key_frame: of the same epoch; b"" = there is none, and no picture is held.
        begin_ns, end_ns: media time.
        segment: a media segment with audio alone; b"" = there is none.
        silent_until_ns: where the audio of the segment behind it begins, if that is earlier than `end_ns`.

    Raises: BoxUnusable.
    """
    made = b""
    if key_frame and heads.video is not None:
        begin, end = _ticks(begin_ns, heads.video), _ticks(end_ns, heads.video)
        made += _fragment(heads.video, begin, array("I", [max(end - begin, 1)]), [key_frame], None, None)
    runs = _audio(segment, heads)
    for run in runs:
        made += _copied(run, segment)
    until_ns = end_ns if silent_until_ns is None else min(end_ns, silent_until_ns)
    return made + b"".join(_silences(runs, heads, begin_ns, until_ns))


def filled(segment: bytes, heads: Heads, begin_ns: int, end_ns: int) -> bytes:
    """A media segment whose audio has no hole: as it is where there is none. Raises: BoxUnusable.

    Recordings of earlier versions have holes where there was no audio; so have those to which a microphone came late.
    """
    runs = _audio(segment, heads)
    silences = list(_silences(runs, heads, begin_ns, end_ns))
    if not silences:
        return segment
    video = [run for run in read_fragments(memoryview(segment), heads.all) if run.head.kind == "video"]
    # Silence and audio in the order of time: a track that went back would be taken for the beginning of another.
    frame = heads.silence.ticks if heads.silence is not None else 0
    audio = sorted([_copied(run, segment) for run in _cut(runs, frame)] + silences, key=_begins)
    return b"".join([*(_copied(run, segment) for run in video), *audio])


def _audio(segment: bytes, heads: Heads) -> list[Run]:
    if heads.audio is None or not segment:
        return []
    return [run for run in read_fragments(memoryview(segment), heads.all) if run.head.kind == "audio" and len(run)]


def _cut(runs: Sequence[Run], frame: int) -> Iterator[Run]:
    """The runs, each cut where a frame is said to last until the next one comes, with a hole between.

    frame: how long one is, in ticks.
    """
    for run in runs:
        first = 0
        for index, lasts in enumerate(run.durations):
            if lasts * NS > HOLE_NS * run.head.timescale:
                part = run.part(first, index + 1)
                yield replace(part, durations=array("I", [*part.durations[:-1], frame]))
                first = index + 1
        if first < len(run):
            yield run.part(first, len(run))


def _silences(runs: Sequence[Run], heads: Heads, begin_ns: int, end_ns: int) -> Iterator[bytes]:
    """Fragments of silence for what the audio leaves open between two moments."""
    head, silence = heads.audio, heads.silence
    if head is None or silence is None or silence.ticks <= 0:
        return
    hole = HOLE_NS * head.timescale // NS
    edge = EDGE_NS * head.timescale // NS
    begin, end = _ticks(begin_ns, head), _ticks(end_ns, head)
    at = begin
    for run in sorted(_cut(runs, silence.ticks), key=lambda run: run.dts):
        if run.dts - at > (hole if at != begin else edge):
            yield _silent(head, silence, at, run.dts)
        at = max(at, run.dts + sum(run.durations))
    if end - at > (edge if runs else silence.ticks):
        yield _silent(head, silence, at, end)


def _silent(head: TrackHead, silence: Silence, begin: int, end: int) -> bytes:
    count = max((end - begin) // silence.ticks, 0)
    return _fragment(head, begin, array("I", [silence.ticks]) * count, [silence.data] * count, None, None)


def _copied(run: Run, segment: bytes) -> bytes:
    samples, at = [], run.offset
    for size in run.sizes:
        samples.append(segment[at : at + size])
        at += size
    return _fragment(run.head, run.dts, run.durations, samples, run.shifts, run.keys)


def _fragment(
    head: TrackHead,
    dts: int,
    durations: array[int],
    samples: Sequence[bytes],
    shifts: array[int] | None,
    keys: Sequence[int] | None,
) -> bytes:
    """A `moof` and its `mdat` of one track."""
    if not samples:
        return b""
    known = None if keys is None else frozenset(keys)
    table = b"".join(
        durations[index].to_bytes(4, "big")
        + len(sample).to_bytes(4, "big")
        + (_KEY_FRAME if known is None or index in known else _OTHER_FRAME).to_bytes(4, "big")
        + (shifts[index] if shifts is not None else 0).to_bytes(4, "big", signed=True)
        for index, sample in enumerate(samples)
    )
    number = full_box(b"mfhd", 0, 0, (1).to_bytes(4, "big"))
    header = full_box(b"tfhd", 0, _BASE_IS_MOOF, head.track_id.to_bytes(4, "big"))
    begins = full_box(b"tfdt", 1, 0, dts.to_bytes(8, "big"))

    def moof(offset: int) -> bytes:
        run = full_box(b"trun", 1, _RUN_FLAGS, len(samples).to_bytes(4, "big"), offset.to_bytes(4, "big"), table)
        return box(b"moof", number, box(b"traf", header, begins, run))

    return moof(len(moof(0)) + HEADER) + box(b"mdat", *samples)


def _begins(fragment: bytes) -> int:
    """Decode time of a fragment that `_fragment` has made: its boxes have one size each up to there."""
    # moof, mfhd (16), traf, tfhd (16), tfdt with its version and flags
    at = HEADER + 16 + HEADER + 16 + HEADER + 4
    return int.from_bytes(fragment[at : at + 8], "big")


def _ticks(ns: int, head: TrackHead) -> int:
    return max((ns * head.timescale + NS // 2) // NS, 0)
