"""Keys with which a person at a desk signs receipts and statements, and the name under which lists know them."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import click

from bwvd.cli.options import Failure
from bwvd.evidence.errors import KeyUnusable
from bwvd.evidence.flash.regular_file import read_regular
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.named_signer import a_devices, device_lines
from bwvd.evidence.keys.sshsig import KeySigner

_NAME = re.compile(r'[^\s"#,!*?\\]+')  # stands in a list of signers as it is
_PUBLIC_KEY_BYTES = 65_536


def desk_key(path: str, by: str | None, signers: AllowedSigners | None) -> tuple[KeySigner, str]:
    """The signing key at `path` and its owner's name: `by`, or what its certificate or KEY.pub's comment says.

    Raises: Failure (exit 2) for a key that can't be used, has no name, or that `signers` has for what devices sign.
    """
    try:
        signer = KeySigner.load(path)
    except KeyUnusable as error:
        raise Failure(str(error), 2) from None
    known = device_lines([signers] if signers is not None else [])
    for key in (signer.key, *([signer.certificate.authority] if signer.certificate is not None else [])):
        if (line := known.get(key.blob)) is not None:
            raise Failure(f"{path}: {key.fingerprint} is {a_devices(line)}: a device signs for nobody else", 2)
    name = by if by is not None else _own_name(Path(path), signer)
    if not name.isprintable() or not _NAME.fullmatch(name):
        raise click.UsageError("give --by NAME, the one name under which a list of signers has the key: no spaces")
    return signer, name


def _own_name(path: Path, signer: KeySigner) -> str:
    if signer.certificate is not None:
        return signer.certificate.principals[0] if len(signer.certificate.principals) == 1 else ""
    with suppress(OSError, UnicodeDecodeError):
        text = read_regular(path.with_name(path.name + ".pub"), _PUBLIC_KEY_BYTES, follow=True).decode()
        kind, blob, comment = text.split(maxsplit=2) if len(text.split(maxsplit=2)) == 3 else ("", "", "")
        if f"{kind} {blob}" == signer.public_key:
            return comment.strip()
    return ""
