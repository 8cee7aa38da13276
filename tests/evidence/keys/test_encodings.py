"""Files of text that an editor or a shell has saved as something else: named as that, not as a line that is wrong."""

from __future__ import annotations

import codecs
from pathlib import Path

import pyrage
import pytest

from bwvd.evidence.errors import IdentityUnusable, RecipientsUnusable, SignersUnusable
from bwvd.evidence.keys.age import load_identities, load_recipients
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.release.receipt import ReceiptBad, read_receipt
from bwvd.text import foreign_encoding
from tests.support.evidence_keys import fixed_signer

SAVED = pytest.mark.parametrize(
    ("mark", "encoding", "said"),
    [
        (codecs.BOM_UTF8, "utf-8", "begins with a byte order mark"),
        (codecs.BOM_UTF16_LE, "utf-16-le", "is UTF-16"),
        (codecs.BOM_UTF16_BE, "utf-16-be", "is UTF-16"),
        (b"", "utf-16-le", "is UTF-16"),
        (b"", "utf-16-be", "is UTF-16"),
        (codecs.BOM_UTF32_LE, "utf-32-le", "is UTF-32"),
    ],
    ids=["mark", "little", "big", "little without", "big without", "wide"],
)


@SAVED
def test_signers_identities_recipients_and_receipts_say_what_they_are(
    tmp_path: Path, mark: bytes, encoding: str, said: str
) -> None:
    wrong = rf"{said}: save it as UTF-8 without a byte order mark"
    identity = pyrage.x25519.Identity.generate()
    path = tmp_path / "file"

    def saved(text: str) -> bytes:
        path.write_bytes(mark + text.encode(encoding))
        return path.read_bytes()

    saved(f"camera {fixed_signer(1).public_key}\n")
    with pytest.raises(SignersUnusable, match=f"^{path} {wrong}$"):
        AllowedSigners.load(path)
    saved(f"{identity}\n")
    with pytest.raises(IdentityUnusable, match=f"^{path} {wrong}$"):
        load_identities([path])
    saved(f"{identity.to_public()}\n")
    with pytest.raises(RecipientsUnusable, match=f"^keys.recipients: {path} {wrong}$"):
        load_recipients([str(path)])
    receipt = saved('{"type":"receipt"}\n')
    with pytest.raises(ReceiptBad, match=f"^the receipt {wrong}$"):
        read_receipt(receipt, b"signature")
    with pytest.raises(ReceiptBad, match=f"^the receipt's signature {wrong}$"):
        read_receipt(b'{"type":"receipt"}\n', saved("-----BEGIN SSH SIGNATURE-----\n"))


@pytest.mark.parametrize("text", ["", "a", "# für wen\n", "кто\n", "{}", "\n\n\n\n"])
def test_what_is_utf8_is_none_of_these(text: str) -> None:
    assert foreign_encoding(text.encode()) == ""
