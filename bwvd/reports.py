"""What the commands print for a person, and the documents they print for a machine.

Texts that come from outside (labels, ids, fault details) are shown without control characters: a terminal obeys them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from bwvd.clock import NS
from bwvd.evidence import records
from bwvd.evidence.catalogue import Entry, signed_records
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.layout import MANIFEST
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


def describe(folder: Path) -> dict[str, Any]:
    """`bwvd show --json`: a recording's manifest as one document, without the bulk (init segments, padding).

    Raises: EvidenceError, OSError where there is no readable manifest.
    """
    document: dict[str, Any] = {"id": folder.name, "path": str(folder), "open": None, "end": None, "events": []}
    segments = frames = audio_frames = size = 0
    until_ns = 0
    empty = True
    for record in signed_records(folder):
        empty = False
        match record:
            case records.Open():
                document["open"] = _plain(record, "init", "pad")
            case records.Segment():
                segments, frames = segments + 1, frames + record.frames
                audio_frames, size = audio_frames + record.audio_frames, size + record.bytes
                until_ns = max(until_ns, record.pts_ns + record.duration_ns)
            case records.Close() | records.Recovered():
                document["end"] = _plain(record)
                # What counts: a torn manifest may hold lines behind its hole that look whole and vouch for nothing.
                segments, frames, audio_frames = record.segments, record.frames, record.audio_frames
                size, until_ns = record.bytes, record.duration_ns
            case _:
                document["events"].append(_plain(record, "init"))
    if empty:
        raise EvidenceError(f"{folder / MANIFEST}: holds no whole record")
    document |= {
        "segments": segments,
        "frames": frames,
        "audio_frames": audio_frames,
        "bytes": size,
        "seconds": round(until_ns / NS, 3),
    }
    return document


def _plain(record: records.Record, *without: str) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(record)
    return {name: value for name, value in fields.items() if name not in without}


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


def found_devices() -> list[dict[str, Any]]:
    """`bwvd devices --json`: what is plugged in, each with what to write in the configuration."""
    from bwvd.capture.devices import cameras, microphones
    from bwvd.controls.listing import list_controls

    found: list[dict[str, Any]] = []
    for camera in cameras():
        found.append({"kind": "camera", "where": camera.path, "what": camera.name, "problem": camera.note})
        found[-1]["toml"] = f'[video]\nsource = "{camera.source}"'
    for microphone in microphones():
        found.append({"kind": "microphone", "where": microphone.path, "what": microphone.name})
        found[-1] |= {"problem": microphone.note, "toml": f'[audio]\nsource = "{microphone.source}"'}
    return [*found, *(control.as_dict() for control in list_controls())]


def print_devices(found: Sequence[Mapping[str, Any]]) -> None:
    """`bwvd devices`: the same for a person."""
    if not found:
        click.echo("no camera, microphone, GPIO chip, input device or serial port was found")
    for one in found:
        problem = f"  ({one['problem']})" if one["problem"] else ""
        click.echo(f"{one['kind']:10} {clean(str(one['where']))}  {clean(str(one['what']))}{clean(problem)}")
        for line in str(one["toml"]).splitlines():
            click.echo(f"           {clean(line)}")


def warn(text: str) -> None:
    """One line on stderr."""
    click.echo(f"bwvd: {clean(text)}", err=True)
    sys.stderr.flush()
