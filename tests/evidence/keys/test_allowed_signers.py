"""Whose signatures count, held against stock ssh-keygen's own judgement."""

from __future__ import annotations

import hashlib
import re
import time
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bwvd.evidence.errors import SignatureBad, SignersUnusable
from bwvd.evidence.format.chain import MANIFEST_NAMESPACE
from bwvd.evidence.keys.allowed_signers import AllowedSigners, matches
from bwvd.evidence.keys.sshsig import KeySigner, Signature, armour
from bwvd.text import foreign_encoding
from tests.support.evidence_keys import certify, fixed_signer, stock_key, stock_verify

MESSAGE = b"what the camera saw\n"
DIGEST = hashlib.sha512(MESSAGE).digest()
KEY = fixed_signer(1).public_key
OTHER = fixed_signer(2).public_key


def both_say(
    tmp_path: Path, signers: str, signer: KeySigner, principal: str, namespace: str = MANIFEST_NAMESPACE
) -> bool:
    """Our verdict, which must be stock ssh-keygen's as well."""
    blob = signer.sign(DIGEST, namespace)
    (tmp_path / "signers").write_text(signers)
    (tmp_path / "sig").write_text(armour(blob))
    key = Signature.parse(blob).verify(DIGEST, namespace)
    try:
        ours = AllowedSigners.load(tmp_path / "signers").check(key, namespace, (principal,)) == principal
    except SignatureBad:
        ours = False
    assert ours == stock_verify(tmp_path / "signers", principal, namespace, tmp_path / "sig", MESSAGE)
    return ours


@pytest.mark.parametrize(
    ("line", "good"),
    [
        (f"BWV-0001 {KEY}", True),
        (f"BWV-0001 {KEY} a comment", True),
        (f"  BWV-0001\t{KEY}", True),
        (f'"BWV-0001" {KEY}', True),
        (f"BWV-0002 {KEY}", False),
        (f"BWV-* {KEY}", True),
        (f"BWV-000? {KEY}", True),
        (f"* {KEY}", True),
        (f"*,!BWV-0001 {KEY}", False),
        (f"x,BWV-0001 {KEY}", True),
        (f"BWV-0001 {OTHER}", False),
        (f'BWV-0001 namespaces="bwvd-*" {KEY}', True),
        (f'BWV-0001 namespaces="file,bwvd-manifest" {KEY}', True),
        (f'BWV-0001 namespaces="file" {KEY}', False),
        (f"BWV-0001 cert-authority {KEY}", False),
        (f'BWV-0001 valid-after="20200101" {KEY}', True),
        (f'BWV-0001 valid-after="20990101" {KEY}', False),
        (f'BWV-0001 valid-before="20200101" {KEY}', False),
        (f'BWV-0001 valid-after="202001010000",valid-before="20990101000000Z" {KEY}', True),
        (f'BWV-0001 NAMESPACES="bwvd-*" {KEY}', True),
        (f"# nothing\n\nBWV-0002 {OTHER}\nBWV-0001 {KEY}", True),
        (f'BWV-0001 namespaces="file" {KEY}\nBWV-0001 {KEY}', True),
        (f"x sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t\nBWV-0001 {KEY}", True),
        ("# nobody", False),
    ],
)
def test_lines_mean_what_they_mean_to_ssh_keygen(tmp_path: Path, line: str, *, good: bool) -> None:
    assert both_say(tmp_path, line + "\n", fixed_signer(1), "BWV-0001") == good


@pytest.mark.parametrize(
    ("line", "options", "principal", "good"),
    [
        ("* cert-authority {ca}", ("-n", "BWV-0001"), "BWV-0001", True),
        ("* cert-authority {ca}", ("-n", "BWV-0001,BWV-0002"), "BWV-0002", True),
        ("* cert-authority {ca}", ("-n", "BWV-0001"), "BWV-0002", False),
        ("BWV-* cert-authority {ca}", ("-n", "BWV-0001"), "BWV-0001", True),
        ("XYZ-* cert-authority {ca}", ("-n", "BWV-0001"), "BWV-0001", False),
        ("* {ca}", ("-n", "BWV-0001"), "BWV-0001", False),
        ('* cert-authority,namespaces="bwvd-*" {ca}', ("-n", "BWV-0001"), "BWV-0001", True),
        ('* cert-authority,namespaces="git" {ca}', ("-n", "BWV-0001"), "BWV-0001", False),
        ("* cert-authority {ca}", ("-n", "BWV-0001", "-V", "20200101:20200201"), "BWV-0001", False),
        ("* cert-authority {ca}", ("-n", "BWV-0001", "-V", "20990101:20990201"), "BWV-0001", False),
        ("* cert-authority {key}", ("-n", "BWV-0001"), "BWV-0001", False),
        ("BWV-0001 {key}", ("-n", "BWV-0001"), "BWV-0001", False),
    ],
)
def test_certificates_mean_what_they_mean_to_ssh_keygen(
    tmp_path: Path, line: str, options: tuple[str, ...], principal: str, *, good: bool
) -> None:
    authority, key = stock_key(tmp_path / "ca"), stock_key(tmp_path / "device_key")
    certify(authority, key, *options)
    ca, plain = (tmp_path / "ca.pub").read_text().strip(), (tmp_path / "device_key.pub").read_text().strip()
    assert both_say(tmp_path, line.format(ca=ca, key=plain) + "\n", KeySigner.load(key), principal) == good


def test_a_certificate_counts_at_the_time_of_the_signature(tmp_path: Path) -> None:
    authority, key = stock_key(tmp_path / "ca"), stock_key(tmp_path / "device_key")
    certify(authority, key, "-n", "BWV-0001", "-V", "20200101Z:20200201Z")
    certificate = KeySigner.load(key).certificate
    assert certificate is not None
    signers = AllowedSigners.parse(b"* cert-authority " + (tmp_path / "ca.pub").read_bytes(), "signers")
    january = 1_579_000_000
    assert signers.check(certificate, MANIFEST_NAMESPACE, ("BWV-0001",), january) == "BWV-0001"
    with pytest.raises(SignatureBad, match="no longer valid"):
        signers.check(certificate, MANIFEST_NAMESPACE, ("BWV-0001",))


def test_a_certificate_with_a_critical_option_is_not_understood(tmp_path: Path) -> None:
    authority, key = stock_key(tmp_path / "ca"), stock_key(tmp_path / "device_key")
    certify(authority, key, "-n", "BWV-0001", "-O", "critical:only-on-mondays=1")
    certificate = KeySigner.load(key).certificate
    assert certificate is not None
    signers = AllowedSigners.parse(b"* cert-authority " + (tmp_path / "ca.pub").read_bytes(), "signers")
    with pytest.raises(SignatureBad, match="only-on-mondays"):
        signers.check(certificate, MANIFEST_NAMESPACE, ("BWV-0001",))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("BWV-0001", "expected principals"),
        ("BWV-0001 ssh-ed25519", "not a public key"),
        ("BWV-0001 ssh-ed25519 A*A", "base64"),
        (f"BWV-0001 ssh-rsa {KEY.split()[1]}", "something else inside"),
        (f'BWV-0001 colour="red" {KEY}', "unknown option 'colour'"),
        (f'BWV-0001 namespaces="a",namespaces="b" {KEY}', "namespaces is given twice"),
        (f"BWV-0001 namespaces {KEY}", "unknown option"),
        (f'BWV-0001 cert-authority="x" {KEY}', "unknown option"),
        (f'BWV-0001 valid-after="yesterday" {KEY}', "not a time"),
        (f'BWV-0001 valid-after="20201399" {KEY}', "unconverted|does not match|format"),
        (f'"BWV-0001 {KEY}', "quote"),
        (f'"" {KEY}', "no principals"),
        ("BWV-0001 ssh-dss AAAAB3NzaC1kc3M=", "not supported"),
    ],
)
def test_a_line_that_is_not_understood_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "signers"
    path.write_text(f"# first\n{line}\n")
    with pytest.raises(SignersUnusable, match=message) as caught:
        AllowedSigners.load(path)
    assert str(caught.value).startswith(f"{path} line 2: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(SignersUnusable, match=re.escape(str(path))):
            AllowedSigners.load(path)


@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: f"a {text} {KEY}".encode()))
def test_rubbish_is_refused_in_one_line(data: bytes) -> None:
    try:
        AllowedSigners.parse(data, "signers")
    except SignersUnusable as error:
        message = str(error)
        assert message.startswith(f"signers {foreign_encoding(data) or 'line '}")
        assert "\n" not in message


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
@example("*a*a*a*a*a*a*a*a*b", "a" * 8)
def test_patterns_match_as_in_the_shell(pattern: str, text: str) -> None:
    assert matches(text, pattern) == fnmatchcase(text, pattern)


def test_no_pattern_takes_for_ever() -> None:
    begun = time.perf_counter()
    assert not matches("a" * 5000, "*a" * 200 + "b")
    assert time.perf_counter() - begun < 5
