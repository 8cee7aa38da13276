"""The officer's id, kept over restarts: on the flash, but readable with the device's signing key alone.

The id is private: a stolen card must not tell it. The device holds no key that opens what is sealed for the agency, so
this one file is encrypted with a key that only the device's signer can make again: its signatures are deterministic.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from bwvd.evidence.flash.new_file import replace_file
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format.chain import Signer
from bwvd.evidence.format.layout import NEW, OFFICER

NAMESPACE = "bwvd-wearer-key"  # signed for nothing else, and the signature is never written anywhere
_MESSAGE = hashlib.sha512(b"the key of the wearer's id").digest()
_NONCE_BYTES = 12
_MAX_BYTES = 4096


def save_officer(volume: Volume, signer: Signer, officer: str) -> None:
    """Keep `officer`, or forget with "". Durable when this returns. Blocking; may raise OSError."""
    if officer:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = ChaCha20Poly1305(_key(signer)).encrypt(nonce, officer.encode(), None)
        replace_file(volume, OFFICER, [nonce + sealed])
        return
    for name in (OFFICER + NEW, OFFICER):
        with suppress(FileNotFoundError):
            volume.remove(name)
    volume.sync_dir("")


def load_officer(volume: Volume, signer: Signer) -> str:
    """The id that was kept; "" if there is none, or if it was kept under another key. Blocking; may raise OSError."""
    if OFFICER not in volume.names(""):
        return ""
    data = volume.read(OFFICER, 0, _MAX_BYTES)
    with suppress(InvalidTag, ValueError):
        plain = ChaCha20Poly1305(_key(signer)).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], None)
        return plain.decode("utf-8", "replace")
    return ""


def _key(signer: Signer) -> bytes:
    return hashlib.sha256(signer.sign(_MESSAGE, NAMESPACE)).digest()
