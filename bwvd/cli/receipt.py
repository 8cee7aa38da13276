"""`bwvd receipt`: verify copies, and sign for each that is good that the camera may let go of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from bwvd.cli.interrupts import ended_in_order
from bwvd.cli.options import NAME, Failure, json_option, print_json
from bwvd.cli.printing import warn
from bwvd.cli.progress import progress_bar, size_of
from bwvd.cli.signing import desk_key
from bwvd.cli.vouching import default_lists, listed
from bwvd.clock import SystemClock, utc_text
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.keys.sshsig import KeySigner
from bwvd.evidence.release.issue import NoReceipt, issue, look
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
@click.option(
    "--signers", type=NAME, metavar="FILE", help="allowed_signers file of the cameras: only these keys count."
)
@click.argument("paths", type=NAME, nargs=-1, required=True, metavar="PATH…")
def receipt(as_json: bool, key: str, by: str | None, output: str, signers: str | None, paths: tuple[str, ...]) -> None:
    """Verify copies of recordings, and sign a receipt for each good one: with it the camera may delete its own."""
    try:
        allowed = listed(signers)
    except EvidenceError as error:
        raise Failure(str(error), 2) from None
    if allowed is None:
        places = " or ".join(map(str, default_lists()))
        raise Failure(f"nobody says whose recordings are good: give --signers FILE, or make {places}", 2)
    signer, name = desk_key(key, by, allowed)
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"{folder}: {error.strerror}", 2) from None
    outcomes = []
    good = True
    with ended_in_order():
        for path in paths:  # one after the other: what is changed meanwhile is changed for as short a time as can be
            before = look(path)
            with progress_bar(size_of([path]), "verify", quiet=as_json) as progress:
                reports = verify_paths([path], allowed, progress=progress)
            for report in reports:
                outcome = _receipt(report, signer, name, folder, before)
                good = good and not outcome["reason"]
                if report.kind != "storage" or outcome["reason"]:
                    outcomes.append(outcome)
                    if not as_json:
                        _say(outcome)
    if as_json:
        print_json(outcomes)
    elif not outcomes:
        warn("there is no recording")
    sys.exit(0 if good and outcomes else 1)


def _receipt(
    report: Report, signer: KeySigner, name: str, folder: Path, before: dict[str, dict[str, tuple[int, ...]]]
) -> dict[str, Any]:
    """What came of one report; `reason` is why there is no receipt, "" if there is one."""
    what: dict[str, Any] = {"id": report.id, "kind": report.kind, "verdict": report.verdict}
    outcome = {**what, "receipt": None, "new": False, "reason": ""}
    if report.kind == "storage":
        if report.good:
            return outcome
        first = report.findings[0]
        return {**outcome, "reason": f"storage {report.path} is {report.verdict}: {first.where}: {first.what}"}
    received = utc_text(SystemClock().read().utc_ns)
    try:
        issued = issue(report, signer, by=name, received_utc=received, folder=folder, before=before)
    except NoReceipt as error:
        return {**outcome, "reason": str(error)}
    except EvidenceError as error:
        return {**outcome, "reason": f"{report.id}: {error}"}
    return {**outcome, "receipt": str(issued.path), "new": issued.new}


def _say(outcome: dict[str, Any]) -> None:
    if outcome["reason"]:
        warn(outcome["reason"] if outcome["kind"] == "storage" else f"no receipt: {outcome['reason']}")
        return
    there = "" if outcome["new"] else " (was there already)"
    click.echo(f"{clean(outcome['receipt'])}: {clean(outcome['id'])} {outcome['verdict']}{there}")
