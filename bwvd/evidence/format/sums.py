"""SHA256SUMS and its signature: what is written after a recording's last record, for stock tools."""

from __future__ import annotations

import hashlib
import re

from bwvd.evidence.errors import SignatureBad
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format.chain import SUMS_NAMESPACE
from bwvd.evidence.format.layout import SUMS, SUMS_SIGNATURE
from bwvd.evidence.keys.ssh_keys import Certificate, PublicKey
from bwvd.evidence.keys.sshsig import Signature, armour, unarmour

SUMS_BYTES = 67_108_864  # more than a week of one-second segments; a larger file is none of ours
SIGNATURE_BYTES = 65_536

_LINE = re.compile(r"([0-9a-f]{64})  ([^/\0]+)")
_ARMOUR_END = b"-----END SSH SIGNATURE-----\n"


def is_whole(signature: bytes) -> bool:
    """Whether the text of SHA256SUMS.sig was written to its end."""
    return signature.endswith(_ARMOUR_END)


def check_signature(sums: bytes, signature: bytes) -> PublicKey | Certificate:
    """Who signed `sums`.

    Raises: SignatureBad.
    """
    text = signature.decode("ascii", "replace")
    blob = unarmour(text)
    if armour(blob) != text:  # not one byte of the file is free to be changed
        raise SignatureBad("not in the form in which signatures are written")
    return Signature.parse(blob).verify(hashlib.sha512(sums).digest(), SUMS_NAMESPACE)


def read_sums(volume: Volume, folder: str) -> dict[str, str]:
    """What a recording's SHA256SUMS lists, its signature checked. Blocking.

    Raises: SignatureBad; ValueError, naming the line; OSError.
    """
    return read_signed_sums(volume, folder)[0]


def read_signed_sums(volume: Volume, folder: str) -> tuple[dict[str, str], PublicKey | Certificate]:
    """The same, and who has signed them."""
    sums = volume.read(f"{folder}/{SUMS}", 0, SUMS_BYTES)
    signer = check_signature(sums, volume.read(f"{folder}/{SUMS_SIGNATURE}", 0, SIGNATURE_BYTES))
    return parse_sums(sums), signer


def parse_sums(sums: bytes) -> dict[str, str]:
    """Names and SHA-256 in hex, as `sha256sum -c` reads them.

    Raises: ValueError, naming the line.
    """
    listed: dict[str, str] = {}
    lines = sums.decode("utf-8", "surrogateescape").split("\n")
    if lines.pop() != "":
        raise ValueError("the last line has no end")
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line)
        if found is None:
            raise ValueError(f"line {number} is not a checksum and a name")
        if found[2] in listed:
            raise ValueError(f"line {number} names {found[2]} a second time")
        listed[found[2]] = found[1]
    return listed
