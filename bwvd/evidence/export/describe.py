"""Contents of one recording's manifest as one document: `bwvd show`. Reads; judges nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from bwvd.clock import NS
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.export.catalogue import signed_records
from bwvd.evidence.format import records
from bwvd.evidence.format.layout import MANIFEST


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
