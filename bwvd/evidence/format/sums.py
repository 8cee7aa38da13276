"""SHA256SUMS and its signature: what is written after a recording's last record, for stock tools."""

from __future__ import annotations

from bwvd import hashing
from bwvd.evidence.errors import SignatureBad
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format.chain import SUMS_NAMESPACE
from bwvd.evidence.format.layout import SUMS, SUMS_SIGNATURE
from bwvd.evidence.format.sums_text import SIGNATURE_BYTES, SUMS_BYTES, parse_sums
from bwvd.evidence.keys.ssh_keys import Certificate, PublicKey
from bwvd.evidence.keys.sshsig import Signature, armour, unarmour


def check_signature(sums: bytes, signature: bytes) -> PublicKey | Certificate:
    """Who signed `sums`.

    Raises: SignatureBad.
    """
    text = signature.decode("ascii", "replace")
    blob = unarmour(text)
    if armour(blob) != text:  # not one byte of the file is free to be changed
        raise SignatureBad("not in the form in which signatures are written")
    return Signature.parse(blob).verify(hashing.sha512(sums).digest(), SUMS_NAMESPACE)


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
