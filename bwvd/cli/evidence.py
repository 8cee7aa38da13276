"""Commands on a device's evidence that read little: list, show, release, keygen."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from bwvd.cli.options import (
    Failure,
    ask,
    config_option,
    find_recording,
    json_option,
    load_config,
    load_config_or_default,
    print_json,
)

_RECEIPT_BYTES = 1_048_576


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
@config_option
@click.argument("rec")
@click.option("--receipt", required=True, metavar="FILE", help="The agency's signed receipt for this recording.")
def release(config_path: str, rec: str, receipt: str) -> None:
    """Delete one recording that its agency has acknowledged; a signature may lie beside the receipt as FILE.sig."""
    from bwvd.evidence.flash.regular_file import read_regular

    config = load_config(config_path)
    name = find_recording(config, rec).name
    beside = Path(f"{receipt}.sig")
    try:
        text = read_regular(receipt, _RECEIPT_BYTES, follow=True).decode("utf-8")
        signature = read_regular(beside, _RECEIPT_BYTES, follow=True).decode("utf-8") if beside.exists() else None
    except OSError as error:
        raise Failure(f"{error.filename or receipt}: {error.strerror}", 2) from None
    except UnicodeDecodeError as error:
        raise Failure(f"{receipt}: {error}", 2) from None
    payload = {"cmd": "release", "recording": name, "receipt": text, "signature": signature}
    click.echo(ask(config_path, payload, timeout_s=600)["text"])


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
