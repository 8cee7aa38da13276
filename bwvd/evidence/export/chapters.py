"""Chapters of an export: what a person looks for in a recording, by its moment: the press, markers, gaps, mutes."""

from __future__ import annotations

from collections.abc import Sequence

from bwvd.clock import NS
from bwvd.evidence.export.media_index import Outline
from bwvd.text import printable

_TITLE_CHARACTERS = 200
_SILENCE_NS = NS  # shorter ones get no chapter


def chapters(outline: Outline) -> list[tuple[int, str]]:
    """Media time (ns) and title of each, in order."""
    press = outline.open.press
    press_ns = press.stamp.mono_ns - outline.open.origin_mono_ns
    found = [(press_ns, "Press")]
    if press_ns > outline.first_ns:
        found.append((outline.first_ns, "Before the press"))
    for mark in outline.marks:
        label = mark.label or ("text is sealed" if mark.sealed is not None else "")
        found.append((mark.at_ns, f"Marker: {printable(label)[:_TITLE_CHARACTERS]}" if label else "Marker"))
    for gap in outline.gaps:
        if gap.to_ns > gap.from_ns:
            what = {"video": "No video", "audio": "No audio"}.get(gap.track, "No video, no audio")
            cause = printable(gap.cause.replace("_", " "))[:_TITLE_CHARACTERS]
            found.append((gap.from_ns, f"{what} for {(gap.to_ns - gap.from_ns) / NS:.1f} s: {cause}"))
    for audio in outline.audio:
        reason = printable(audio.reason.replace("_", " "))[:_TITLE_CHARACTERS]
        found.append((audio.at_ns, f"Audio {'on' if audio.on else 'off'}" + f": {reason}" * bool(reason)))
    return sorted(found, key=lambda one: one[0])  # of two at one moment the one that is above


def silences(outline: Outline, lacking_ns: Sequence[tuple[int, int]]) -> list[tuple[int, str]]:
    """Chapters of the stretches without audio that no record names. `lacking_ns`: media time from and to of each."""
    named = [(gap.from_ns, gap.to_ns) for gap in outline.gaps if gap.track != "video"]
    switches = sorted((audio.at_ns, audio.on) for audio in outline.audio)
    behind = [at_ns for at_ns, _ in switches[1:]] + [max((span.end_ns for span in outline.spans), default=0)]
    named += [(at_ns, to_ns) for (at_ns, on), to_ns in zip(switches, behind, strict=False) if not on]
    found = []
    for begin_ns, end_ns in lacking_ns:
        said_ns = sum(max(0, min(end_ns, to_ns) - max(begin_ns, from_ns)) for from_ns, to_ns in named)
        if end_ns - begin_ns - said_ns >= _SILENCE_NS:
            found.append((begin_ns, f"No audio for {(end_ns - begin_ns) / NS:.1f} s"))
    return found
