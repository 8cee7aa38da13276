"""`bwvd receipt`: verify copies, and sign for each that is good that the camera may let go of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click

from bwvd.cli.interrupts import ended_in_order
from bwvd.cli.options import NAME, Failure, json_option, print_json, signers_option
from bwvd.cli.printing import warn
from bwvd.cli.progress import progress_bar, size_of
from bwvd.cli.signing import desk_key
from bwvd.cli.vouching import default_lists, listed
from bwvd.clock import SystemClock, utc_text
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.release.issue import Desk, Issued, Look, NoReceipt, issue, issue_archive, look
from bwvd.evidence.verify.paths import verify_paths
from bwvd.evidence.verify.report import Report
from bwvd.text import clean


@click.command()
@json_option
@click.option(
    "--key", required=True, type=NAME, metavar="FILE", help="OpenSSH Ed25519 key that the cameras' keys.release lists."
)
@click.option("--by", metavar="NAME", help="The name that the list has for the key; default: KEY.pub's comment.")
@click.option("-o", "--output", default=".", type=NAME, metavar="DIR", help="Where the receipts go; default: here.")
@signers_option("allowed_signers file of the cameras: only these keys count.")
@click.argument("paths", type=NAME, nargs=-1, required=True, metavar="PATH…")
def receipt(as_json: bool, key: str, by: str | None, output: str, signers: str | None, paths: tuple[str, ...]) -> None:
    """Verify copies, and sign a receipt for each good recording, and archive of a copied storage's journal.

    With it the camera may delete its own (`bwvd release`).
    """
    try:
        allowed = listed(signers)
    except EvidenceError as error:
        raise Failure(str(error), 2) from None
    if allowed is None:
        places = " or ".join(map(str, default_lists()))
        raise Failure(f"nobody says whose recordings are good: give --signers FILE, or make {places}", 2)
    signer, name = desk_key(key, by, allowed)
    desk = Desk(signer, name, Path(output))
    try:
        desk.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"{desk.folder}: {error.strerror}", 2) from None
    outcomes = []
    good = True
    with ended_in_order():
        for path in paths:  # one after the other: what is changed meanwhile is changed for as short a time as can be
            before = look(path)
            with progress_bar(size_of([path]), "verify", quiet=as_json) as progress:
                reports = verify_paths([path], allowed, progress=progress)
            for report in reports:
                for outcome in _receipts(report, desk, before):
                    good = good and not outcome["reason"]
                    outcomes.append(outcome)
                    if not as_json:
                        _say(outcome)
    if as_json:
        print_json(outcomes)
    elif not outcomes:
        warn("there is no recording")
    sys.exit(0 if good and outcomes else 1)


def _receipts(report: Report, desk: Desk, before: Look) -> Iterator[dict[str, Any]]:
    """What came of one report; each one's `reason` is why there is no receipt, "" if there is one."""
    received = utc_text(SystemClock().read().utc_ns)
    if report.kind != "storage":
        yield _outcome(
            {"id": report.id, "kind": report.kind, "verdict": report.verdict},
            partial(issue, report, desk, received_utc=received, before=before),
        )
        return
    if not report.good:
        reason = f"storage {report.path} is {report.verdict}: {report.why}"
        none = {"receipt": None, "new": False, "reason": reason}
        yield {"id": report.id, "kind": report.kind, "verdict": report.verdict, **none}
    for archive in report.archives:
        verdict = report.verdict if archive.problem else "authentic"
        yield _outcome(
            {"id": archive.name, "kind": "archive", "verdict": verdict},
            partial(issue_archive, report, archive, desk, received_utc=received, before=before),
        )


def _outcome(what: dict[str, Any], give: Callable[[], Issued]) -> dict[str, Any]:
    none = {**what, "receipt": None, "new": False}
    try:
        issued = give()
    except NoReceipt as error:
        return {**none, "reason": str(error)}
    except EvidenceError as error:
        return {**none, "reason": f"{what['id']}: {error}"}
    return {**what, "receipt": str(issued.path), "new": issued.new, "reason": ""}


def _say(outcome: dict[str, Any]) -> None:
    if outcome["reason"]:
        warn(outcome["reason"] if outcome["kind"] == "storage" else f"no receipt: {outcome['reason']}")
        return
    there = "" if outcome["new"] else " (was there already)"
    click.echo(f"{clean(outcome['receipt'])}: {clean(outcome['id'])} {outcome['verdict']}{there}")
