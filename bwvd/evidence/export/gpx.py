"""The positions of a recording as a GPX track (GPX 1.1), for maps and other programs; nothing in it is signed."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import msgspec

from bwvd.evidence.errors import ExportRefused, IdentityUnusable
from bwvd.evidence.export.mp4 import admit
from bwvd.evidence.flash.whole_file import new_files
from bwvd.evidence.format import records
from bwvd.evidence.format.decode import Unknown
from bwvd.evidence.keys.age import open_sealed
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.folder import DirectoryFolder
from bwvd.evidence.verify.recording import Verification
from bwvd.evidence.verify.report import Report
from bwvd.evidence.verify.trust import Trust
from bwvd.text import printable


@dataclass(slots=True)
class Track:
    """The fixes of a recording in the order of their records; None where the position was lost."""

    identities: Sequence[Any] = ()
    fixes: list[records.Fix | None] = field(default_factory=list)
    sealed: int = 0  # that were not opened

    def take(self, record: records.Record | Unknown) -> None:
        if not isinstance(record, records.Position):
            return
        fix = record.fix
        if record.sealed:
            fix = _opened(record.sealed, self.identities)
            if fix is None:
                self.sealed += 1
                return
        if fix is None or fix not in self.fixes[-1:]:  # the last one is said again at the end
            self.fixes.append(fix)

    @property
    def stretches(self) -> list[list[records.Fix]]:
        """Runs of fixes without a loss between them: what lies between two is not drawn."""
        runs: list[list[records.Fix]] = [[]]
        for fix in self.fixes:
            if fix is None:
                runs.append([])
            else:
                runs[-1].append(fix)
        return [run for run in runs if run]


def export_gpx(
    folder: str | Path,
    out: str | Path,
    *,
    identities: Sequence[Any] = (),
    signers: AllowedSigners | None = None,
    force: bool = False,
) -> Report:
    """Verify the recording in `folder`, and write its positions to `out`. Blocking.

    Raises: ExportRefused, naming why; then no file is left behind and none has been changed.
    """
    track = Track(identities)
    try:
        with DirectoryFolder(folder) as source:
            name = Path(folder).resolve().name
            report = Verification(source, Trust(signers), name=name, told=track.take).run()
    except OSError as error:
        raise ExportRefused(f"{folder}: {error.strerror}") from None
    admit(report, force=force)
    if track.sealed:
        raise ExportRefused(f"{report.id}: its positions are sealed: give --identity FILE")
    if not track.stretches:
        raise ExportRefused(f"{report.id}: there is no position in it")
    with new_files([Path(out)]) as (temporary,):
        temporary.write_text(gpx_text(report, track), "utf-8")
    return report


def gpx_text(report: Report, track: Track) -> str:
    """The file's text. Times are the receiver's; where it gave none, the camera's."""
    name, standing = escape(printable(report.id)), escape(printable(report.standing))
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<gpx version="1.1" creator="bwvd" xmlns="http://www.topografix.com/GPX/1/1">',
        f"<metadata><name>{name}</name><desc>{standing}</desc></metadata>",
        f"<trk><name>{name}</name>",
    ]
    for run in track.stretches:
        lines.append("<trkseg>")
        for fix in run:
            where = f"lat={quoteattr(f'{fix.latitude:.7f}')} lon={quoteattr(f'{fix.longitude:.7f}')}"
            inner = "" if fix.altitude_m is None else f"<ele>{fix.altitude_m:.1f}</ele>"
            inner += f"<time>{escape(printable(fix.utc or fix.stamp.utc))}</time>"
            inner += f"<fix>{'3d' if fix.mode == 3 else '2d'}</fix>"
            inner += "" if fix.satellites is None else f"<sat>{fix.satellites}</sat>"
            lines.append(f"<trkpt {where}>{inner}</trkpt>")
        lines.append("</trkseg>")
    return "\n".join([*lines, "</trk>", "</gpx>", ""])


def _opened(sealed: str, identities: Sequence[Any]) -> records.Fix | None:
    if not identities:
        return None
    try:
        plain = open_sealed(base64.b64decode(sealed, validate=True), identities)
        return msgspec.json.decode(msgspec.json.decode(plain)["fix"], type=records.Fix)
    except (IdentityUnusable, binascii.Error, msgspec.DecodeError, LookupError, TypeError):
        return None
