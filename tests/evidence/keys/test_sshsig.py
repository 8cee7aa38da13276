"""Signatures, held against stock ssh-keygen in both directions."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.evidence.errors import EvidenceError, KeyUnusable, SignatureBad
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE, MANIFEST_NAMESPACE, SUMS_NAMESPACE
from bwvd.evidence.keys.ssh_keys import PublicKey, parse_key, parse_key_line
from bwvd.evidence.keys.sshsig import (
    NAMESPACES,
    KeySigner,
    Signature,
    allowed_signers_line,
    armour,
    keygen,
    unarmour,
)
from tests.support.evidence_keys import certify, fixed_signer, ssh_keygen, stock_key, stock_sign, stock_verify

MESSAGE = b"what the camera saw\n"
DIGEST = hashlib.sha512(MESSAGE).digest()


def test_keygen_makes_what_ssh_keygen_reads(tmp_path: Path) -> None:
    paths = keygen(tmp_path / "keys", "BWV-0001")
    assert [p.name for p in paths] == ["device_key", "device_key.pub", "allowed_signers"]
    assert paths[0].stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in paths[0].parent.iterdir()) == ["allowed_signers", "device_key", "device_key.pub"]
    derived = ssh_keygen("-y", "-f", paths[0])
    signer = KeySigner.load(paths[0])
    assert derived.stdout.decode().split()[:2] == signer.public_key.split()
    assert paths[1].read_text().startswith(signer.public_key)
    assert 'namespaces="bwvd-manifest,bwvd-journal,bwvd-sums" ' in paths[2].read_text()
    assert NAMESPACES.split(",") == [MANIFEST_NAMESPACE, JOURNAL_NAMESPACE, SUMS_NAMESPACE]
    listed = ssh_keygen("-l", "-f", paths[1])
    assert signer.key.fingerprint in listed.stdout.decode()


@pytest.mark.parametrize("taken", ["device_key", "device_key.pub", "allowed_signers"])
def test_keygen_never_overwrites(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("precious")
    with pytest.raises(KeyUnusable, match=f"{taken} exists"):
        keygen(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [taken]
    assert (tmp_path / taken).read_text() == "precious"


def test_keygen_says_where_it_may_not_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeyUnusable, match="file"):
        keygen(tmp_path / "file")


@pytest.mark.parametrize("namespace", [MANIFEST_NAMESPACE, JOURNAL_NAMESPACE, SUMS_NAMESPACE])
def test_stock_ssh_keygen_verifies_ours(tmp_path: Path, namespace: str) -> None:
    """Invariant 7: the signature is one that a stock tool checks."""
    key, _, signers = keygen(tmp_path, "BWV-0001")
    signature = tmp_path / "sig"
    signature.write_text(armour(KeySigner.load(key).sign(DIGEST, namespace)))
    assert stock_verify(signers, "BWV-0001", namespace, signature, MESSAGE)
    assert not stock_verify(signers, "BWV-0001", namespace, signature, MESSAGE + b"x")
    assert not stock_verify(signers, "BWV-0002", namespace, signature, MESSAGE)
    assert not stock_verify(signers, "BWV-0001", "file", signature, MESSAGE)


def test_the_key_may_sign_nothing_but_evidence(tmp_path: Path) -> None:
    key, _, signers = keygen(tmp_path, "BWV-0001")
    signature = tmp_path / "sig"
    signature.write_text(armour(KeySigner.load(key).sign(DIGEST, "git")))
    assert not stock_verify(signers, "BWV-0001", "git", signature, MESSAGE)


@pytest.mark.parametrize(
    ("kind", "bits"), [("ed25519", ()), ("ecdsa", ("-b", "256")), ("ecdsa", ("-b", "521")), ("rsa", ("-b", "2048"))]
)
def test_we_verify_what_stock_ssh_keygen_signs(tmp_path: Path, kind: str, bits: tuple[str, ...]) -> None:
    key = stock_key(tmp_path / "key", kind, *bits)
    blob = stock_sign(key, MESSAGE, MANIFEST_NAMESPACE)
    line = Signature.parse(blob).verify(DIGEST, MANIFEST_NAMESPACE).line
    assert line.split() == (tmp_path / "key.pub").read_text().split()[:2]
    with pytest.raises(SignatureBad, match="does not match"):
        Signature.parse(blob).verify(hashlib.sha512(MESSAGE + b"x").digest(), MANIFEST_NAMESPACE)
    with pytest.raises(SignatureBad, match="signed for 'bwvd-manifest'"):
        Signature.parse(blob).verify(DIGEST, JOURNAL_NAMESPACE)


def test_our_blob_is_byte_for_byte_the_stock_one(tmp_path: Path) -> None:
    key = stock_key(tmp_path / "key")
    assert KeySigner.load(key).sign(DIGEST, MANIFEST_NAMESPACE) == stock_sign(key, MESSAGE, MANIFEST_NAMESPACE)
    armoured = armour(stock_sign(key, MESSAGE, MANIFEST_NAMESPACE))
    assert ssh_keygen("-Y", "sign", "-f", key, "-n", MANIFEST_NAMESPACE, data=MESSAGE).stdout.decode() == armoured


def test_another_hash_is_refused(tmp_path: Path) -> None:
    blob = stock_sign(stock_key(tmp_path / "key"), MESSAGE, MANIFEST_NAMESPACE, "-O", "hashalg=sha256")
    with pytest.raises(SignatureBad, match="sha512 is required"):
        Signature.parse(blob).verify(DIGEST, MANIFEST_NAMESPACE)


def test_a_certificate_beside_the_key_travels_in_the_signature(tmp_path: Path) -> None:
    authority, key = stock_key(tmp_path / "ca"), stock_key(tmp_path / "device_key")
    certify(authority, key, "-n", "BWV-0001", "-z", "7")
    signer = KeySigner.load(key)
    assert signer.public_key.split() == (tmp_path / "device_key.pub").read_text().split()[:2]
    assert signer.certificate is not None
    assert signer.certificate.serial == 7
    assert signer.certificate.key_id == "unit 7"
    blob = signer.sign(DIGEST, MANIFEST_NAMESPACE)
    assert Signature.parse(blob).verify(DIGEST, MANIFEST_NAMESPACE) == signer.certificate
    assert blob == stock_sign(tmp_path / "device_key-cert.pub", MESSAGE, MANIFEST_NAMESPACE)
    signers, signature = tmp_path / "allowed_signers", tmp_path / "sig"
    signers.write_text(signer.allowed_signers("BWV-0001"))
    assert "cert-authority" in signers.read_text()
    signature.write_text(armour(blob))
    assert stock_verify(signers, "BWV-0001", MANIFEST_NAMESPACE, signature, MESSAGE)
    assert not stock_verify(signers, "BWV-0002", MANIFEST_NAMESPACE, signature, MESSAGE)


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_an_authority_may_have_another_kind_of_key(tmp_path: Path, kind: str) -> None:
    authority, key = stock_key(tmp_path / "ca", kind), stock_key(tmp_path / "device_key")
    certify(authority, key, "-n", "BWV-0001")
    certificate = KeySigner.load(key).certificate
    assert certificate is not None
    assert certificate.authority.line.split() == (tmp_path / "ca.pub").read_text().split()[:2]


@pytest.mark.parametrize(
    ("options", "message"), [(("-h", "-n", "x"), "for a host"), ((), "names no principal"), (None, "another key")]
)
def test_a_certificate_that_can_not_work_is_refused(
    tmp_path: Path, options: tuple[str, ...] | None, message: str
) -> None:
    authority, key, other = (stock_key(tmp_path / name) for name in ("ca", "device_key", "other"))
    if options is None:
        certify(authority, other, "-n", "x")
        shutil.copy(tmp_path / "other-cert.pub", tmp_path / "device_key-cert.pub")
    else:
        certify(authority, key, *options)
    with pytest.raises(KeyUnusable, match=rf"device_key-cert\.pub: .*{message}"):
        KeySigner.load(key)


def test_a_forged_certificate_is_refused(tmp_path: Path) -> None:
    authority, key = stock_key(tmp_path / "ca"), stock_key(tmp_path / "device_key")
    certify(authority, key, "-n", "BWV-0001")
    certificate = KeySigner.load(key).certificate
    assert certificate is not None
    forged = certificate.blob.replace(b"BWV-0001", b"BWV-0002")
    assert forged != certificate.blob
    with pytest.raises(KeyUnusable, match="does not match"):
        parse_key(forged)


class TestRefusedKeyFiles:
    """One clear line that names the file."""

    def refused(self, path: Path, message: str) -> None:
        with pytest.raises(KeyUnusable, match=message) as caught:
            KeySigner.load(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_absent(self, tmp_path: Path) -> None:
        self.refused(tmp_path / "none", "No such file")

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
    def test_open_to_others(self, tmp_path: Path, mode: int) -> None:
        key = keygen(tmp_path)[0]
        key.chmod(mode)
        self.refused(key, f"mode {mode:04o} lets others")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can lend a key to a group")
    def test_lent_to_a_group_by_root(self, tmp_path: Path) -> None:
        """As bwvd/docs/install.md installs it: root checks it before the daemon's user reads it."""
        key = keygen(tmp_path)[0]
        os.chown(key, 0, 65534)
        key.chmod(0o640)
        assert KeySigner.load(key)
        for mode in (0o660, 0o644, 0o650):
            key.chmod(mode)
            self.refused(key, f"mode {mode:04o} lets others")

    def test_encrypted(self, tmp_path: Path) -> None:
        key = tmp_path / "key"
        ssh_keygen("-q", "-t", "ed25519", "-N", "secret", "-f", key)
        self.refused(key, "has a passphrase, .*: ssh-keygen -p -f COPY$")

    def test_another_type(self, tmp_path: Path) -> None:
        self.refused(stock_key(tmp_path / "key", "ecdsa"), "not an Ed25519 key")

    @pytest.mark.parametrize(
        "content", [b"", b"hello", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", b"\xff" * 60000]
    )
    def test_rubbish(self, tmp_path: Path, content: bytes) -> None:
        key = tmp_path / "key"
        key.write_bytes(content)
        key.chmod(0o600)
        self.refused(key, "not an OpenSSH private key")

    def test_a_folder_or_a_fifo(self, tmp_path: Path) -> None:
        self.refused(tmp_path, "a folder, not a regular file")
        os.mkfifo(tmp_path / "fifo", 0o600)
        self.refused(tmp_path / "fifo", "a FIFO, not a regular file")

    def test_a_link_is_judged_by_what_it_leads_to(self, tmp_path: Path) -> None:
        key = keygen(tmp_path)[0]
        (tmp_path / "link").symlink_to(key)
        assert KeySigner.load(tmp_path / "link").public_key == KeySigner.load(key).public_key
        key.chmod(0o644)
        self.refused(tmp_path / "link", "lets others")


@pytest.mark.parametrize("principal", ["", "a b", 'a"b', "a#b", "a\nb"])
def test_a_principal_that_would_break_the_file_is_refused(tmp_path: Path, principal: str) -> None:
    with pytest.raises(KeyUnusable, match="principal"):
        keygen(tmp_path / "keys", principal)
    assert not (tmp_path / "keys").exists()
    with pytest.raises(KeyUnusable, match="principal"):
        allowed_signers_line(principal, "ssh-ed25519 AAAA")


_SIGNER = fixed_signer()
_BLOB = _SIGNER.sign(DIGEST, MANIFEST_NAMESPACE)


@given(st.integers(0, len(_BLOB) * 8 - 1))
def test_any_flipped_bit_of_a_signature_is_refused(bit: int) -> None:
    """Invariant 7."""
    bad = bytearray(_BLOB)
    bad[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SignatureBad):
        Signature.parse(bytes(bad)).verify(DIGEST, MANIFEST_NAMESPACE)


@given(st.integers(0, len(_BLOB) - 1), st.binary(max_size=8))
def test_a_cut_or_lengthened_signature_is_refused(at: int, tail: bytes) -> None:
    with pytest.raises(SignatureBad):
        Signature.parse(_BLOB[:at] + tail).verify(DIGEST, MANIFEST_NAMESPACE)
    if tail:
        with pytest.raises(SignatureBad):
            Signature.parse(_BLOB + tail).verify(DIGEST, MANIFEST_NAMESPACE)


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda tail: _BLOB[:40] + tail))
def test_rubbish_is_refused_in_one_line(data: bytes) -> None:
    for parse in (parse_key, lambda blob: Signature.parse(blob).verify(DIGEST, MANIFEST_NAMESPACE)):
        with pytest.raises(EvidenceError) as caught:
            parse(data)
        assert "\n" not in str(caught.value)


@given(st.text(max_size=200))
def test_rubbish_text_is_refused_in_one_line(text: str) -> None:
    for parse in (parse_key_line, unarmour):
        with pytest.raises(EvidenceError) as caught:
            parse(text)
        assert "\n" not in str(caught.value)


def test_round_trips() -> None:
    assert unarmour(armour(_BLOB)) == _BLOB
    key = parse_key_line(_SIGNER.public_key + " a comment")
    assert isinstance(key, PublicKey)
    assert key == Signature.parse(_BLOB).key
    assert key.line == _SIGNER.public_key
