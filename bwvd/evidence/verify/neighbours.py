"""Verification of a recording's place in the row: which came before it, which after it, and how those say it ended.

Each recording's first record names the one before. It is signed by itself, so a proof carries the first two lines of
the recording that came after: whoever has nothing else sees both neighbours.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bwvd.evidence.format import records
from bwvd.evidence.format.chain_reader import ChainReader
from bwvd.evidence.format.layout import MANIFEST
from bwvd.evidence.format.recording_id import device_of, serial_of
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.ssh_keys import Certificate
from bwvd.evidence.verify.folder import CHUNK, DirectoryFolder, Folder, read_file
from bwvd.evidence.verify.recording import Verification, time_of
from bwvd.evidence.verify.report import Neighbour, Report, Severity
from bwvd.evidence.verify.trust import Trust
from bwvd.text import counted

NEXT = "next.jsonl"  # in a proof: record and signature that the manifest of the recording behind this one begins with
NEXT_BYTES = 2_097_152  # two lines
ENDS = ("closed", "recovered")


def told(check: Verification) -> None:
    """Report what a recording says of the one before it."""
    before, report = check.before, check.report
    if before is None:
        report.note("neighbours", "not told: recorded by a version that named none")
        return
    report.before = Neighbour(before.serial, before.recording, before.event, before.segments)


@dataclass(frozen=True, slots=True)
class Following:
    """What a proof can show of the recording after the one in it."""

    pair: bytes = b""  # the first two lines of its manifest; b"" = nothing
    before: records.Before | None = None  # what they say of the recording before
    why: str = ""  # there is nothing


def recording_after(place: Path, report: Report) -> Following:
    """Look for the recording after the one in the folder `place`, in the folders beside it.

    There is nothing to show also where it names nobody, or is signed by another key. What it says is not judged here.
    Blocking.
    """
    serial, device = serial_of(report.id), device_of(report.id)
    name = f"-{device}-{(serial or 0) + 1:06d}"
    try:
        beside = sorted(path for path in place.parent.iterdir() if path.name.endswith(name))
    except OSError:
        beside = []
    for path in beside:
        if serial is None or serial_of(path.name) != serial + 1 or device_of(path.name) != device:
            continue
        try:
            with DirectoryFolder(path) as folder, io.BufferedReader(folder.open(MANIFEST), CHUNK) as file:
                pair = file.readline(NEXT_BYTES // 2) + file.readline(NEXT_BYTES // 2)
        except OSError as error:
            return Following(why=f"the manifest of {path.name} can't be read: {error.strerror}")
        signed = next(iter(ChainReader(io.BytesIO(pair), NEXT)), None)
        if signed is None:
            return Following(why=f"the first record of {path.name} does not hold")
        first = signed.record
        if not isinstance(first, records.Open | records.Recovered) or first.before is None:
            return Following(why=f"{path.name} names no recording before it")
        plain = signed.key.key if isinstance(signed.key, Certificate) else signed.key
        if report.signer is None or plain.line != report.signer.key:
            return Following(why=f"{path.name} is signed by another key")
        return Following(pair, first.before)
    return Following(why="this one was the newest that lay there when this was exported")


def check_next(data: bytes, check: Verification, signers: AllowedSigners | None) -> None:
    """Judge a proof's NEXT against the recording in it; findings go to the recording's report."""
    report = check.report
    reader = ChainReader(io.BytesIO(data), NEXT)
    pairs = list(reader)
    for problem in reader.problems:
        report.altered(problem.where, problem.what)
    if reader.problems:
        return
    first = pairs[0].record if len(pairs) == 1 and reader.torn is None else None
    if not isinstance(first, records.Open | records.Recovered):
        report.altered(NEXT, "is not the first record of a recording, with its signature")
        return
    signed = Report(NEXT)
    trust = Trust(signers)
    opened = isinstance(first, records.Open)
    stamp = first.press.stamp if isinstance(first, records.Open) else first.stamp
    trust.claimed(device_of(first.recording), first.signer if isinstance(first, records.Open) else "", time_of(stamp))
    trust.saw(pairs[0], NEXT)
    signatory = trust.judge(signed)
    same_key = signatory is not None and report.signer is not None and signatory.key == report.signer.key
    for finding in signed.findings:
        # By the key of the recording itself: what there is to say of that one is said.
        if finding.severity is not Severity.UNVOUCHED or not same_key:
            report.altered(NEXT, finding.what)
    serial = serial_of(first.recording)
    report.after = Neighbour(serial or 0, first.recording, "opened" if opened else "never begun")
    if first.before is None:
        report.note(NEXT, "names no recording before it: recorded by a version that named none")
    elif what := disagreement(first.before, check):
        report.altered(NEXT, what)


def disagreement(before: records.Before, check: Verification) -> str:
    """What a recording says of the one before it that is not so of the one that was verified; "" if nothing."""
    report = check.report
    if before.recording not in ("", report.id) or (report.serial is not None and before.serial != report.serial):
        name = before.recording or f"number {before.serial}"
        return f"names {name} as the recording before it, which is not this one"
    if before.event in ENDS and before.manifest_sha512 not in ("", check.manifest_sha512):
        return f"says that this one was {before.event} with {counted(before.segments, 'segment')} and another manifest"
    return ""


def disagreements(found: Mapping[str, Verification]) -> Iterator[tuple[str, str]]:
    """What recordings of one storage say of those before them that is not so of these, as folder and a line.

    found: by the folders' names.
    """
    by_serial = {check.report.serial: name for name, check in found.items() if check.report.serial is not None}
    for check in found.values():
        if check.before is None or (earlier := by_serial.get(check.before.serial)) is None:
            continue
        if what := disagreement(check.before, found[earlier]):
            yield earlier, f"{check.report.id} {what}"


def read_next(folder: Folder) -> bytes | None:
    """NEXT of a proof; None if there is none. Raises: OSError."""
    try:
        return read_file(folder, NEXT, NEXT_BYTES)
    except FileNotFoundError:
        return None
