"""`bwvd export`: an MP4, a contact sheet, a proof."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from bwvd.cli.options import config_option, find_recording, load_config_or_default, log_access
from bwvd.cli.printing import warn
from bwvd.cli.progress import progress_bar, size_of
from bwvd.cli.vouching import vouching
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.export.mp4 import export_mp4
from bwvd.evidence.export.proof import export_proof
from bwvd.evidence.keys.age import load_identities


@click.command()
@config_option
@click.argument("rec")
@click.option("-o", "--output", metavar="FILE", help="The MP4 to write; must not exist.")
@click.option("--sheet", metavar="FILE.png", help="A contact sheet to write, with or without an MP4.")
@click.option(
    "--identity", "identities", multiple=True, metavar="FILE", help="age identity or SSH key to decrypt with."
)
@click.option("--signers", metavar="FILE", help="allowed_signers file: only these keys count.")
@click.option("--from", "from_s", type=float, metavar="S", help="Begin at the key frame at or before S seconds.")
@click.option("--to", "to_s", type=float, metavar="S", help="End at S seconds.")
@click.option("--proof", metavar="FILE.zip", help="Also write the untouched recording with all that proves it.")
@click.option("--no-captions", is_flag=True, help="No timed text where the pictures carry no stamp.")
@click.option("--force", is_flag=True, help="Export also what does not verify.")
def export(
    config_path: str,
    rec: str,
    output: str | None,
    sheet: str | None,
    identities: tuple[str, ...],
    signers: str | None,
    from_s: float | None,
    to_s: float | None,
    proof: str | None,
    no_captions: bool,
    force: bool,
) -> None:
    """Write one recording as one MP4, without re-encoding, or as a contact sheet."""
    if not (output or sheet):
        raise click.UsageError("give -o FILE.mp4, or --sheet FILE.png, or both")
    folder = find_recording(load_config_or_default(config_path), rec)
    code = _export(
        config_path,
        folder,
        output,
        list(identities),
        sheet=sheet,
        signers=signers,
        from_s=from_s,
        to_s=to_s,
        proof=proof,
        captions=not no_captions,
        force=force,
    )
    log_access(config_path, "exported", folder, "done" if code == 0 else "refused")
    sys.exit(code)


def _export(
    config_path: str,
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
    """One MP4, a contact sheet, or both; with `proof` the untouched recording and all that proves it.

    Returns the exit code.
    """
    try:
        allowed = vouching(config_path, signers)
        keys = load_identities(identities)
    except EvidenceError as error:
        warn(str(error))
        return 2
    report = None  # of the verification, which is made once
    try:
        if output:
            with progress_bar(2 * size_of([str(folder)]), "export") as progress:
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
            from bwvd.evidence.export.contact_sheet import export_sheet  # here: only for this

            with progress_bar(size_of([str(folder)]), "sheet", quiet=report is not None) as progress:
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
            export_proof(folder, proof, signers=allowed, force=force)
            click.echo(proof)
    except EvidenceError as error:
        warn(str(error))
        return 1
    except OSError as error:
        warn(f"{error.filename or output or sheet}: {error.strerror or error}")
        return 1
    return 0
