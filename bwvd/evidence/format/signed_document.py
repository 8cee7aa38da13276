"""Signed documents of people and servers: a file with its armoured signature beside it (`ssh-keygen -Y sign`)."""

from __future__ import annotations

from pathlib import Path

from bwvd import hashing
from bwvd.evidence.errors import SignatureBad
from bwvd.evidence.flash.regular_file import read_regular
from bwvd.evidence.flash.whole_file import new_files
from bwvd.evidence.keys.ssh_keys import Certificate, PublicKey
from bwvd.evidence.keys.sshsig import KeySigner, Signature, armour, unarmour

DOCUMENT_BYTES = 65_536  # a larger one, or a larger signature, is none
_MODE = 0o644  # it goes to other people


def signature_path(path: Path) -> Path:
    """Where the signature of a document lies."""
    return path.with_name(path.name + ".sig")


def write_signed(path: Path, text: bytes, signer: KeySigner, namespace: str) -> None:
    """Leave a document and its signature, both durable, where neither was. Blocking.

    The document is the last of the two to be there: a power cut leaves none that has no signature.

    Raises: ExportRefused, also for an OSError; then neither is there.
    """
    signature = armour(signer.sign(hashing.sha512(text).digest(), namespace)).encode()
    beside = signature_path(path)
    with new_files([beside, path]) as temporary:
        for content, file in zip((signature, text), temporary, strict=True):
            file.write_bytes(content)
            file.chmod(_MODE)


def read_signed(path: Path, namespace: str) -> tuple[bytes, PublicKey | Certificate]:
    """A document and who signed it, whoever that is; strict: not one byte of either file is free to be changed.

    Raises: OSError, with the file in `filename`; SignatureBad.
    """
    text = read_regular(path, DOCUMENT_BYTES)
    signature = read_regular(signature_path(path), DOCUMENT_BYTES).decode("ascii", "replace")
    blob = unarmour(signature)
    if armour(blob) != signature:
        raise SignatureBad("not in the form in which signatures are written")
    return text, Signature.parse(blob).verify(hashing.sha512(text).digest(), namespace)
