"""Recordings and journal entries as a person reads them: `bwvd list` and `journal`.

Texts that come from outside (labels, ids) are shown without control characters: a terminal obeys them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import click

from bwvd.cli.columns import Column, lines_of
from bwvd.clock import NS
from bwvd.evidence.export.catalogue import Entry
from bwvd.evidence.export.private_text import PrivateText
from bwvd.evidence.export.search import found_at
from bwvd.evidence.format.moment import clock_text
from bwvd.text import clean, counted, readable

TEXTS_CHARACTERS = 60  # of all officers or markers of a line
SAME_S = 0.05  # what is shown to a tenth of a second, and differs by less, is the same


def print_list(entries: Sequence[Entry], *, anywhere: bool = False, marker: str = "") -> None:
    """`bwvd list`: one line a recording. Columns that all recordings leave empty are left out.

    anywhere: they lie where somebody said, so that each line says where.
    marker: what their markers were searched for, which is shown whatever else they say.
    """
    if not entries:
        click.echo("no recordings")
        return
    columns = [
        Column("RECORDING", [clean(entry.id) for entry in entries], 40),
        Column("FIRST FRAME (UTC)", [clean(entry.started) or "-" for entry in entries], 24),
        Column("LENGTH", [clock_text(round(entry.seconds * NS))[:-2] for entry in entries], right=True),
        Column("BEFORE", [f"{entry.pre_event_s:.1f} s" for entry in entries], right=True),
        Column("MB", [f"{entry.bytes / 1e6:.1f}" for entry in entries], right=True),
        Column("END", [clean(entry.end) + (" encrypted" if entry.encrypted else "") for entry in entries]),
    ]
    if any(entry.verdict for entry in entries):
        columns.insert(0, Column("VERDICT", [entry.verdict for entry in entries]))
    if any(entry.officers for entry in entries):
        columns.append(Column("OFFICER", [_texts(entry.officers) for entry in entries]))
    if any(entry.markers for entry in entries):
        columns.append(Column("MARKERS", [_texts(entry.markers or [], marker) for entry in entries]))
    columns.append(Column("MISSING", [missing_text(entry) or "-" for entry in entries]))
    if anywhere:
        columns.append(Column("WHERE", [clean(entry.path) for entry in entries]))
    for line in lines_of(columns):
        click.echo(line)


def _texts(texts: Sequence[PrivateText], sought: str = "") -> str:
    shown = [readable(text.text) or f"({clean(text.unknown)})" * bool(text.unknown) or '""' for text in texts]
    if len(shown) > 1 and len(set(shown)) == 1:
        shown = [f"{len(shown)} x {shown[0]}"]
    if sought:
        at = [(found_at(text, sought), text) for text in shown]
        # Only so much of a line is shown: what was looked for begins it, with a little of what stands before that.
        before = TEXTS_CHARACTERS // 4
        most = TEXTS_CHARACTERS - len(sought)
        shown = [text if n <= most else f"…{text[n - before :]}" for n, text in at if n >= 0]
        shown += [text for n, text in at if n < 0]
    line = ", ".join(shown) or "-"
    return line if len(line) <= TEXTS_CHARACTERS else f"{line[:TEXTS_CHARACTERS]}…"


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
            spans = " and ".join(f"{s:.1f} s of {kind}" for kind, s in (("video", video_s), ("audio", audio_s)) if s)
        parts.append(f"{spans} in {counted(one.gaps, 'gap')}")
    if one.missing_pre_event_s >= SAME_S:
        parts.append(f"{one.missing_pre_event_s:.1f} s before the press")
    return ", ".join(parts)


def print_journal(lines: Iterable[Mapping[str, Any]]) -> None:
    """`bwvd journal`: one line an entry."""
    for entry in lines:
        told = entry["detail"]
        said = _progress_text(told) if entry["event"] == "progress" else ""
        said = said or " ".join(f"{name}={value}" for name, value in told.items())
        click.echo(f"{clean(entry['utc'])} {clean(entry['event']):12} {clean(said)}")


def _progress_text(told: Mapping[str, Any]) -> str:
    """How far a recording has come, of which a long one has an entry each 30 s; "" where the entry is not made so."""
    segments, length_ns, size = (told.get(name) for name in ("segments", "duration_ns", "manifest_bytes"))
    if not (isinstance(segments, int) and isinstance(length_ns, int) and isinstance(size, int)):
        return ""
    on_flash = f"{told.get('recording')} has {counted(segments, 'segment')} on flash, {clock_text(length_ns)} long"
    return f"{on_flash}; the first {size:,} bytes of its manifest have the SHA-512 {told.get('manifest_sha512')}"
