"""Output of the commands: lines for a person, documents for a machine.

Texts that come from outside (labels, ids, fault details) are shown without control characters: a terminal obeys them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from bwvd.clock import NS
from bwvd.evidence.export.catalogue import Entry
from bwvd.text import clean


def print_list(entries: Sequence[Entry]) -> None:
    """`bwvd list`: one line a recording."""
    if not entries:
        click.echo("no recordings")
        return
    click.echo(f"{'RECORDING':44} {'FIRST FRAME (UTC)':24} {'LENGTH':>9} {'BEFORE':>7} {'MB':>8}  END")
    for entry in entries:
        lock = " encrypted" if entry.encrypted else ""
        click.echo(
            f"{clean(entry.id):44} {clean(entry.started):24} {entry.seconds:7.1f} s {entry.pre_event_s:5.1f} s"
            f" {entry.bytes / 1e6:8.1f}  {clean(entry.end)}{lock}"
        )


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
        ("length", f"{document['seconds']:.3f} s in {document['segments']} segments, {document['bytes']:,} bytes"),
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


def print_status(status: Mapping[str, Any]) -> None:
    """`bwvd status`: what matters, a line each."""
    loop, video, storage, recording = status["loop"], status["video"], status["storage"], status["recording"]
    rows = [
        ("state", str(status["state"]).replace("_", " ")),
        ("device", f"{status['device']}, up {status['uptime_s']:.0f} s"),
        ("loop", f"{loop['seconds']:.1f} of {loop['capacity_s']:g} s, {loop['bytes'] / 1e6:.1f} MB in RAM"),
        ("video", f"{video['source']} by {video['encoder'] or '-'}: {video['frames']} frames, {video['dropped']} lost"),
        ("storage", _storage(storage)),
    ]
    if recording:
        on_flash = f"{recording['committed_s']:.1f} s in {recording['segments']} segments on flash"
        rows.insert(1, ("recording", f"{recording['id']}, {recording['seconds']:.1f} s, {on_flash}"))
    details = status.get("fault_details", {})
    rows += [("fault", f"{name}: {details.get(name, {}).get('detail', '')}") for name in status["faults"]]
    rows += [("control", str(control)) for control in status["controls"]]
    for name, value in rows:
        click.echo(f"{name:10} {clean(value)}")


def _storage(storage: Mapping[str, Any]) -> str:
    minutes = storage["minutes_left"]
    left = f", about {minutes} minutes" if minutes is not None else ""
    return f"{storage['free_bytes'] / 1e9:.2f} GB free{left}, {storage['backlog_bytes'] / 1e6:.1f} MB waiting"


def print_journal(lines: Iterable[Mapping[str, Any]]) -> None:
    """`bwvd journal`: one line an entry."""
    for entry in lines:
        detail = " ".join(f"{name}={value}" for name, value in entry["detail"].items())
        click.echo(f"{clean(entry['utc'])} {clean(entry['event']):12} {clean(detail)}")


def warn(text: str) -> None:
    """One line on stderr."""
    click.echo(f"bwvd: {clean(text)}", err=True)
    sys.stderr.flush()
