"""Commands on a device's evidence that read little: list, show, keygen."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from bwvd.cli.options import (
    Failure,
    config_option,
    find_recording,
    json_option,
    load_config,
    load_config_or_default,
    print_json,
)


@click.command("list")
@config_option
@json_option
def list_(config_path: str, as_json: bool) -> None:
    """List the recordings on this device."""
    from bwvd.cli.evidence_printing import print_list
    from bwvd.evidence.errors import EvidenceError
    from bwvd.evidence.export.catalogue import catalogue

    try:
        entries = catalogue(Path(load_config(config_path).storage.path))
    except EvidenceError as error:
        raise Failure(str(error), 2) from None
    if as_json:
        print_json([asdict(entry) for entry in entries])
    else:
        print_list(entries)


@click.command()
@config_option
@json_option
@click.argument("rec")
def show(config_path: str, as_json: bool, rec: str) -> None:
    """Show one recording: REC is an id, a serial number, "last", or a folder."""
    from bwvd.cli.evidence_printing import print_recording
    from bwvd.evidence.errors import EvidenceError
    from bwvd.evidence.export.describe import describe

    try:
        document = describe(find_recording(load_config_or_default(config_path), rec))
    except (EvidenceError, OSError) as error:
        raise Failure(str(error), 1) from None
    if as_json:
        print_json(document)
    else:
        print_recording(document)


@click.command()
@click.argument("folder", metavar="DIR")
@click.option("--device", default="bwvd", show_default=True, help="The device's id: its principal in allowed_signers.")
def keygen(folder: str, device: str) -> None:
    """Make a signing key in DIR: device_key, device_key.pub, allowed_signers."""
    from bwvd.evidence.errors import EvidenceError
    from bwvd.evidence.keys.sshsig import keygen as make_key

    try:
        made = make_key(Path(folder), device)
    except (EvidenceError, OSError) as error:
        raise Failure(str(error), 2) from None
    for path in made:
        click.echo(path)
