"""`bwvd statement`: sign which recording a redaction, or anything else that was made, comes from."""

from __future__ import annotations

from pathlib import Path

import click

from bwvd.cli.interrupts import ended_in_order
from bwvd.cli.options import NAME, Failure, signers_option
from bwvd.cli.progress import progress_bar, size_of
from bwvd.cli.signing import desk_key
from bwvd.cli.vouching import listed
from bwvd.clock import SystemClock, utc_text
from bwvd.evidence.errors import EvidenceError, ExportRefused
from bwvd.evidence.export.statement import state
from bwvd.text import clean


@click.command()
@click.option("--key", required=True, type=NAME, metavar="FILE", help="OpenSSH Ed25519 key to sign with.")
@click.option("--note", required=True, metavar="TEXT", help="What was done, in a line.")
@click.option("--by", metavar="NAME", help="The name that lists have for the key; default: KEY.pub's comment.")
@signers_option("allowed_signers file of the cameras: only these keys count.")
@click.argument("original", type=NAME)
@click.argument("redacted", type=NAME)
def statement(key: str, note: str, by: str | None, signers: str | None, original: str, redacted: str) -> None:
    """Sign that REDACTED was made from ORIGINAL: an export, a recording's folder, or a proof.

    Leaves REDACTED.statement.json and its .sig; `bwvd verify REDACTED` reads them.
    """
    try:
        allowed = listed(signers)
    except EvidenceError as error:
        raise Failure(str(error), 2) from None
    signer, name = desk_key(key, by, allowed)
    now = utc_text(SystemClock().read().utc_ns)
    try:
        with ended_in_order(), progress_bar(size_of([original]), "statement") as progress:
            made = state(
                Path(original),
                Path(redacted),
                signer,
                by=name,
                note=note,
                made_utc=now,
                signers=allowed,
                progress=progress,
            )
    except ExportRefused as error:
        raise Failure(str(error), 1) from None
    click.echo(f"{clean(str(made.path))}: made from {clean(made.statement.original.text)}")
