"""A clip of an exported MP4: a part of it as it is coded, with credentials that carry the history of both.

A clip of a recording is made from the recording (`export_mp4`), which can be verified. This is for who has the copy
alone: it vouches that nothing was changed since it had that copy, and by its credentials for nothing before. What the
copy's metadata says of a recording is in an assertion of its own, so that nobody takes it for what was verified.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.export.credentials import Credentials, Told
from bwvd.evidence.flash.whole_file import new_files
from bwvd.evidence.format.moment import Elapsed, Given
from bwvd.evidence.format.utc import parse_utc, utc_after
from bwvd.evidence.verify.copy import NoMp4, claims_of, tags_of
from bwvd.text import counted, one_line

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer
    from av.container.core import Chapter

_NS = 1_000_000_000
_INTERLEAVED_S = 2  # a frame may lie that long before the audio of its time
_LONGEST_S = 366 * 86_400.0  # of a recording: what says more says nothing


@dataclass(frozen=True, slots=True)
class Clip:
    """What was made. Times are seconds of the MP4 that it is a clip of."""

    path: Path
    from_s: float  # of its first frame: the key frame at or before what was asked
    to_s: float
    frames: int

    def __str__(self) -> str:
        return f"{self.path}: {counted(self.frames, 'frame')}, {self.from_s:.3f} s to {self.to_s:.3f} s"


def export_clip(source: Path, out: Path, credentials: Credentials, begin: Given | None, end: Given | None) -> Clip:
    """Write what lies between two moments of the MP4 at `source` to `out`, and sign it. Blocking.

    Nothing is encoded anew. The timed text goes along, chapters are taken over and moved.

    Raises: ExportRefused, naming why; then no file is left behind.
    """
    import av  # here: it loads libav
    import av.error

    try:
        tags = tags_of(source)
    except (NoMp4, OSError) as error:
        raise ExportRefused(f"{source}: not an MP4: {error}") from None
    if not tags.get("bwvd_recording"):
        raise ExportRefused(f"{source}: names no recording: a clip is made of an MP4 that bwvd has exported")
    started_s = _started_s(source, tags)
    from_s, to_s = _seconds(begin, tags), _seconds(end, tags)
    if from_s is not None and to_s is not None and from_s >= to_s:
        raise ExportRefused(f"{begin} is not before {end}")
    with new_files([out]) as [made], source.open("rb") as file:
        try:
            with av.open(io.BufferedReader(file.raw), "r", format="mp4") as container:
                clip = _copied(container, made, out, tags, from_s, to_s)
        except (av.error.FFmpegError, ValueError, EOFError) as error:
            if isinstance(error, OSError) and not isinstance(error, av.error.FFmpegError):
                raise
            raise ExportRefused(f"{source}: {one_line(error)}") from None
        claims = {name: said for name, said in claims_of(tags).items() if said}
        claims |= {"from_s": str(round(started_s + clip.from_s, 6)), "to_s": str(round(started_s + clip.to_s, 6))}
        whole = from_s is None and to_s is None
        credentials.sign(made, Told(out.name, source.name, claims, clip.from_s, clip.to_s, whole), source)
    return clip


def _started_s(source: Path, tags: dict[str, str]) -> float:
    """Seconds of the recording at which the MP4 begins, as it says. Raises: ExportRefused."""
    said = tags.get("bwvd_from_s") or "0"
    try:
        started_s = float(said)
    except ValueError:
        started_s = math.nan
    if not 0 <= started_s <= _LONGEST_S:
        raise ExportRefused(f"{source}: says that it begins {one_line(said)[:40]} s into its recording")
    return started_s


def _seconds(given: Given | None, tags: dict[str, str]) -> float | None:
    """Seconds of the MP4. Raises: ExportRefused."""
    if given is None:
        return None
    if isinstance(given.moment, Elapsed):
        return given.moment.ns / _NS
    try:
        begun = parse_utc(tags.get("creation_time", ""))
    except ValueError:
        begun = None
    if begun is None:
        raise ExportRefused(f"{given}: the MP4 does not say when it begins: give seconds")
    return max(0.0, (given.moment.utc - begun).total_seconds())


def _copied(
    container: InputContainer, made: Path, out: Path, tags: dict[str, str], from_s: float | None, to_s: float | None
) -> Clip:
    import av

    if not container.streams.video:
        raise ExportRefused(f"{out}: there is no video in what it is to be a clip of")
    video = container.streams.video[0]
    tracks = [video, *container.streams.audio[:1], *container.streams.subtitles[:1]]
    if from_s is not None and video.time_base is not None:
        container.seek(int(from_s / video.time_base), stream=video)  # to the key frame at it, or before it
    packets = _until(container.demux(tracks), to_s)
    early: list[Packet[Any]] = []  # audio and text read before the first frame
    first = next(packets, None)
    while first is not None and not (first.stream is video and first.is_keyframe):
        early.append(first)
        first = next(packets, None)
    if first is None:
        raise ExportRefused(f"{out}: nothing of the MP4 lies in what was asked for")
    zero = _begin(first)
    end, frames = zero, 0
    with av.open(str(made), "w", format="mp4", options={"movflags": "+faststart+use_metadata_tags"}) as target:
        streams = {track.index: target.add_stream_from_template(track) for track in tracks}
        target.metadata.update(_tags(tags, zero))
        target.set_chapters(_chapters(container, zero, to_s))
        for packet in chain(early, [first], packets):
            if packet.stream is video:
                end, frames = max(end, _end(packet)), frames + 1
            elif _end(packet) <= zero:
                continue
            stream = streams[packet.stream.index]
            _move(packet, zero)
            packet.stream = stream
            target.mux(packet)
    return Clip(out, round(float(zero), 6), round(float(end), 6), frames)


def _until(packets: Iterator[Packet[Any]], to_s: float | None) -> Iterator[Packet[Any]]:
    """Those before the end, in decoding order. A frame behind it goes along if one before it is decoded after it, and
    so may refer to it; and with it those that are shown between the two."""
    behind: list[Packet[Any]] = []
    newest = Fraction(0)  # when the last one is shown that goes along
    for packet in packets:
        if packet.pts is None or packet.dts is None or packet.time_base is None:
            continue  # the end of a track
        if to_s is None:
            yield packet
            continue
        decoded = packet.dts * packet.time_base
        if packet.stream.type != "video":
            if decoded < to_s:
                yield packet
        elif decoded >= to_s + _INTERLEAVED_S:
            return
        elif _begin(packet) >= to_s and _begin(packet) > newest:
            behind.append(packet)
        else:
            newest = max(newest, _begin(packet), *(_begin(one) for one in behind))
            yield from behind
            behind.clear()
            yield packet


def _begin(packet: Packet[Any]) -> Fraction:
    """Seconds of the MP4 at which it is shown; `_until` gives none without a time."""
    return (packet.pts or 0) * (packet.time_base or Fraction(0))


def _end(packet: Packet[Any]) -> Fraction:
    return _begin(packet) + (packet.duration or 0) * (packet.time_base or Fraction(0))


def _move(packet: Packet[Any], zero: Fraction) -> None:
    """Let the time `zero` be 0; a text that begins before it begins with it."""
    ticks = round(zero / (packet.time_base or Fraction(1)))
    pts, dts = packet.pts or 0, packet.dts or 0
    if packet.stream.type == "subtitle" and pts < ticks:
        packet.duration = pts + (packet.duration or 0) - ticks
        pts = dts = ticks
    packet.pts, packet.dts = pts - ticks, dts - ticks


def _tags(tags: dict[str, str], zero: Fraction) -> dict[str, str]:
    """The MP4's own, for a part that begins at `zero`."""
    kept = {name: value for name, value in tags.items() if name.startswith("bwvd_") or name in ("title", "comment")}
    kept["bwvd_from_s"] = f"{float(tags.get('bwvd_from_s') or 0) + float(zero):.6f}"
    kept["comment"] = f"Clip from {float(zero):.3f} s of: {tags.get('comment', '')}"
    begun = utc_after(tags.get("creation_time", ""), round(zero * _NS))
    return kept | ({"creation_time": begun, "com.apple.quicktime.creationdate": begun} if begun else {})


def _chapters(container: InputContainer, zero: Fraction, to_s: float | None) -> list[Chapter]:
    """Those of the part; the one that it begins in begins with it."""
    kept: list[Chapter] = []
    for chapter in container.chapters():
        base = chapter["time_base"] or Fraction(1, 1000)
        begin = max(Fraction(0), chapter["start"] * base - zero)
        end = chapter["end"] * base - zero
        if end <= 0 or (to_s is not None and begin >= to_s - zero):
            continue
        moved = {"id": len(kept), "start": round(begin / base), "end": round(end / base), "time_base": base}
        kept.append(cast("Chapter", {**chapter, **moved}))
    return kept
