"""Narrative of a recording: what its records say, in sentences, each with its time. Pure.

What people wrote (labels, officers' ids) stays apart from the sentences: whoever shows it makes it harmless his way.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never

from bwvd.clock import NS
from bwvd.evidence.export.private_text import PrivateText, Reader
from bwvd.evidence.export.track import track_of
from bwvd.evidence.format import records
from bwvd.evidence.format.moment import clock_text
from bwvd.evidence.format.utc import utc_after
from bwvd.text import counted

_LACKING = {"both": "no video and no audio", "audio": "no audio", "video": "no video"}
_STATES = {
    "stop_asked": "a stop was asked",
    "stop_lapsed": "the stop was not confirmed: the recording goes on",
    "post_roll": "stopped: the post-roll begins",
    "resumed": "resumed",
}
QUALITY = {"synchronised": "was synchronised", "free": "was set, but not synchronised", "not_set": "was not set"}
_SHORT = {  # why there is less before the press than asked
    "started": "the camera had just started",
    "asleep": "it was asleep before",
    "memory": "there was no memory for more",
    "camera_gap": "the camera did not deliver before",
    "late_press": "the press was handled late",
    "backlog_full": "the flash did not keep up",
    "not_stored": "a part could not be stored",
    "continued": "the recording before this one has it",
}
_SOUND_OFF = {"mute": "muted", "muted": "muted since before the recording"}


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened: a sentence, and what a person wrote behind it where that is not None."""

    at_ns: int  # media time
    # "press" | "officer" | "marker" | "gap" | "fault" | "sound" | "clock" | "power" | "position" | "state" | "camera"
    kind: str
    what: str
    quoted: PrivateText | None = None
    utc: str = ""  # "" where no segment's stamp is a time


@dataclass(slots=True)
class Narrative:
    """Everything that the records of one manifest say but for the segments."""

    open: records.Open | None = None
    end: records.Close | records.Recovered | None = None
    first_ns: int = 0  # media time of the first frame
    length_ns: int = 0
    officers: list[PrivateText] = field(default_factory=list)  # each once, in the order of their records
    happenings: list[Happening] = field(default_factory=list)  # in the order of time
    clock_kept: str = ""  # what keeps the clock, as the last record says it: at the end it is said again
    muted: list[tuple[int, int]] = field(default_factory=list)  # media time from, to, where sound was off

    def offset(self, at_ns: int) -> str:
        """Since the first frame: `mm:ss.mmm`."""
        return clock_text(at_ns - self.first_ns)


def narrative(found: Iterable[records.ManifestRecord], read: Reader) -> Narrative:
    """Tell what the records of one manifest say. `read` gives the private texts."""
    told = Narrative()
    every = list(found)
    segments = [record for record in every if isinstance(record, records.Segment)]
    if segments:
        told.first_ns = segments[0].pts_ns
        told.length_ns = max(segment.pts_ns + segment.duration_ns for segment in segments) - told.first_ns
    until = _until([record for record in every if isinstance(record, records.Audio)], told.first_ns + told.length_ns)
    for record in every:
        happening = _happening(record, told, read, until)
        if happening is not None:
            told.happenings.append(happening)
    for from_ns, to_ns in track_of(every).losses:
        end_ns = told.first_ns + told.length_ns if to_ns is None else to_ns
        what = f"the position was not known {_span(told, from_ns, max(from_ns, end_ns))}"
        told.happenings.append(Happening(from_ns, "position", what))
    told.happenings.sort(key=lambda happening: happening.at_ns)
    _date(told, segments)
    return told


def _until(audio: list[records.Audio], end_ns: int) -> dict[int, int]:
    """For each record by its number, until when what it says holds."""
    behind = [*(record.at_ns for record in audio[1:]), end_ns]
    return {record.n: max(at_ns, record.at_ns) for record, at_ns in zip(audio, behind, strict=False)}


def _date(told: Narrative, segments: list[records.Segment]) -> None:
    """Give every happening the time of day that the segment around it shows, or the one before it."""
    segments = sorted(segments, key=lambda segment: segment.pts_ns)
    if not segments:
        return
    dated = []
    for one in told.happenings:
        segment = segments[max(0, bisect_right(segments, one.at_ns, key=lambda segment: segment.pts_ns) - 1)]
        utc = utc_after(segment.stamp.utc, one.at_ns - segment.pts_ns)
        dated.append(Happening(one.at_ns, one.kind, one.what, one.quoted, utc))
    told.happenings = dated


def _happening(
    record: records.ManifestRecord, told: Narrative, read: Reader, until: dict[int, int]
) -> Happening | None:
    match record:
        case records.Segment():
            return None
        case records.Open():
            if told.open is not None:
                return None
            told.open = record
            at_ns = record.press.stamp.mono_ns - record.origin_mono_ns
            return Happening(at_ns, "press", f"pressed: {record.press.source}")
        case records.Init():
            shown = "; ".join(track_text(track) for track in record.tracks)
            return Happening(record.at_ns, "camera", f"from here on ({_words(record.reason)}) {shown}")
        case records.Mark():
            text = read(record)
            empty = text == PrivateText()
            return Happening(
                record.at_ns,
                "marker",
                f"marker ({record.source}){'' if empty else ':'}",
                None if empty else text,
            )
        case records.Officer():
            text = read(record)
            if text == PrivateText():
                return Happening(record.at_ns, "officer", "worn by nobody who is named from here on")
            if text.sealed or text not in told.officers:
                told.officers.append(text)
            return Happening(record.at_ns, "officer", "worn by", text)
        case records.Gap():
            frames = f", {counted(record.frames, 'frame')}" if record.frames else ""
            lacking = _LACKING.get(record.track, f"no {record.track}")
            what = f"{lacking} {_span(told, record.from_ns, record.to_ns)}{frames}: {_words(record.cause)}"
            return Happening(record.from_ns, "gap", what)
        case records.Fault():
            detail = f": {record.detail}" if record.detail else ""
            state = "fault" if record.active else "well again"
            return Happening(record.at_ns, "fault", f"{state}: {_words(record.name)}{detail}")
        case records.Audio():
            return _sound(record, told, until)
        case records.ClockStep():
            way = "ahead" if record.step_ns >= 0 else "back"
            what = f"the clock was set {clock_text(abs(record.step_ns))} {way}, to {record.stamp.utc}"
            return Happening(record.at_ns, "clock", f"{what} ({_words(record.stamp.quality)})")
        case records.ClockSource():
            before, told.clock_kept = told.clock_kept, clock_source_text(record)
            return Happening(record.at_ns, "clock", told.clock_kept) if told.clock_kept != before else None
        case records.Power():
            return Happening(record.at_ns, "power", _power(record))
        case records.State():
            by = f" ({record.source})" if record.source else ""
            return Happening(record.at_ns, "state", f"{_STATES.get(record.state, _words(record.state))}{by}")
        case records.Close() | records.Recovered():
            told.end = record
            return None
        case records.Position() | records.TornTail():  # one a second: `positions` and --gpx have them
            return None
        case _:
            assert_never(record)


def _sound(record: records.Audio, told: Narrative, until: dict[int, int]) -> Happening:
    if record.on:
        return Happening(record.at_ns, "sound", f"audio on ({_words(record.reason)})")
    to_ns = until[record.n]
    told.muted.append((record.at_ns, to_ns))
    why = _SOUND_OFF.get(record.reason, _words(record.reason))
    return Happening(record.at_ns, "sound", f"no audio {_span(told, record.at_ns, to_ns)}: {why}")


def _span(told: Narrative, from_ns: int, to_ns: int) -> str:
    return f"for {(to_ns - from_ns) / NS:.3f} s, to {told.offset(to_ns)}"


def clock_source_text(record: records.ClockSource) -> str:
    """What keeps the clock: `the clock is kept by chrony, from refclock PPS (stratum 1)`."""
    if record.by == "none":
        said = "nothing keeps the clock, by the kernel's word"
    elif record.by == "unknown":
        said = "the clock is kept, and it is not known by what"
    else:
        origin = f", from {record.reference}" if record.reference else ""
        stratum = f" (stratum {record.stratum})" if record.stratum is not None else ""
        return f"the clock is kept by {record.by}{origin}{stratum}"
    return f"{said}; {', '.join(record.services)} ran" if record.services else said


def _power(record: records.Power) -> str:
    level = "" if record.percent is None else f" at {record.percent} %"
    if record.supply == "external":
        what = "external power" + (f", battery{level}" if level else "")
    elif record.supply in ("charging", "full"):
        what = f"battery{level}, {record.supply}"
    elif record.supply == "battery":
        what = f"battery{level}"
    else:
        what = f"battery{level}, supply {_words(record.supply)}" if level else f"power supply {_words(record.supply)}"
    return ", ".join([what, *(_words(flag) for flag in record.flags)])


def pre_event_text(pre: records.PreEvent) -> str:
    """How much was kept from before the press: `12.500 s of the 30 s asked: the camera had just started`."""
    why = f": {_SHORT.get(pre.reason, _words(pre.reason))}" if pre.reason else ""
    sound = "with audio" if pre.audio else "without audio"
    return f"{pre.got_s:.3f} s of the {pre.asked_s:g} s asked, {sound}{why}"


def end_text(end: records.Close | records.Recovered | None) -> str:
    """How it ended."""
    if end is None:
        return "none: in progress, or cut off and not recovered yet"
    if isinstance(end, records.Close):
        return f"closed: {_words(end.reason)}, {end.stamp.utc}"
    lost = f"; {counted(end.missing.segments, 'segment')} gone" if end.missing else ""
    return f"broken off ({_words(end.reason)}), recovered at the next start, {end.stamp.utc}{lost}"


def press_text(press: records.Press) -> str:
    """When it was, by what, and how good the clock was."""
    quality = QUALITY.get(press.stamp.quality, f"was {_words(press.stamp.quality)}")
    return f"{press.stamp.utc} ({press.source}); the clock {quality}"


def track_text(track: records.TrackInfo) -> str:
    """A track in a few words: `h264 1280x720 30/s by libx264`."""
    if track.kind == "video":
        return f"{track.codec} {track.width}x{track.height} {track.rate:g}/s by {track.encoder}"
    return f"{track.codec} {track.rate:g} Hz, {track.channels} channel{'s' if track.channels != 1 else ''}"


def _words(text: str) -> str:
    return text.replace("_", " ")
