"""Contents of one recording's manifest as one document: `bwvd show`. Reads; judges nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from bwvd.clock import NS
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.export.catalogue import signed_records
from bwvd.evidence.export.private_text import Reader, unopened
from bwvd.evidence.format import records
from bwvd.evidence.format.layout import MANIFEST
from bwvd.evidence.format.totals import Totals
from bwvd.evidence.verify.gather import Place


def describe(where: Path | Place, read: Reader = unopened) -> dict[str, Any]:
    """`bwvd show --json`: a recording's manifest as one document, without the bulk (init segments, padding).

    Args:
        read: gives the labels and officers' ids, also of records whose text is sealed.

    Raises: EvidenceError, OSError where there is no readable manifest.
    """
    document: dict[str, Any] = {"id": where.name, "path": str(where), "open": None, "end": None, "events": []}
    totals = Totals()
    empty = True
    for record in signed_records(where):
        empty = False
        totals.take(record)
        match record:
            case records.Open():
                document["open"] = _plain(record, "init", "pad")
            case records.Segment():
                pass
            case records.Close() | records.Recovered():
                document["end"] = _plain(record)
            case records.Mark():
                document["events"].append(_plain(record) | {"label": read(record).text})
            case records.Officer():
                document["events"].append(_plain(record) | {"officer": read(record).text})
            case _:
                document["events"].append(_plain(record, "init"))
    if empty:
        raise EvidenceError(f"{where}/{MANIFEST}: holds no whole record")
    # The end counts: a torn manifest may hold lines behind its hole that look whole and vouch for nothing.
    counted = totals.end or totals
    document |= {
        name: getattr(counted, name) for name in ("segments", "frames", "audio_frames", "bytes", "silent_frames")
    }
    document["seconds"] = round(counted.duration_ns / NS, 3)
    document["excerpt"] = _excerpt(where)
    return document


def _excerpt(where: Path | Place) -> dict[str, Any] | None:
    """Which segments are in a proof that declares to be an excerpt; all else that its manifest says is of the whole."""
    if not isinstance(where, Place) or not where.inside:
        return None
    import zipfile  # here: a camera shows folders

    from bwvd.evidence.verify.excerpt import Declared, read_declaration
    from bwvd.evidence.verify.zip_folder import ZipFolder

    with zipfile.ZipFile(where.path) as archive:
        declared = read_declaration(ZipFolder(archive, "", str(where.path)))
    if not isinstance(declared, Declared):
        return None
    return {"first": declared.first, "last": declared.last, "of": declared.of}


def _plain(record: records.Record, *without: str) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(record)
    return {name: value for name, value in fields.items() if name not in without}
