"""`bwvd keygen`: a device's signing key, and who may read it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from bwvd.cli.options import NAME, Failure

GROUP = "bwvd"
"""That of the units, which reads the key and can't write it."""


@click.command()
@click.argument("folder", type=NAME, metavar="DIR")
@click.option("--device", default="bwvd", show_default=True, help="The device's id: its principal in allowed_signers.")
def keygen(folder: str, device: str) -> None:
    """Make a signing key in DIR: device_key, device_key.pub, allowed_signers.

    In /etc/bwvd, of this machine or of a mounted one, root lends the key to the group bwvd, as which the service runs.
    """
    from bwvd.config.syntax import device_id
    from bwvd.evidence.errors import EvidenceError
    from bwvd.evidence.keys.sshsig import keygen as make_key

    if why := device_id(device):  # above all no pattern: a list with `*` in it would let this key sign for every device
        raise click.UsageError(f"--device {device!r} {why}")
    try:
        root = installed_root(Path(folder)) if os.geteuid() == 0 else None
        group = None if root is None else group_number(root)
        made = make_key(Path(folder), device, group=group)
    except (EvidenceError, OSError) as error:
        raise Failure(str(error), 2) from None
    for path in made:
        click.echo(path)
    if group is not None:
        click.echo(f"{made[0].name}: root:{GROUP} 0640, for the service to read", err=True)
    elif root is not None:
        how = f"systemd-sysusers, then chown root:{GROUP} and chmod 640 it"
        click.echo(f"{made[0].name}: root alone can read it, as there is no group {GROUP} yet: {how}", err=True)


def installed_root(folder: Path) -> Path | None:
    """The file system whose etc/bwvd this folder is; None: it is another folder."""
    folder = folder.resolve()
    return folder.parents[1] if folder.parts[-2:] == ("etc", "bwvd") else None


def group_number(root: Path) -> int | None:
    """The units' group as the machine with this root numbers it; None: it has none. Raises OSError."""
    if root == Path("/"):
        import grp  # by the system's own ways: a directory may know groups that the file does not

        try:
            return grp.getgrnam(GROUP).gr_gid
        except KeyError:
            return None
    try:
        text = (root / "etc/group").read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return None
    for line in text.splitlines():
        name, *rest = line.split(":")
        if name == GROUP and len(rest) >= 2 and rest[1].isascii() and rest[1].isdigit():
            return int(rest[1])
    return None
