"""Invariant 7 and the public commands: verify, list, show, journal and export on what lies there."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

from bwvd.cli.journal import show_journal
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.export.catalogue import catalogue
from bwvd.evidence.export.describe import describe
from bwvd.testing.flash.medium import Tree
from tests.faults.aftermath import Aftermath
from tests.support.desk import export_mp4, verify_storage

EXPORT_EVERY = 8  # cases: an export costs as much as a shift
TAMPER_EVERY = 8


def check_desk(after: Aftermath, folder: Path) -> Iterator[str]:
    """Everything that a desk would do; the folder is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    lay_out(after.tree, folder)
    if not (folder / "recordings").is_dir():
        return  # the first start did not get so far
    for report in verify_storage(folder):
        if not report.good:
            found = [finding.as_dict() for finding in report.findings][:3]
            yield f"7: verify: {report.id} is {report.verdict}: {found}"
    entries = catalogue(folder)
    listed = {entry.id: entry for entry in entries}
    for recording in after.recordings:
        entry = listed.get(recording.id)
        if entry is None:
            yield f"list: lacks {recording.id}"
            continue
        if recording.opening is None:
            continue
        if (entry.end, entry.segments) != (recording.reason, len(recording.segments)):
            yield f"list: {recording.id} has {entry.segments} segments and ends with {entry.end}"
        shown = describe(folder / "recordings" / recording.id)
        if shown["frames"] != len(recording.frames):
            yield f"show: {recording.id} has {shown['frames']} frames, not {len(recording.frames)}"
        if after.nth % EXPORT_EVERY == 0 and recording.segments:
            yield from _export(folder, recording.id, len(recording.frames))
    serials = [recording.serial for recording in after.recordings]
    if serials != list(range(1, len(serials) + 1)):
        yield f"list: the serial numbers {serials} have a hole"
    yield from _journal(folder)
    if after.nth % TAMPER_EVERY == 0:
        yield from _tampered(after, folder)


def lay_out(tree: Tree, folder: Path) -> None:
    """A virtual flash as a folder."""
    folder.mkdir(parents=True)
    for path in sorted(tree):
        content = tree[path]
        if content is None:
            (folder / path).mkdir()
        elif path != ".reserve":
            (folder / path).write_bytes(content)


def _export(folder: Path, recording: str, frames: int) -> Iterator[str]:
    out = folder.parent / f"{folder.name}.mp4"
    for path in folder.parent.glob(f"{folder.name}*.mp4"):
        path.unlink()
    try:
        exported = export_mp4(folder / "recordings" / recording, str(out))
    except (EvidenceError, OSError) as error:
        yield f"export: {recording}: {error}"
        return
    count = sum(file.frames for file in exported.files)
    if count != frames:
        yield f"export: {recording} has {count} frames, not {frames}"


def _journal(folder: Path) -> Iterator[str]:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        code = show_journal(folder, as_json=True)
    if code:
        yield "journal: a line does not hold"
    elif not json.loads(text.getvalue()):
        yield "journal: is empty"


def _tampered(after: Aftermath, folder: Path) -> Iterator[str]:
    """One bit of evidence is turned: verify must say so."""
    chance = random.Random(after.nth)
    evidence = [
        path
        for path in sorted((folder / "recordings").rglob("*"))
        if path.is_file() and (path.name == "manifest.jsonl" or path.suffix == ".m4s") and path.stat().st_size
    ]
    if not evidence:
        return
    path = chance.choice(evidence)
    data = bytearray(path.read_bytes())
    at = chance.randrange(len(data))
    data[at] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    reports = {report.id: report for report in verify_storage(folder)}
    if reports[path.parent.name].verdict != "altered":
        yield f"7: byte {at} of {path.name} was changed, and verify says {reports[path.parent.name].verdict}"
