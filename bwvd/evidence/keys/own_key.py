"""The device's own signing key as a list of allowed signers: on the device it vouches for what it has signed."""

from __future__ import annotations

import os
from pathlib import Path

from bwvd.evidence.errors import KeyUnusable
from bwvd.evidence.flash.regular_file import read_regular
from bwvd.evidence.keys.allowed_signers import DEFAULT_PRINCIPAL, AllowedSigners
from bwvd.evidence.keys.ssh_keys import Certificate, PublicKey, parse_key_line
from bwvd.evidence.keys.sshsig import KeySigner, allowed_signers_line

_KEY_FILE_BYTES = 65_536


def own_key(path: str | Path, device: str) -> AllowedSigners | None:
    """The device's own key: the one at `path`, and the authority of the certificate beside it.

    It counts for what the device has signed under whatever id, `device` or an earlier one.

    The private key is read where this process may, or else its public half, `KEY.pub`. None if neither can be read:
    then the device vouches for nothing here. Blocking.
    """
    path = Path(path)
    try:
        signer = KeySigner.load(path)
        key, certificate = signer.key, signer.certificate
    except KeyUnusable:
        try:
            public = _public(path.with_name(path.name + ".pub"))
            beside = path.with_name(path.name + "-cert.pub")
            certified = _public(beside) if os.path.lexists(beside) else None
        except (OSError, KeyUnusable):
            return None
        if not isinstance(public, PublicKey):
            return None
        key = public
        certificate = certified if isinstance(certified, Certificate) else None
    names = ",".join(dict.fromkeys((device, DEFAULT_PRINCIPAL)))
    try:
        text = allowed_signers_line(names, key.line)
        if certificate is not None and certificate.key.blob == key.blob:
            text += allowed_signers_line(",".join(certificate.principals), certificate.authority.line, authority=True)
    except KeyUnusable:  # a device's id that no list can hold
        return None
    return AllowedSigners.parse(text.encode(), str(path))


def _public(path: Path) -> PublicKey | Certificate:
    return parse_key_line(read_regular(path, _KEY_FILE_BYTES, follow=True).decode("utf-8", "replace"))
