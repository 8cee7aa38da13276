"""Recordings and journal entries as a person reads them: `bwvd list`, `show` and `journal`.

Texts that come from outside (labels, ids) are shown without control characters: a terminal obeys them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import click

from bwvd.clock import NS
from bwvd.evidence.export.catalogue import Entry
from bwvd.text import clean, counted

SAME_S = 0.05  # what is shown to a tenth of a second, and differs by less, is the same


def print_list(entries: Sequence[Entry]) -> None:
    """`bwvd list`: one line a recording."""
    if not entries:
        click.echo("no recordings")
        return
    head = f"{'RECORDING':44} {'FIRST FRAME (UTC)':24} {'LENGTH':>9} {'BEFORE':>7} {'MB':>8}  {'END':14} MISSING"
    click.echo(head)
    for entry in entries:
        end = clean(entry.end) + (" encrypted" if entry.encrypted else "")
        click.echo(
            f"{clean(entry.id):44} {clean(entry.started):24} {entry.seconds:7.1f} s {entry.pre_event_s:5.1f} s"
            f" {entry.bytes / 1e6:8.1f}  {end:14} {missing_text(entry) or '-'}"
        )


class Missing(Protocol):
    """What a recording says that it lacks: an entry of `list`, or a report of `verify`."""

    @property
    def gaps(self) -> int: ...

    @property
    def missing_video_s(self) -> float: ...

    @property
    def missing_audio_s(self) -> float: ...

    @property
    def missing_pre_event_s(self) -> float: ...


def missing_text(one: Missing) -> str:
    """What is not there: "6.0 s in 1 gap, 12.5 s before the press"; "" where all is."""
    parts = []
    video_s, audio_s = one.missing_video_s, one.missing_audio_s
    if one.gaps:
        if abs(video_s - audio_s) < SAME_S:
            spans = f"{video_s:.1f} s"
        else:
            spans = " and ".join(f"{s:.1f} s of {kind}" for kind, s in (("video", video_s), ("sound", audio_s)) if s)
        parts.append(f"{spans} in {counted(one.gaps, 'gap')}")
    if one.missing_pre_event_s >= SAME_S:
        parts.append(f"{one.missing_pre_event_s:.1f} s before the press")
    return ", ".join(parts)


def print_recording(document: Mapping[str, Any]) -> None:
    """`bwvd show`: a recording on one screen."""
    opening, end = document["open"], document["end"]
    rows: list[tuple[str, object]] = [("recording", document["id"]), ("folder", document["path"])]
    if opening:
        pre, press = opening["pre_event"], opening["press"]
        short = f" ({pre['reason']})" if pre["reason"] else ""
        rows += [
            ("device", f"{opening['device']}, serial number {opening['serial']}, {opening['software']}"),
            ("press", f"{press['stamp']['utc']} by {press['source']}, clock {press['stamp']['quality']}"),
            ("before it", f"{pre['got_s']:.3f} s of {pre['asked_s']:g} s asked{short}"),
            ("tracks", "; ".join(_track(track) for track in opening["tracks"])),
            ("encrypted", f"to {len(opening['recipients'])} recipients" if opening["recipients"] else "no"),
        ]
        if opening["continues"]:
            rows.append(("continues", opening["continues"]))
    rows += [
        (
            "length",
            f"{document['seconds']:.3f} s in {counted(document['segments'], 'segment')}, {document['bytes']:,} bytes",
        ),
        ("frames", f"{document['frames']} of video, {document['audio_frames']} of sound"),
        ("end", "none: in progress, or cut" if end is None else f"{end['type']}: {end['reason']}"),
    ]
    for name, value in rows:
        click.echo(f"{name:10} {clean(str(value))}")
    for event in document["events"]:
        at_s = event.get("at_ns", event.get("from_ns", 0)) / NS
        skipped = {"type", "n", "at_ns", "stamp", "tracks", "from_ns"}
        rest = " ".join(f"{name}={value}" for name, value in event.items() if name not in skipped and value != "")
        click.echo(f"{at_s:9.3f} s {event['type']}: {clean(rest)}")


def _track(track: Mapping[str, Any]) -> str:
    if track["kind"] == "video":
        return f"{track['codec']} {track['width']}x{track['height']} {track['rate']:g}/s by {track['encoder']}"
    return f"{track['codec']} {track['rate']:g} Hz, {track['channels']} channel(s)"


def print_journal(lines: Iterable[Mapping[str, Any]]) -> None:
    """`bwvd journal`: one line an entry."""
    for entry in lines:
        detail = " ".join(f"{name}={value}" for name, value in entry["detail"].items())
        click.echo(f"{clean(entry['utc'])} {clean(entry['event']):12} {clean(detail)}")
