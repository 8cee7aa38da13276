"""Sealing, held against stock age in both directions."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.evidence.errors import EvidenceError, IdentityUnusable, RecipientsUnusable
from bwvd.evidence.keys.age import AgeSealer, load_identities, load_recipients, open_sealed, private_json
from tests.support.evidence_keys import stock_key
from tests.support.stock import need

PLAIN = bytes(range(256)) * 1000


def age(*arguments: str | Path, data: bytes = b"") -> bytes:
    return subprocess.run([need("age"), *map(str, arguments)], input=data, check=True, capture_output=True).stdout


def age_identity(path: Path) -> tuple[Path, str]:
    """An identity file made by stock age-keygen, and its recipient."""
    done = subprocess.run([need("age-keygen"), "-o", path], check=True, capture_output=True, text=True)
    return path, done.stderr.split()[-1]


def test_stock_age_opens_what_we_seal_and_we_open_what_it_seals(tmp_path: Path) -> None:
    (agency, agency_key), (escrow, escrow_key) = age_identity(tmp_path / "agency"), age_identity(tmp_path / "escrow")
    sealer = load_recipients([agency_key, escrow_key])
    assert sealer is not None
    assert sealer.recipients == [agency_key, escrow_key]
    sealed = sealer.seal(PLAIN)
    assert 0 < len(sealed) - len(PLAIN) < 1000
    for identity in (agency, escrow):
        assert age("-d", "-i", identity, data=sealed) == PLAIN
        assert open_sealed(sealed, load_identities([identity])) == PLAIN
    by_stock = age("-r", agency_key, data=PLAIN)
    assert open_sealed(by_stock, load_identities([agency])) == PLAIN
    with pytest.raises(IdentityUnusable, match="can't be decrypted"):
        open_sealed(by_stock, load_identities([escrow]))


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_ssh_keys_are_recipients(tmp_path: Path, kind: str) -> None:
    key = stock_key(tmp_path / "key", kind)
    line = (tmp_path / "key.pub").read_text()
    sealer = load_recipients([line])
    assert sealer is not None
    assert sealer.recipients == [" ".join(line.split()[:2])]
    sealed = sealer.seal(PLAIN)
    assert age("-d", "-i", key, data=sealed) == PLAIN
    assert open_sealed(sealed, load_identities([key])) == PLAIN
    assert open_sealed(age("-R", tmp_path / "key.pub", data=PLAIN), load_identities([key])) == PLAIN


def test_a_file_of_recipients(tmp_path: Path) -> None:
    (_, first), (_, second) = age_identity(tmp_path / "a"), age_identity(tmp_path / "b")
    listed = tmp_path / "recipients"
    listed.write_text(f"# the agency\n\n  {first}\n{second}\n{first}\n")
    sealer = load_recipients([str(listed)])
    assert sealer is not None
    assert sealer.recipients == [first, second]


def test_no_recipients_no_sealer() -> None:
    assert load_recipients([]) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("# nobody\n", "holds no recipient"),
        ("", "holds no recipient"),
        ("\nage1nonsense\n", "line 2"),
        ("AGE-SECRET-KEY-1QQQ\n", "holds a secret key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n", "holds a secret key"),
    ],
)
def test_a_bad_file_of_recipients_is_refused(tmp_path: Path, content: str, message: str) -> None:
    listed = tmp_path / "recipients"
    listed.write_text(content)
    with pytest.raises(RecipientsUnusable, match=message) as caught:
        load_recipients([str(listed)])
    assert "keys.recipients" in str(caught.value)
    assert str(listed) in str(caught.value)


@pytest.mark.parametrize("entry", ["age1nonsense", "ssh-ed25519 AAAA", "/no/such/file", "", "a\0b", "ssh-"])
def test_a_bad_entry_is_refused_in_one_line(entry: str) -> None:
    with pytest.raises(RecipientsUnusable, match=r"keys\.recipients") as caught:
        load_recipients([entry])
    assert "\n" not in str(caught.value)


def test_a_fifo_or_folder_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo"):
        with pytest.raises(RecipientsUnusable, match="regular file"):
            load_recipients([str(path)])
        with pytest.raises(IdentityUnusable, match="regular file"):
            load_identities([path])


@pytest.mark.parametrize(
    "content", ["", "# only this\n", "hello\n", "AGE-SECRET-KEY-1QQQ\n", "age-encryption.org/v1\n"]
)
def test_a_bad_identity_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "identity"
    path.write_text(content)
    with pytest.raises(IdentityUnusable) as caught:
        load_identities([path])
    assert str(path) in str(caught.value)


def test_an_encrypted_ssh_key_is_refused(tmp_path: Path) -> None:
    command = [need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "secret", "-f", tmp_path / "key"]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    with pytest.raises(IdentityUnusable, match=r"key: has a passphrase, .*: ssh-keygen -p -f COPY$"):
        load_identities([tmp_path / "key"])


def test_an_absent_identity_is_named(tmp_path: Path) -> None:
    with pytest.raises(IdentityUnusable, match="none: No such file"):
        load_identities([tmp_path / "none"])


_IDENTITY = pyrage.x25519.Identity.generate()
_SEALED = AgeSealer([str(_IDENTITY.to_public())]).seal(b"private")


@given(st.integers(0, len(_SEALED) * 8 - 1))
def test_a_flipped_bit_never_opens(bit: int) -> None:
    bad = bytearray(_SEALED)
    bad[bit // 8] ^= 1 << bit % 8
    with pytest.raises(IdentityUnusable):
        open_sealed(bytes(bad), [_IDENTITY])


@given(st.integers(0, len(_SEALED) - 1))
def test_a_cut_file_never_opens(size: int) -> None:
    with pytest.raises(IdentityUnusable):
        open_sealed(_SEALED[:size], [_IDENTITY])


@given(st.text(max_size=100))
def test_rubbish_recipients_are_one_line(text: str) -> None:
    with pytest.raises(EvidenceError) as caught:
        AgeSealer([text])
    assert "\n" not in str(caught.value)


def test_private_json_hides_what_its_hash_covers() -> None:
    plain = private_json({"officer": "Müller 4711"}, bytes(16))
    assert json.loads(plain) == {"officer": "Müller 4711", "salt": "00" * 16}
    assert plain == private_json({"officer": "Müller 4711"}, bytes(16))
    assert plain != private_json({"officer": "Müller 4711"}, bytes(15) + b"\1")
    with pytest.raises(ValueError, match="salt"):
        private_json({}, b"short")
