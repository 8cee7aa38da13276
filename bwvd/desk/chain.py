"""Chain of evidence of a recording, as a person reads it: each link, and whether it holds. Pure.

A link is a text's name with what is put into it; the page has the words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from bwvd.desk.receipts import Taken
from bwvd.desk.timeline import Timeline
from bwvd.evidence.format import records
from bwvd.evidence.format.layout import MANIFEST
from bwvd.evidence.verify.report import Report, Severity
from bwvd.text import printable

Standing = Literal["holds", "broken", "open", "said"]  # "open": nobody can tell yet. "said": told, and not proved here


@dataclass(frozen=True, slots=True)
class Link:
    """One statement of the chain."""

    text: str  # its name among the page's texts, without the section
    standing: Standing
    parts: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {"text": self.text, "standing": self.standing, "parts": self.parts}


def chain(line: Timeline, report: Report, taken: Taken | None = None) -> list[Link]:
    """What vouches for a recording, from the hand that signed it to the world outside. `taken`: by its receipt."""
    links = [*_signature(report), *_content(line, report), *_end(line), *_row(line, report)]
    return [*links, _existed(report), _receipt(report, taken)]


def _signature(report: Report) -> list[Link]:
    if report.signer is None:
        return [Link("signed_nobody", "broken")]
    signer = report.signer
    parts = {"device": report.device, "key": signer.certified or signer.fingerprint}
    links = [Link("signed", "holds", parts)]
    if signer.certified:
        links.append(Link("certified", "holds" if signer.trusted else "open", {"key": signer.fingerprint}))
    if signer.trusted:
        links.append(Link("vouched", "holds", {"name": printable(signer.name)}))
    else:
        links.append(Link("unvouched", "open"))
    return links


def _content(line: Timeline, report: Report) -> list[Link]:
    grave = [finding for finding in report.findings if finding.severity in (Severity.ALTERED, Severity.UNREADABLE)]
    of_manifest = [finding for finding in grave if finding.where.startswith(MANIFEST)]
    of_files = [finding for finding in grave if not finding.where.startswith(MANIFEST)]
    links = []
    if of_manifest:
        links = [Link("lines_broken", "broken", {"where": of_manifest[0].where, "what": of_manifest[0].what})]
    elif line.placed:  # of what has no record nothing can hold
        links = [Link("lines", "holds", {"count": str(len(line.placed))})]
    if of_files:
        links.append(Link("files_broken", "broken", {"count": str(len(of_files)), "where": of_files[0].where}))
    elif report.excerpt is not None:
        links.append(Link("files_excerpt", "holds", {"which": str(report.excerpt)}))
    elif line.placed:
        links.append(Link("files", "holds", {"segments": str(report.segments), "bytes": f"{report.bytes:,}"}))
    if report.missing_video_s or report.missing_audio_s:
        parts = {"video": f"{report.missing_video_s:.3f}", "audio": f"{report.missing_audio_s:.3f}"}
        links.append(Link("gaps", "said", parts))
    return links


def _end(line: Timeline) -> list[Link]:
    match line.end:
        case records.Close(reason=reason, stamp=stamp):
            return [Link("closed", "holds", {"reason": _words(reason), "utc": printable(stamp.utc)})]
        case records.Recovered(reason=reason, stamp=stamp):
            return [Link("recovered", "holds", {"reason": _words(reason), "utc": printable(stamp.utc)})]
        case _:
            return [Link("no_end", "open")]


def _row(line: Timeline, report: Report) -> list[Link]:
    opening = line.open
    if opening is None:
        return []
    links = []
    before = opening.before
    if before is not None and before.serial:
        words = {"serial": str(before.serial), "id": printable(before.recording), "event": _words(before.event)}
        links.append(Link("row" if before.recording else "row_number", "said", words))
    elif before is not None:
        links.append(Link("row_first", "said", {"serial": str(opening.serial)}))
    else:
        links.append(Link("row_unknown", "open"))
    if report.after is not None and report.after.serial:
        after = {"serial": str(report.after.serial), "id": printable(report.after.recording)}
        links.append(Link("row_after", "holds", after))
    if opening.journal is not None:
        head = opening.journal
        parts = {"file": printable(head.file), "bytes": f"{head.bytes:,}", "sha512": printable(head.sha512)[:16]}
        links.append(Link("journal", "said", parts))
    else:
        links.append(Link("journal_none", "open"))
    if opening.continues:
        links.append(Link("continues", "said", {"id": printable(opening.continues)}))
    return links


def _existed(report: Report) -> Link:
    """Before when it existed, by the earliest time-stamp of an authority that counts."""
    if report.existed:
        earliest = report.existed[0]
        parts = {"utc": printable(earliest.utc), "by": printable(earliest.by)}
        if earliest.what:  # a part of it
            return Link("existed_manifest", "said", parts)
        return Link("existed", "holds", parts)
    return Link("existed_none", "open")


def _receipt(report: Report, taken: Taken | None) -> Link:
    if taken is None:
        return Link("receipt_none", "open")
    parts = {"by": printable(taken.by), "utc": printable(taken.received_utc)}
    if taken.manifest_sha512 and taken.manifest_sha512 != report.manifest_sha512:
        return Link("receipt_other", "broken", parts)
    return Link("receipt", "holds" if taken.vouched else "said", parts)


def _words(text: str) -> str:
    return printable(text.replace("_", " "))
