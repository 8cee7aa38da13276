"""What is done with recordings on a desk, or at the device's dock: verify, export, read the journal, release."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from bwvd.evidence import records
from bwvd.evidence.chain import JOURNAL_NAMESPACE
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.export import export_mp4
from bwvd.evidence.manifest import ChainReader
from bwvd.evidence.proof import export_proof
from bwvd.evidence.regular import open_regular
from bwvd.evidence.report import Report
from bwvd.evidence.seal import load_identities
from bwvd.evidence.signers import AllowedSigners
from bwvd.evidence.verify_paths import verify_paths
from bwvd.invocation import print_json
from bwvd.reports import print_journal, warn
from bwvd.text import clean

GOOD, NO, USAGE = 0, 1, 2
PROGRESS_FROM_BYTES = 64_000_000  # less is over before a bar could be read

ProgressCall = Callable[[int], None]


def verify(paths: Sequence[str], signers: str | None, identities: Sequence[str], *, as_json: bool) -> int:
    """`bwvd verify`: print a verdict for everything at `paths`; returns the exit code."""
    try:
        allowed = AllowedSigners.load(signers) if signers else None
        keys = load_identities(identities)
    except EvidenceError as error:
        warn(str(error))
        return USAGE
    with _progress(_size(paths), "verify", quiet=as_json) as progress:
        reports = verify_paths(paths, allowed, keys, decode=bool(keys), progress=progress)
    if as_json:
        print_json([report.as_dict() for report in reports])
    else:
        for report in reports:
            _print_report(report)
    return GOOD if reports and all(report.good for report in reports) else NO


def _print_report(report: Report) -> None:
    what = f" ({report.kind})" if report.kind != "recording" else ""
    click.echo(f"{report.verdict:12} {clean(report.id)}{what}")
    if report.kind == "recording" and report.started_utc:
        click.echo(
            f"{'':12} {report.segments} segments, {report.frames} frames, {report.duration_s:.3f} s from "
            f"{clean(report.started_utc)}, {report.pre_event_s:.3f} s of it before the press"
        )
    if report.signer is not None:
        trust = "trusted" if report.signer.trusted else "a key that nobody vouches for: give --signers FILE"
        click.echo(f"{'':12} signed by {report.signer.as_dict()['fingerprint']} ({trust})")
    for finding in report.findings:
        click.echo(f"{'':12} {clean(finding.where)}: {clean(finding.what)}")
    for note in report.notes:
        click.echo(f"{'':12} note: {clean(note.where)}: {clean(note.what)}")


def export(
    folder: Path,
    output: str | None,
    identities: Sequence[str],
    *,
    sheet: str | None,
    signers: str | None,
    from_s: float | None,
    to_s: float | None,
    proof: str | None,
    captions: bool,
    force: bool,
) -> int:
    """`bwvd export`: one MP4, a contact sheet, or both; with `proof` the untouched recording and all that proves it.

    Returns the exit code.
    """
    try:
        allowed = AllowedSigners.load(signers) if signers else None
        keys = load_identities(identities)
    except EvidenceError as error:
        warn(str(error))
        return USAGE
    report = None  # of the verification, which is made once
    try:
        if output:
            with _progress(2 * _size([str(folder)]), "export") as progress:
                done = export_mp4(
                    folder,
                    output,
                    keys,
                    from_s=from_s,
                    to_s=to_s,
                    signers=allowed,
                    captions=captions,
                    force=force,
                    progress=progress,
                )
            report = done.report
            for note in done.notes:
                warn(note)
            for file in done.files:
                click.echo(f"{file.path}: {file.frames} frames, {file.from_s:.3f} s to {file.to_s:.3f} s")
        if sheet:
            from bwvd.evidence.sheet import export_sheet  # here: only for this

            with _progress(_size([str(folder)]), "sheet", quiet=report is not None) as progress:
                made = export_sheet(
                    folder,
                    sheet,
                    keys,
                    from_s=from_s,
                    to_s=to_s,
                    signers=allowed,
                    force=force,
                    report=report,
                    progress=progress,
                )
            for note in made.notes:
                warn(note)
            click.echo(f"{made.path}: {made.pictures} pictures")
        if proof:
            export_proof(folder, proof, signers=allowed, signers_file=signers, force=force)
            click.echo(proof)
    except EvidenceError as error:
        warn(str(error))
        return NO
    except OSError as error:
        warn(f"{error.filename or output or sheet}: {error.strerror or error}")
        return NO
    return GOOD


def journal(storage: Path, *, as_json: bool) -> int:
    """`bwvd journal`: every entry, oldest first; returns the exit code (1 where a line does not hold)."""
    files = [*sorted(storage.glob("journal-*.jsonl")), storage / "journal.jsonl"]
    entries: list[dict[str, Any]] = []
    good = True
    for path in files:
        try:
            file = io.BufferedReader(open_regular(path))
        except OSError as error:
            warn(f"{path}: {error.strerror}")
            return NO
        with file:
            reader = ChainReader(file, path.name, JOURNAL_NAMESPACE)
            for signed in reader:
                if isinstance(signed.record, records.Entry):
                    stamp = signed.record.stamp
                    entry = {"event": signed.record.event, "utc": stamp.utc, "mono_ns": stamp.mono_ns}
                    entries.append(entry | {"quality": stamp.quality, "detail": signed.record.detail})
        for problem in reader.problems:
            good = False
            warn(f"{problem.where}: {problem.what}")
    if as_json:
        print_json(entries)
    else:
        print_journal(entries)
    return GOOD if good else NO


def _size(paths: Sequence[str]) -> int:
    """Bytes below the paths, for the progress bar."""
    total = 0
    for path in map(Path, paths):
        files = path.rglob("*") if path.is_dir() else [path]
        for file in files:
            try:
                total += file.lstat().st_size
            except OSError:
                continue
    return total


@contextmanager
def _progress(total: int, what: str, *, quiet: bool = False) -> Iterator[ProgressCall | None]:
    """A bar on stderr for long work that a person watches."""
    if quiet or total < PROGRESS_FROM_BYTES or not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)

        def advance(size: int) -> None:
            bar.advance(task, size)

        yield advance
