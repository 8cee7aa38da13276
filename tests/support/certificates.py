"""Certificate chains made for one test: an authority, and certificates that it has given."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass(frozen=True)
class Chain:
    """PEM files of a certificate with its authority's, of its key, and of the authority alone."""

    certs: Path
    key: Path
    anchors: Path


def make_chain(
    folder: Path,
    key: Any = None,
    *,
    days: tuple[float, float] = (-1, 30),
    usage: x509.ObjectIdentifier | None = ExtendedKeyUsageOID.EMAIL_PROTECTION,
    between: bool = False,
) -> Chain:
    """A certificate as C2PA wants it.

    Args:
        key: of the certificate; None = a new one on P-256.
        days: from now, between which it is valid.
        usage: its extended key usage; None = none.
        between: the root vouches for an authority, and that one for the certificate.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = key if key is not None else ec.generate_private_key(ec.SECP256R1())
    authority = ec.generate_private_key(ec.SECP256R1())
    root = _certificate("Force Root", authority, "Force Root", authority, days=(-2, 60), usage=None, authority=True)
    issuer, by, middle = "Force Root", authority, []
    if between:
        issuer, by = "Force Desks", ec.generate_private_key(ec.SECP256R1())
        middle.append(_certificate(issuer, by, "Force Root", authority, days=(-2, 60), usage=None, authority=True))
    leaf = _certificate("Evidence Desk", key, issuer, by, days=days, usage=usage, authority=False)
    chain = Chain(folder / "certs.pem", folder / "desk.key", folder / "anchors.pem")
    pem = [certificate.public_bytes(Encoding.PEM) for certificate in (leaf, *middle, root)]
    chain.certs.write_bytes(b"".join(pem))
    chain.anchors.write_bytes(pem[-1])
    chain.key.touch(0o600)
    chain.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return chain


def _certificate(
    name: str,
    key: Any,
    issuer: str,
    by: Any,
    *,
    days: tuple[float, float],
    usage: x509.ObjectIdentifier | None,
    authority: bool,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    begin, end = (now + datetime.timedelta(days=each) for each in days)
    uses = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    builder = (
        x509.CertificateBuilder(_name(issuer), _name(name), key.public_key(), x509.random_serial_number(), begin, end)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not authority,
                key_cert_sign=authority,
                crl_sign=authority,
                decipher_only=False,
                **uses,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
    return builder.sign(by, None if isinstance(by, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Force"), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )
