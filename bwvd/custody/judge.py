"""Judgement of one recording: verified as `bwvd verify` does, and held against the journal and the row of numbers.

Blocking; runs in a worker thread, and reads through a bridge.
"""

from __future__ import annotations

import enum
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bwvd.custody.bridge import Bridge, StoreFolder
from bwvd.custody.findings import Finding, finding
from bwvd.custody.journals import CheckedJournal
from bwvd.custody.shelf import Files
from bwvd.evidence.export.sealed_text import reader
from bwvd.evidence.format import records
from bwvd.evidence.format.decode import MAX_LINE, Unknown, decode
from bwvd.evidence.format.layout import MANIFEST
from bwvd.evidence.format.utc import utc_after
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.journal import Head
from bwvd.evidence.verify.recording import Verification
from bwvd.evidence.verify.report import Report
from bwvd.evidence.verify.storage import compare_end
from bwvd.evidence.verify.trust import Trust
from bwvd.store import names
from bwvd.text import clean, counted

MOST_MARKERS = 10_000  # of one recording, in the index
_TEXT_CHARACTERS = 500
_MOST_NUMBER = 2**63 - 1  # of a database


class State(enum.StrEnum):
    """How far a recording has come."""

    RECEIVED = "received"  # it is good, and there is a receipt
    FINDING = "finding"  # it is not
    HELD = "held"  # it is good, and something is wrong with the device
    WAITS = "waits"  # the journal that it began with has not come: it is not looked at yet


@dataclass(slots=True)
class Judged:
    """What came of a recording."""

    report: Report
    check: Verification
    markers: list[dict[str, Any]] = field(default_factory=list)
    officers: list[dict[str, Any]] = field(default_factory=list)
    finding: Finding | None = None


class _Texts:
    """Collects a recording's markers and officers from its records."""

    def __init__(self) -> None:
        self.records: list[records.Mark | records.Officer] = []
        self.origin_utc = ""

    def take(self, record: records.Record | Unknown) -> None:
        if isinstance(record, records.Open):
            self.origin_utc = record.origin_utc
        elif isinstance(record, records.Mark | records.Officer) and len(self.records) < MOST_MARKERS:
            self.records.append(record)


def opening_head(bridge: Bridge, files: Files, *, keep: bool) -> Head | None:
    """The state of the journal that a recording's first record names; None if it names none, or can't be read.

    Nothing is verified here: it says what to look for. Blocking. Raises: StoreError.

    Args:
        keep: what was read of the manifest goes into `files.kept`, for `verify` to begin with.
    """
    kept = bytearray()
    try:
        with StoreFolder(bridge, files.files, "").open_keeping(MANIFEST, kept) as raw:
            record = decode(io.BufferedReader(raw, 65_536).readline(MAX_LINE))
    except OSError:
        return None
    if keep:
        files.kept[MANIFEST] = bytes(kept)
    head = record.journal if isinstance(record, records.Open) else None
    return (head.bytes, head.sha512) if head is not None else None


def head_of(check: Verification) -> Head | None:
    """The state of the journal that a verified recording began with."""
    head = check.open.journal if check.open is not None else None
    return (head.bytes, head.sha512) if head is not None else None


def verify(
    bridge: Bridge,
    device: str,
    recording: str,
    files: Files,
    signers: AllowedSigners,
    *,
    manifest_only: bool = False,
    identities: Sequence[Any] = (),
) -> Judged:
    """Verify a recording. Blocking. Raises: StoreError.

    Args:
        manifest_only: it has been verified, and is only read again for the index.
        identities: open its texts, and nothing else.
    """
    path = names.recording_folder(device, recording).rstrip("/")
    folder = StoreFolder(bridge, files.files, path, tuple(files.strange), files.kept)
    texts = _Texts()
    check = Verification(folder, Trust(signers), name=recording, told=texts.take, files=not manifest_only)
    report = check.run()
    if files.more and not manifest_only:
        report.altered(path, f"more than {len(files.files)} objects: no recording has so many")
    if report.device not in ("", device) or report.id != recording:
        report.altered(MANIFEST, f"the recording {report.id} of {report.device} in the place of {recording}")
    judged = Judged(report, check)
    if report.verdict in ("authentic", "recovered"):
        _index_texts(judged, texts, folder, identities)
    return judged


def judge(
    bridge: Bridge,
    device: str,
    recording: str,
    files: Files,
    signers: AllowedSigners,
    journal: CheckedJournal | None,
    *,
    identities: Sequence[Any] = (),
) -> Judged:
    """Verify a recording, and hold it against its journal. Blocking. Raises: StoreError."""
    judged = verify(bridge, device, recording, files, signers, identities=identities)
    report, check = judged.report, judged.check
    if journal is not None:
        compare_end(recording, check, journal.facts)
        serial = report.serial or 0
        other = journal.facts.serials.get(serial, recording)
        if other != recording:
            report.altered(MANIFEST, f"has the serial number {serial}, which the journal says is {other}'s")
    if not report.good:
        judged.finding = finding(device, report.verdict, _said(report), recording)
    return judged


def _said(report: Report) -> str:
    more = f" (and {counted(len(report.findings) - 1, 'more finding')})" if len(report.findings) > 1 else ""
    return f"{report.why}{more}"


def row_of(judged: Judged, device: str, recording: str, state: State, since_utc: str, signers: str) -> dict[str, Any]:
    """The recording's row in the index."""
    report = judged.report
    return {
        "device": device,
        "recording": recording,
        "serial": report.serial,
        "started_utc": clean(report.started_utc, 64),
        "press_utc": clean(report.press_utc, 64),
        "duration_s": report.duration_s,
        "segments": report.segments,
        "frames": min(report.frames, _MOST_NUMBER),  # each segment's is in 64 bits, and their sum may not be
        "bytes": min(report.bytes, _MOST_NUMBER),
        "encrypted": report.encrypted,
        "ended": clean(report.end, 100),
        "signer": report.signer.fingerprint if report.signer is not None else "",
        "manifest_sha512": report.manifest_sha512,
        "verdict": report.verdict,
        "state": state.value,
        "since_utc": since_utc,
        "signers": signers,
    }


def waiting_row(device: str, recording: str, since_utc: str) -> dict[str, Any]:
    """The row of one that was not looked at yet."""
    report = Report("", "recording", recording)
    row = row_of(Judged(report, None), device, recording, State.WAITS, since_utc, "")  # type: ignore[arg-type]  # nothing of the check goes into a row
    return {**row, "verdict": ""}


def _index_texts(judged: Judged, texts: _Texts, folder: StoreFolder, identities: Sequence[Any]) -> None:
    read = reader(folder, identities)
    for record in texts.records:
        text = clean(read(record).text or "", _TEXT_CHARACTERS)
        if isinstance(record, records.Mark):
            judged.markers.append(
                {
                    "marker": len(judged.markers) + 1,
                    "at_ns": record.at_ns,
                    "utc": utc_after(texts.origin_utc, record.at_ns),
                    "label": text,
                    "sealed": record.sealed is not None,
                }
            )
        elif text and all(one["at_ns"] != record.at_ns for one in judged.officers):
            judged.officers.append({"at_ns": record.at_ns, "officer": text})
