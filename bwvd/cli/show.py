"""`bwvd show`: one recording in sentences, or its manifest as one JSON document."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from bwvd.cli.options import (
    NAME,
    Failure,
    config_option,
    find_recording,
    identity_option,
    json_option,
    print_json,
)
from bwvd.clock import NS
from bwvd.evidence.errors import EvidenceError, IdentityUnusable
from bwvd.evidence.export.catalogue import signed_records
from bwvd.evidence.export.describe import describe
from bwvd.evidence.export.narrative import Narrative, end_text, narrative, pre_event_text, press_text, track_text
from bwvd.evidence.export.positions import Positions, positions
from bwvd.evidence.export.private_text import SEALED, PrivateText, Reader, unopened
from bwvd.evidence.export.track import track_of
from bwvd.evidence.format.moment import clock_text
from bwvd.evidence.verify.gather import Place, gather
from bwvd.evidence.verify.report import Excerpt
from bwvd.text import clean, counted, readable


@click.command()
@config_option
@json_option
@identity_option("Opens sealed officers and markers.")
@click.argument("rec", type=NAME)
def show(config_path: str, as_json: bool, identities: tuple[str, ...], rec: str) -> None:
    """Show one recording: REC is an id, a serial number, "last", a folder, or a proof."""
    try:
        read: Reader = unopened
        keys: Sequence[Any] = ()
        place = _place(config_path, rec)
        if identities:
            # Here: without an identity no cryptography is needed.
            from bwvd.evidence.export.sealed_text import reader_at
            from bwvd.evidence.keys.age import load_identities

            keys = load_identities(identities)
            read = reader_at(place, keys)
        document = describe(place, read)
        every = list(signed_records(place))
        told, where = narrative(every, read), positions(track_of(every, keys))
    except IdentityUnusable as error:
        raise Failure(str(error), 2) from None
    except EvidenceError as error:
        raise Failure(str(error), 1) from None
    except FileNotFoundError as error:
        raise Failure(f"{rec}: no recording: {error.filename} is missing", 1) from None
    except OSError as error:
        raise Failure(f"{error.filename or rec}: {error.strerror or error}", 1) from None
    if as_json:
        print_json(document | {"positions": None if where is None else where.as_dict()})
    else:
        print_recording(document, told, where)


def _place(config_path: str, rec: str) -> Place:
    """Raises: EvidenceError, Failure."""
    if not (rec.lower().endswith(".zip") and os.path.isfile(rec)):  # noqa: PTH113  raises nothing for a name that no file can have
        return Place(find_recording(config_path, rec))
    places = gather(Path(rec))
    if len(places) > 1:
        raise Failure(f"{rec}: holds {len(places)} recordings: bwvd list shows them", 1)
    return places[0]


def print_recording(document: Mapping[str, Any], told: Narrative, where: Positions | None) -> None:
    """`bwvd show`: a recording in sentences, everything that happened with its time."""
    opening = told.open
    rows: list[tuple[str, str]] = [("recording", document["id"]), ("folder", document["path"])]
    if opening is not None:
        encrypted = f"to {counted(len(opening.recipients), 'recipient')}" if opening.recipients else "no"
        rows += [
            ("device", f"{opening.device}, recording number {opening.serial}, {opening.software}"),
            ("officer", ", ".join(_text(text) for text in told.officers) or "not named"),
            ("press", press_text(opening.press)),
            *([("position", where.press_text()), ("track", where.track_text())] if where is not None else []),
            ("before it", pre_event_text(opening.pre_event)),
            ("recorded", "; ".join(track_text(track) for track in opening.tracks)),
            ("encrypted", encrypted),
        ]
        if opening.continues:
            rows.append(("continues", opening.continues))
    if (part := document["excerpt"]) is not None:
        said = "here is said what the manifest says of the whole recording"
        rows.append(("excerpt", f"in this proof: {Excerpt(**part)}; the others are withheld, and {said}"))
    segments = counted(document["segments"], "segment")
    silence = f", {silent} of them silence put in where there was none" if (silent := document["silent_frames"]) else ""
    rows += [
        ("length", f"{clock_text(round(document['seconds'] * NS))} in {segments}, {document['bytes']:,} bytes"),
        ("frames", f"{document['frames']} of video, {document['audio_frames']} of audio{silence}"),
        ("end", end_text(told.end)),
    ]
    for name, value in rows:
        click.echo(f"{name:10} {readable(value)}")
    if not told.happenings:
        return
    click.echo(f"\n{'TIME':>12}  {'UTC':24}  WHAT HAPPENED")
    for one in told.happenings:
        quoted = f" {_text(one.quoted)}" if one.quoted is not None else ""
        click.echo(f"{told.offset(one.at_ns):>12}  {clean(one.utc) or '-':24}  {clean(one.what)}{quoted}")
    if any(text.unknown == SEALED for one in told.happenings if (text := one.quoted)):
        click.echo("\nOfficers and labels are sealed: --identity FILE opens them.")


def _text(text: PrivateText) -> str:
    return f"({clean(text.unknown)})" if text.unknown else readable(text.text)
