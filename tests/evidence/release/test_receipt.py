"""Receipts: what a stock ssh-keygen signs is taken, and nothing else is."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from pathlib import Path

import pytest

from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.sshsig import KeySigner, allowed_signers_line, armour
from bwvd.evidence.release.receipt import RECEIPT_NAMESPACE, Accepted, Receipt, ReceiptBad, accept_receipt, unfit
from tests.support.evidence_keys import certify, fixed_signer, ssh_keygen, stock_key

SERVER = fixed_signer(7)
NOW = 1_795_331_703.0

FIELDS = {
    "type": "receipt",
    "format": 1,
    "recording": "20261122T071503Z-BWV-0001-000042",
    "device": "BWV-0001",
    "manifest_sha512": "ab" * 64,
    "received_utc": "2026-11-22T19:02:11Z",
    "by": "evidence-server",
}


def allowing(
    key: str, by: str = "evidence-server", options: str = f'namespaces="{RECEIPT_NAMESPACE}"'
) -> AllowedSigners:
    return AllowedSigners.parse(f"{by} {options} {key}\n".encode(), "receivers")


LIST = allowing(SERVER.public_key)


def text(**changes: object) -> bytes:
    return json.dumps({**FIELDS, **changes}, indent=1).encode() + b"\n"


def sign(message: bytes, signer: KeySigner = SERVER, namespace: str = RECEIPT_NAMESPACE) -> bytes:
    return signer.sign(hashlib.sha512(message).digest(), namespace)


def refusal(data: bytes, signature: bytes | None = None, signers: list[AllowedSigners] | None = None) -> str:
    with pytest.raises(ReceiptBad) as raised:
        accept_receipt(data, signature, [LIST] if signers is None else signers, NOW)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def signed(message: bytes) -> Accepted[Receipt]:
    return accept_receipt(message, armour(sign(message)).encode(), [LIST], NOW)


def test_beside_the_text() -> None:
    accepted = signed(text())
    assert accepted.receipt.recording == FIELDS["recording"]
    assert accepted.receipt.manifest_sha512 == "ab" * 64
    assert accepted.fingerprint == SERVER.key.fingerprint
    assert accepted.sha256 == hashlib.sha256(text()).hexdigest()


def test_appended_to_the_text() -> None:
    message = text()
    assert accept_receipt(message + armour(sign(message)).encode(), None, [LIST], NOW) == signed(message)


def test_as_a_signed_line() -> None:
    message = json.dumps(FIELDS).encode() + b"\n"
    line = b'{"sig":"' + base64.b64encode(sign(message)) + b'"}\n'
    assert accept_receipt(message + line, None, [LIST], NOW) == signed(message)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_made_with_the_stock_tool(tmp_path: Path, kind: str) -> None:
    key = stock_key(tmp_path / "key", kind)
    path = tmp_path / "receipt.json"
    path.write_bytes(text())
    ssh_keygen("-Y", "sign", "-f", key, "-n", RECEIPT_NAMESPACE, path)
    public = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    signature = (tmp_path / "receipt.json.sig").read_bytes()
    accepted = accept_receipt(path.read_bytes(), signature, [allowing(public)], NOW)
    assert accepted.receipt.by == "evidence-server"
    assert "may not sign" in refusal(path.read_bytes(), signature)


def test_made_with_a_certified_key(tmp_path: Path) -> None:
    authority, key = stock_key(tmp_path / "ca"), stock_key(tmp_path / "key")
    certify(authority, key, "-n", "evidence-server", "-V", "always:forever")
    path = tmp_path / "receipt.json"
    path.write_bytes(text())
    ssh_keygen("-Y", "sign", "-f", tmp_path / "key-cert.pub", "-n", RECEIPT_NAMESPACE, path)
    public = " ".join((tmp_path / "ca.pub").read_text().split()[:2])
    signers = allowing(public, options=f'cert-authority,namespaces="{RECEIPT_NAMESPACE}"')
    signature = (tmp_path / "receipt.json.sig").read_bytes()
    assert accept_receipt(path.read_bytes(), signature, [signers], time.time()).receipt.format == 1


def test_more_fields_are_signed_and_ignored() -> None:
    assert signed(text(shelf="B 12", n=[1, 2])).receipt.device == "BWV-0001"


@pytest.mark.parametrize("changes", [{"recording": "another"}, {"manifest_sha512": "cd" * 64}, {"by": "me"}])
def test_a_changed_receipt(changes: dict[str, object]) -> None:
    assert "does not hold" in refusal(text(**changes), armour(sign(text())).encode())


def test_one_changed_byte_of_white_space() -> None:
    assert "does not hold" in refusal(text() + b" ", armour(sign(text())).encode())


def test_the_devices_own_key_signs_no_receipts() -> None:
    """Invariant 8: a device, or who has stolen its key, can't write receipts for itself."""
    device = fixed_signer()
    message = text()
    own = AllowedSigners.parse(allowed_signers_line("evidence-server", device.public_key).encode(), "storage")
    assert "may not sign" in refusal(message, armour(sign(message, device)).encode())
    manifest = armour(sign(message, device, "bwvd-manifest")).encode()
    assert "signed for" in refusal(message, manifest, [own])


FLEET = allowed_signers_line("BWV-0001", fixed_signer(3).public_key)


@pytest.mark.parametrize(
    ("signer", "lines", "why"),
    [
        (SERVER, f"evidence-server {SERVER.public_key}\n", "do not name bwvd-receipt"),
        (SERVER, f'evidence-server namespaces="bwvd-*" {SERVER.public_key}\n', "do not name bwvd-receipt"),
        (SERVER, f'evidence-server namespaces="*,!git" {SERVER.public_key}\n', "do not name bwvd-receipt"),
        (SERVER, f'evidence-server namespaces="bwvd-receipt,bwvd-sums" {SERVER.public_key}\n', "what devices sign"),
        (
            fixed_signer(3),
            f'{FLEET}evidence-server namespaces="bwvd-receipt" {fixed_signer(3).public_key}\n',
            "what devices sign",
        ),
        (fixed_signer(), f'evidence-server namespaces="bwvd-receipt" {fixed_signer().public_key}\n', "own key line 1"),
    ],
)
def test_a_list_of_devices_lets_none_of_them_acknowledge(signer: KeySigner, lines: str, why: str) -> None:
    """Invariant 8: a fleet's list in keys.release makes no camera the receiver of its own recordings."""
    signers = AllowedSigners.parse(lines.encode(), "receivers")
    own = AllowedSigners.parse(fixed_signer().allowed_signers("BWV-0001").encode(), "own key")
    with pytest.raises(ReceiptBad, match=f"may not sign receipts: .*{why}"):
        accept_receipt(text(), armour(sign(text(), signer)).encode(), [signers], NOW, device=own)
    (said,) = unfit([signers], own)
    assert "receivers line" in said
    assert unfit([LIST], own) == []


def test_a_list_that_lets_nobody_acknowledge_is_named() -> None:
    """Invariant 8: with a list of cameras alone nothing would ever be released, and nobody would know why."""
    cameras = AllowedSigners.parse(fixed_signer(9).allowed_signers("*").encode(), "cameras")
    (said,) = unfit([cameras, LIST], None)
    assert said == 'cameras: nobody in it signs receipts: namespaces="bwvd-receipt" must name them'
    assert unfit([AllowedSigners.parse(b"# nobody yet\n", "empty")], None) == [
        'empty: nobody in it signs receipts: namespaces="bwvd-receipt" must name them'
    ]


def test_a_fleets_authority_certifies_no_receivers(tmp_path: Path) -> None:
    """Invariant 8: nor does its authority, whose certificates the cameras have."""
    authority, key = stock_key(tmp_path / "ca"), stock_key(tmp_path / "key")
    certify(authority, key, "-n", "BWV-0001")
    message = text(by="BWV-0001")
    (tmp_path / "receipt.json").write_bytes(message)
    ssh_keygen("-Y", "sign", "-f", tmp_path / "key-cert.pub", "-n", RECEIPT_NAMESPACE, tmp_path / "receipt.json")
    signature = (tmp_path / "receipt.json.sig").read_bytes()
    public = " ".join((tmp_path / "ca.pub").read_text().split()[:2])
    fleet = AllowedSigners.parse(allowed_signers_line("*", public, authority=True).encode(), "fleet")
    old = allowing(public, "*", 'cert-authority,namespaces="bwvd-*"')
    named = allowing(public, "*", f'cert-authority,namespaces="{RECEIPT_NAMESPACE}"')
    assert "not for bwvd-receipt" in refusal(message, signature, [fleet])
    assert "do not name bwvd-receipt" in refusal(message, signature, [old])
    assert "listed for what devices sign" in refusal(message, signature, [named, fleet])
    assert accept_receipt(message, signature, [named], time.time()).receipt.by == "BWV-0001"
    with pytest.raises(ReceiptBad, match="listed for what devices sign"):
        accept_receipt(message, signature, [named], time.time(), device=fleet)


def test_a_key_for_other_purposes() -> None:
    message = text()
    signers = allowing(SERVER.public_key, options='namespaces="git,file"')
    assert "not for bwvd-receipt" in refusal(message, armour(sign(message)).encode(), [signers])


def test_another_name_than_the_lists() -> None:
    message = text(by="somebody")
    assert "known as evidence-server" in refusal(message, armour(sign(message)).encode())


def test_a_key_that_is_no_longer_valid() -> None:
    message = text()
    signers = allowing(SERVER.public_key, options=f'namespaces="{RECEIPT_NAMESPACE}",valid-before="20200101Z"')
    assert "no longer valid" in refusal(message, armour(sign(message)).encode(), [signers])


def test_one_of_several_lists_is_enough() -> None:
    message = text()
    other = allowing(fixed_signer(9).public_key)
    assert accept_receipt(message, armour(sign(message)).encode(), [other, LIST], NOW).receipt.format == 1


def test_without_keys_nothing_is_released() -> None:
    message = text()
    assert refusal(message, armour(sign(message)).encode(), []).startswith("keys.release: ")


@pytest.mark.parametrize(
    ("data", "signature"),
    [
        (b"", None),
        (b"\n", None),
        (text(), None),
        (text(), b""),
        (text(), b"-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n"),
        (text() + b"-----BEGIN SSH SIGNATURE-----\n", None),
        (text() + b'{"sig":""}\n', None),
        (b"\xff\xfe\0", b"x"),
        (text() * 500, None),
    ],
)
def test_unsigned_or_no_receipt_at_all(data: bytes, signature: bytes | None) -> None:
    assert refusal(data, signature)


@pytest.mark.parametrize(
    "message",
    [
        b"[]",
        b"{}",
        b"null",
        b'{"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        text(type="delete"),
        text(format=2),
        text(recording=5),
        text(manifest_sha512=None),
        b"[" * 9000,
    ],
)
def test_signed_but_no_receipt(message: bytes) -> None:
    assert refusal(message, armour(sign(message)).encode()).startswith("not a receipt")
