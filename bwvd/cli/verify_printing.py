"""Verdicts as a person reads them: the worst first, a line a recording, a line a cause."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from bwvd.cli.evidence_printing import missing_text
from bwvd.evidence.verify.report import WORST_FIRST, Existed, Finding, Neighbour, Report, Severity
from bwvd.text import clean, counted

INDENT = 12  # as wide as the verdicts
_LENGTHS = re.compile(r"has \d+ bytes, not \d+")
SENTENCE = 3000  # characters: a note of somebody's, with what is said about it


def print_reports(reports: Sequence[Report], *, verbose: bool = False) -> None:
    """A summary that begins with the worst verdict, where there is more than one report; then each, the worst first.

    verbose: also what follows from a finding, every place of a finding, and what is worth knowing.
    """
    if len(reports) == 1:
        _print_block(reports[0], verbose=verbose)
        return
    if not reports:
        return
    ordered = sorted(reports, key=lambda report: _rank(report.verdict))
    _line(ordered[0].verdict, _summary(ordered))
    for signatory, count in _signatories(ordered):
        _line("", f"{signatory}: {count} of {len(ordered)}")
    recordings = [report for report in ordered if report.kind != "storage"]
    # A recording may lie in two places, a copy and a proof; in one place its name says where.
    anywhere = len({Path(report.path).parent for report in recordings if report.kind == "recording"}) > 1
    if recordings:
        click.echo(
            f"\n{'VERDICT':{INDENT}} {'RECORDING':40} {'FIRST FRAME (UTC)':24} {'LENGTH':>9} {'FRAMES':>7}  MISSING"
        )
    said: set[str] = set()
    for report in ordered:
        if report.kind == "storage":
            _line(report.verdict, f"{clean(report.id)}: journal and serial numbers of the storage")
            _print_existed(report)
        else:
            _print_row(report)
            if anywhere:
                _line("", f"in {clean(str(Path(report.path).parent))}")
            _print_excerpt(report)
            _print_existed(report)
        _print_findings(report, verbose=verbose, said=said)


def _rank(verdict: str) -> int:
    return WORST_FIRST.index(verdict)


def _summary(ordered: Sequence[Report]) -> str:
    """What was verified, and how often each verdict was given: "storage evidence, 3 recordings: 1 altered, …"."""
    storages = [f"storage {clean(report.id)}" for report in ordered if report.kind == "storage"]
    statements = [report for report in ordered if report.kind == "statement"]
    recordings = [report for report in ordered if report.kind not in ("storage", "statement")]
    verdicts = Counter(report.verdict for report in [*recordings, *statements])
    numbers = [counted(len(recordings), "recording")] if recordings or not statements else []
    what = ", ".join([*storages, *numbers, *([counted(len(statements), "statement")] if statements else [])])
    each = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    lacking = sum(bool(missing_text(report)) for report in recordings)
    return what + (f": {each}" if each else "") + (f"; {lacking} not whole, see MISSING" if lacking else "")


def _signatories(reports: Sequence[Report]) -> list[tuple[str, int]]:
    """By whom how many are signed; the keys of a fleet together, by its authority."""
    return Counter(_signed_by(report, together=True) for report in reports if report.signer is not None).most_common()


def _signed_by(report: Report, *, together: bool = False) -> str:
    if report.signer is None:
        return ""
    fleet = f"keys certified by {report.signer.fingerprint}" if together and report.signer.certified else ""
    trust = "trusted" if report.signer.trusted else "a key that nobody vouches for: give --signers FILE"
    return f"signed by {fleet or report.signer.signed_by} ({trust})"


def _print_row(report: Report) -> None:
    what = f" ({report.kind})" if report.kind != "recording" else ""
    numbers = ""
    if report.started_utc:
        numbers = f" {clean(report.started_utc):24} {report.duration_s:7.1f} s {report.frames:7}"
        numbers += f"  {missing_text(report) or '-'}"
    click.echo(f"{report.verdict:{INDENT}} {clean(report.id) + what:40}{numbers}".rstrip())


def _print_block(report: Report, *, verbose: bool) -> None:
    what = f" ({report.kind})" if report.kind != "recording" else ""
    _line(report.verdict, f"{clean(report.id)}{what}")
    if report.kind == "recording" and report.started_utc:
        _line(
            "",
            f"{counted(report.segments, 'segment')}, {counted(report.frames, 'frame')}, {report.duration_s:.3f} s from "
            f"{clean(report.started_utc)}, {report.pre_event_s:.3f} s of it before the press",
        )
        _line("", f"missing by its own records: {missing_text(report) or 'nothing'}")
    _print_excerpt(report)
    _print_existed(report)
    if report.signer is not None:
        _line("", _signed_by(report))
    if report.before is not None:
        _line("", _neighbours(report.before, report.after))
    _print_findings(report, verbose=verbose, said=set())


def _print_excerpt(report: Report) -> None:
    if report.excerpt is not None:
        unchanged = "unchanged" if report.verdict == "excerpt" else "see below"
        _line("", f"an excerpt: {report.excerpt}, {unchanged}; the others are withheld, not missing")


def _print_existed(report: Report) -> None:
    """Before when it existed, by each authority once: the earliest token of a recording, the newest of a journal."""
    if report.existed is None or report.kind not in ("recording", "storage"):
        return
    if not report.existed:
        _line("", "no time-stamp that counts: only the device's own clock says when it was")
    by: dict[str, Existed] = {}
    for existed in report.existed:
        if report.kind == "storage":
            by[existed.by] = existed
        else:
            by.setdefault(existed.by, existed)
    for existed in by.values():
        what = f"{existed.what} " if existed.what else ""
        _line("", f"{clean(what)}existed before {existed.utc}, by {clean(existed.by)}")


def _neighbours(before: Neighbour, after: Neighbour | None) -> str:
    """`between number 41 (closed, 40 segments) and number 43`"""
    if not before.serial:
        first = "the first of its storage"
    else:
        state = f"{before.state}, {counted(before.segments, 'segment')}" if before.segments else before.state
        first = f"after number {before.serial} ({state or 'whose end is not known'})"
    if after is None:
        return f"{first}; what came after it is not in the proof: the newest when it was exported, or left out"
    return f"{first}, before number {after.serial} ({clean(after.recording)})"


def _print_findings(report: Report, *, verbose: bool, said: set[str]) -> None:
    """said: of keys that nobody vouches for, in the reports before this one; they are one cause."""
    for sentence in report.sentences:
        _line("", clean(sentence, SENTENCE))
    if verbose:
        for finding in report.findings:
            _line("", _said(finding))
        for note in report.notes:
            _line("", f"note: {_said(note)}")
        return
    findings = [one for one in report.findings if one.severity is not Severity.UNVOUCHED or one.what not in said]
    said.update(one.what for one in findings if one.severity is Severity.UNVOUCHED)
    causes = list(_causes(findings))
    for finding, others in causes:
        _line("", _said(finding, others))
    more = len(findings) - sum(1 + others for _, others in causes)
    left = [f"{more} that follow from {'this' if causes else 'the journal'}"] if more else []
    left += [f"{len(report.notes)} note{'s' if len(report.notes) > 1 else ''}"] if report.notes else []
    if left:
        _line("", f"and {', '.join(left)}: --verbose")


def _causes(findings: Sequence[Finding]) -> Iterator[tuple[Finding, int]]:
    """The findings that follow from no other; of those that say the same of several places, but for how long these are,
    the first, and how many more there are."""
    first: dict[str, Finding] = {}
    count: Counter[str] = Counter()
    for finding in findings:
        if not finding.follows:
            said = _LENGTHS.sub("has another length", finding.what)
            first.setdefault(said, finding)
            count[said] += 1
    for what, finding in first.items():
        yield finding, count[what] - 1


def _said(finding: Finding, others: int = 0) -> str:
    more = f" and {others} more" if others else ""
    return f"{clean(finding.where)}{more}: {clean(finding.what)}"


def _line(verdict: str, text: str) -> None:
    click.echo(f"{verdict:{INDENT}} {text}")
