"""The positions of a recording as a GPX track (GPX 1.1), for maps and other programs; nothing in it is signed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.export.mp4 import admit
from bwvd.evidence.export.track import Track
from bwvd.evidence.flash.whole_file import new_files
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.folder import DirectoryFolder
from bwvd.evidence.verify.recording import Verification
from bwvd.evidence.verify.report import Report
from bwvd.evidence.verify.trust import Trust
from bwvd.text import printable


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
