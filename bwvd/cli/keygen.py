"""`bwvd keygen`: a device's signing key."""

from __future__ import annotations

from pathlib import Path

import click

from bwvd.cli.options import NAME, Failure


@click.command()
@click.argument("folder", type=NAME, metavar="DIR")
@click.option("--device", default="bwvd", show_default=True, help="The device's id: its principal in allowed_signers.")
def keygen(folder: str, device: str) -> None:
    """Make a signing key in DIR: device_key, device_key.pub, allowed_signers."""
    from bwvd.config.syntax import device_id
    from bwvd.evidence.errors import EvidenceError
    from bwvd.evidence.keys.sshsig import keygen as make_key

    if why := device_id(device):  # above all no pattern: a list with `*` in it would let this key sign for every device
        raise click.UsageError(f"--device {device!r} {why}")
    try:
        made = make_key(Path(folder), device)
    except (EvidenceError, OSError) as error:
        raise Failure(str(error), 2) from None
    for path in made:
        click.echo(path)
