"""Chapters of an export: what a person looks for in a recording, by its moment: the press, markers, gaps, mutes."""

from __future__ import annotations

from bwvd.clock import NS
from bwvd.evidence.export.media_index import Outline
from bwvd.text import printable

_TITLE_CHARACTERS = 200


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
