"""OpenSSH public keys and user certificates: parse, name, verify with.

Devices sign with Ed25519. ECDSA and RSA are read as well: certificate authorities and the servers that sign receipts
use them.
"""

from __future__ import annotations

import base64
import binascii
import functools
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from bwvd import hashing
from bwvd.evidence.errors import KeyUnusable, SignatureBad
from bwvd.evidence.keys.ssh_wire import Reader, string

ED25519 = "ssh-ed25519"
CERTIFICATE_SUFFIX = "-cert-v01@openssh.com"
USER_CERTIFICATE = 1

_CURVES: dict[str, tuple[ec.EllipticCurve, hashes.HashAlgorithm]] = {
    "nistp256": (ec.SECP256R1(), hashes.SHA256()),
    "nistp384": (ec.SECP384R1(), hashes.SHA384()),
    "nistp521": (ec.SECP521R1(), hashes.SHA512()),
}
_RSA_HASHES: dict[str, hashes.HashAlgorithm] = {"rsa-sha2-256": hashes.SHA256(), "rsa-sha2-512": hashes.SHA512()}
_RSA_BITS = range(2048, 16_385)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A plain public key."""

    kind: str  # "ssh-ed25519", "ecdsa-sha2-nistp256", …, "ssh-rsa"
    blob: bytes = field(repr=False)  # the wire form
    _key: Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey = field(repr=False, compare=False)

    @property
    def line(self) -> str:
        """`ssh-ed25519 AAAA…`, without a comment."""
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"

    @property
    def fingerprint(self) -> str:
        """`SHA256:…` as ssh-keygen -l prints it."""
        return "SHA256:" + base64.b64encode(hashing.sha256(self.blob).digest()).decode().rstrip("=")

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check a signature in wire form (algorithm, value) over `message`.

        Raises: SignatureBad.
        """
        try:
            reader = Reader(signature)
            algorithm = reader.text()
            value = reader.string()
            reader.end()
            self._verify(algorithm, value, message)
        except InvalidSignature:
            raise SignatureBad("the signature does not match") from None
        except ValueError as error:
            raise SignatureBad(f"malformed signature: {error}") from None

    def _verify(self, algorithm: str, value: bytes, message: bytes) -> None:
        key = self._key
        if isinstance(key, rsa.RSAPublicKey):
            if algorithm not in _RSA_HASHES:
                raise ValueError(f"algorithm {algorithm[:80]} with a key {self.kind}")
            key.verify(value, message, padding.PKCS1v15(), _RSA_HASHES[algorithm])
            return
        if algorithm != self.kind:
            raise ValueError(f"algorithm {algorithm[:80]} with a key {self.kind}")
        if isinstance(key, Ed25519PublicKey):
            key.verify(value, message)
            return
        numbers = Reader(value)
        r, s = numbers.natural(), numbers.natural()
        numbers.end()
        hash_of_curve = _CURVES[self.kind.removeprefix("ecdsa-sha2-")][1]
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hash_of_curve))


@dataclass(frozen=True, slots=True)
class Certificate:
    """An OpenSSH certificate whose own signature by its authority has been checked; nothing else has."""

    blob: bytes = field(repr=False)
    key: PublicKey  # the certified key
    serial: int
    usage: int  # USER_CERTIFICATE, or 2 for hosts
    key_id: str
    principals: tuple[str, ...]
    valid_after: int  # Unix seconds
    valid_before: int
    critical: tuple[str, ...]  # names of options that must be understood
    authority: PublicKey

    @property
    def line(self) -> str:
        """`ssh-ed25519-cert-v01@openssh.com AAAA…`, without a comment."""
        return f"{self.key.kind}{CERTIFICATE_SUFFIX} {base64.b64encode(self.blob).decode()}"


@functools.lru_cache(maxsize=256)
def parse_key(blob: bytes) -> PublicKey | Certificate:
    """A key or certificate from its wire form.

    Raises: KeyUnusable.
    """
    try:
        return _parse(blob)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyUnusable(f"malformed public key: {error}") from None


def parse_key_line(text: str) -> PublicKey | Certificate:
    """A key or certificate from `type base64 [comment]`, as in a .pub file.

    Raises: KeyUnusable.
    """
    words = text.split(None, 2)
    if len(words) < 2:
        raise KeyUnusable("not a public key: expected a key type and base64")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        raise KeyUnusable("not a public key: bad base64") from None
    key = parse_key(blob)
    if key.line.split()[0] != words[0]:
        raise KeyUnusable(f"the key says {words[0][:80]!r} outside and something else inside")
    return key


def _parse(blob: bytes) -> PublicKey | Certificate:
    reader = Reader(blob)
    kind = reader.text()
    if kind.endswith(CERTIFICATE_SUFFIX):
        return _certificate(blob, reader, kind.removesuffix(CERTIFICATE_SUFFIX))
    key = _plain(kind, reader)
    reader.end()
    return key


def _plain(kind: str, reader: Reader) -> PublicKey:
    """The fields of a key after its type; in a certificate they stand in the middle."""
    if kind == ED25519:
        raw = reader.string()
        return PublicKey(kind, string(kind.encode()) + string(raw), Ed25519PublicKey.from_public_bytes(raw))
    if kind.startswith("ecdsa-sha2-"):
        name, point = reader.text(), reader.string()
        if name not in _CURVES or kind != f"ecdsa-sha2-{name}":
            raise ValueError(f"unknown curve {name[:80]!r}")
        blob = string(kind.encode()) + string(name.encode()) + string(point)
        return PublicKey(kind, blob, ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[name][0], point))
    if kind == "ssh-rsa":
        start = reader.position
        e, n = reader.natural(), reader.natural()
        if n.bit_length() not in _RSA_BITS:
            raise ValueError(f"an RSA key of {n.bit_length()} bits; {_RSA_BITS[0]} to {_RSA_BITS[-1]} are accepted")
        return PublicKey(kind, string(kind.encode()) + reader.since(start), rsa.RSAPublicNumbers(e, n).public_key())
    raise ValueError(f"the key type {kind[:80]!r} is not supported")


def _certificate(blob: bytes, reader: Reader, kind: str) -> Certificate:
    reader.string()  # nonce
    key = _plain(kind, reader)
    serial, usage, key_id = reader.u64(), reader.u32(), reader.string()
    principals = tuple(_names(reader.string()))
    valid_after, valid_before = reader.u64(), reader.u64()
    critical = tuple(_option_names(reader.string()))
    reader.string()  # extensions: permissions of logins
    reader.string()  # reserved
    inner = Reader(reader.string())
    inner_kind = inner.text()
    if inner_kind.endswith(CERTIFICATE_SUFFIX):  # before it is parsed: hundreds fit into one another
        raise ValueError("a certificate signed by a certificate")
    authority = _plain(inner_kind, inner)
    inner.end()
    signed = blob[: reader.position]
    signature = reader.string()
    reader.end()
    try:
        authority.verify(signature, signed)
    except SignatureBad as error:
        raise ValueError(f"certificate: {error}") from None
    return Certificate(
        blob,
        key,
        serial,
        usage,
        key_id.decode("utf-8", "backslashreplace"),
        principals,
        valid_after,
        valid_before,
        critical,
        authority,
    )


def _names(packed: bytes) -> list[str]:
    reader = Reader(packed)
    names = []
    while not reader.done:
        names.append(reader.text())
    return names


def _option_names(packed: bytes) -> list[str]:
    reader = Reader(packed)
    names = []
    while not reader.done:
        names.append(reader.text())
        reader.string()
    return names
