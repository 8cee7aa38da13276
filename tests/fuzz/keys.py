"""Keys, certificates, signatures, lists of signers, sums, receipts, recipients and identities."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from functools import cache

import pyrage
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    SSHCertificateBuilder,
    SSHCertificateType,
)

from bwvd.evidence.errors import IdentityUnusable, KeyUnusable, RecipientsUnusable, SignatureBad, SignersUnusable
from bwvd.evidence.format.chain import MANIFEST_NAMESPACE, SUMS_NAMESPACE
from bwvd.evidence.format.statement import STATEMENT_NAMESPACE
from bwvd.evidence.format.sums import check_signature
from bwvd.evidence.format.sums_text import is_whole, parse_sums
from bwvd.evidence.keys.age import load_identities, load_recipients, open_sealed
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.ssh_keys import Certificate, parse_key, parse_key_line
from bwvd.evidence.keys.ssh_wire import mpint, string
from bwvd.evidence.keys.sshsig import KeySigner, Signature, armour, unarmour
from bwvd.evidence.release.receipt import RECEIPT_NAMESPACE, ReceiptBad, accept_receipt
from bwvd.evidence.verify.statement import verify_statement
from tests.fuzz.target import Target, hold, one_line, scratch
from tests.support.evidence_keys import fixed_signer

SIGNER = fixed_signer()
DIGEST = hashlib.sha512(b"message").digest()
NOW_S = 1_795_331_703.0
CERTIFICATE = b"ssh-ed25519-cert-v01@openssh.com"

# A key with a passphrase, as ssh-keygen writes it; it signs nothing.
ENCRYPTED_KEY = base64.b64decode(
    "b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABAtGEzKF5iNtjg7n++zOFX1AAAAAQAAAAEAAAAz"
    "AAAAC3NzaC1lZDI1NTE5AAAAINQhOUUZ9FqgaC5bGnVvkUpjyg15UtqyjdACH9gye71DAAAAkD5pm/UhE1xKaYQF2nkymudXi0cn"
    "Sd1iLUiwbqy9+ed2lVUG2DlWOqQQ5tM2Yyh8VSK1haW4HIXOqzU4Aa9QPseRScJbCtmPv4X6YNOy7vCSY+NUaRvkhwFV8udggEok"
    "WMtRW6Gvti9CUKBJmV00pIFyU/DOxkdWj9rLDUHiL8cHCb/mBzHaGTp3eok6AY2nzQ=="
)


@cache
def identity() -> pyrage.x25519.Identity:
    return pyrage.x25519.Identity.from_str("AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX")


# --- seeds -----------------------------------------------------------------------------------------------------------


@cache
def certificate(seed: int = 3) -> bytes:
    """The wire form of a certificate for SIGNER."""
    private = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
    authority = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    builder = (
        SSHCertificateBuilder()
        .public_key(private.public_key())
        .serial(7)
        .type(SSHCertificateType.USER)
        .key_id(b"unit 7")
        .valid_principals([b"BWV-0001", b"bwvd"])
        .valid_after(0)
        .valid_before(2**64 - 1)
        .add_critical_option(b"force-command", b"none")
        .add_extension(b"permit-pty", b"")
    )
    return base64.b64decode(builder.sign(authority).public_bytes().split()[1])


def nested(depth: int) -> bytes:
    """A certificate whose authority is a certificate whose authority is … ."""
    head = string(CERTIFICATE) + string(b"") + string(SIGNER.key.blob[-32:]) + bytes(8 + 4)
    head += string(b"") * 2 + bytes(16) + string(b"") * 3
    blob = b""
    for _ in range(depth):
        blob = head + string(blob)
    return blob


@cache
def key_blobs() -> tuple[bytes, ...]:
    curves = [ec.derive_private_key(7, curve) for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())]
    lines = [key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) for key in curves]
    plain = [base64.b64decode(line.split()[1]) for line in lines]
    modulus = (1 << 3071) + 12345
    rsas = [string(b"ssh-rsa") + mpint(e) + mpint(modulus) for e in (3, 65_537, modulus - 2)]
    rsas.append(string(b"ssh-rsa") + mpint(65_537) + mpint((1 << 16_383) + 1))
    return (SIGNER.key.blob, *plain, *rsas, certificate(), nested(3), nested(511))


def sshsig(key: bytes, value: bytes, namespace: bytes = MANIFEST_NAMESPACE.encode()) -> bytes:
    return b"SSHSIG" + bytes([0, 0, 0, 1]) + string(key) + string(namespace) + string(b"") + string(b"sha512") + value


@cache
def signatures() -> tuple[bytes, ...]:
    good = SIGNER.sign(DIGEST, MANIFEST_NAMESPACE)
    value = string(string(b"ssh-ed25519") + string(bytes(64)))
    carried = sshsig(certificate(), string(good[-83:]))
    numbers = string(string(b"ecdsa-sha2-nistp256") + string(mpint(1) + mpint(2**256)))
    of_rsa = [string(string(b"rsa-sha2-512") + string(bytes([7]) * 384))] * len(key_blobs())
    return (
        good,
        carried,
        *(sshsig(key, value) for key in key_blobs()),
        *(sshsig(key, one) for key, one in zip(key_blobs(), of_rsa, strict=True)),
        sshsig(key_blobs()[1], numbers),
    )


def openssh(inside: bytes) -> bytes:
    """A private key file."""
    begin, end = (f"-----{word} OPENSSH PRIVATE KEY-----\n".encode() for word in ("BEGIN", "END"))
    return begin + base64.encodebytes(inside) + end


def public_key_seeds() -> Iterable[bytes]:
    """The first byte tells how the rest is read."""
    for blob in key_blobs():
        yield b"\0" + blob
        kind = blob[4 : 4 + blob[3]]
        yield b"\1" + kind + b" " + base64.b64encode(blob) + b" comment"
    for blob in long_names():
        yield b"\0" + blob
        yield b"\2" + sshsig(blob, string(b""))
    yield b"\2" + sshsig(SIGNER.key.blob, string(string(b"x" * 30_000) + string(b"")))
    for blob in signatures():
        yield b"\2" + blob
        yield b"\3" + armour(blob).encode()


def private_key_seeds() -> Iterable[bytes]:
    private = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
    keys: list[Ed25519PrivateKey | ec.EllipticCurvePrivateKey] = [private, ec.derive_private_key(7, ec.SECP256R1())]
    for key in keys:
        yield b"\0" + key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        yield b"\0" + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    text = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    yield b"\1" + base64.b64decode(b"".join(text.splitlines()[1:-1]))  # what is inside the armour
    yield b"\1" + ENCRYPTED_KEY
    yield b"\0" + openssh(ENCRYPTED_KEY)
    line = CERTIFICATE + b" " + base64.b64encode(certificate()) + b"\n"
    yield b"\2" + line
    yield b"\2" + CERTIFICATE + b" " + base64.b64encode(nested(20))


def signers_seeds() -> Iterable[bytes]:
    key = SIGNER.public_key.encode()
    yield SIGNER.allowed_signers("BWV-0001").encode()
    yield b'# fleet\n\n*,!BWV-9* cert-authority,namespaces="bwvd-*,git" ' + key + b" office\r\n"
    yield b'"a b",c valid-after="20200101Z",valid-before="209912312359" ' + key + b"\n"
    for time_ in (b"00010101", b"00010101Z", b"99991231235959", b"99991231235959Z", b"20260230"):
        yield b'* valid-after="' + time_ + b'" ' + key + b"\n"
    yield b'* namespaces="a\\"b\\\\' + b"*?" * 40 + b'" ' + key + b"\nx sk-ssh-ed25519@openssh.com AAAA\n"
    for blob in key_blobs():
        yield b"* " + blob[4 : 4 + blob[3]] + b" " + base64.b64encode(blob) + b"\n"
    yield (b"*" * 200 + b"a,") * 100 + b"b " + key + b"\n"


def long_names() -> Iterable[bytes]:
    """Keys and signatures whose names are as long as they may be."""
    long = string(b"x" * 30_000)
    yield long
    yield string(b"ecdsa-sha2-nistp256") + long + string(b"")
    yield string(CERTIFICATE) + string(b"") + string(bytes(32)) + long


def sums_seeds() -> Iterable[bytes]:
    digest = hashlib.sha256(b"").hexdigest().encode()
    sums = digest + b"  000001.m4s\n" + digest + b"  manifest.jsonl\n"
    signature = armour(SIGNER.sign(hashlib.sha512(sums).digest(), SUMS_NAMESPACE)).encode()
    yield sums + b"\0" + signature
    yield sums + digest + b"  \xff\xfe\n\0" + signature
    yield sums * 2 + b"\0"
    yield b"\0" + signature
    yield b"\0" + armour(sshsig(nested(300), string(b""), SUMS_NAMESPACE.encode())).encode()


RECEIPT = {
    "type": "receipt",
    "format": 1,
    "recording": "20261122T071503Z-BWV-0001-000042",
    "device": "BWV-0001",
    "manifest_sha512": "ab" * 64,
    "received_utc": "2026-11-22T19:02:11Z",
    "by": "evidence-server",
}


def receipt_seeds() -> Iterable[bytes]:
    """The first byte: \\0 an unsigned text that is signed here, \\1 one file, \\2 a text, a NUL and its signature."""
    text = json.dumps(RECEIPT).encode() + b"\n"
    blob = SIGNER.sign(hashlib.sha512(text).digest(), RECEIPT_NAMESPACE)
    armoured = armour(blob).encode()
    yield b"\0" + text
    yield b"\0" + json.dumps({**RECEIPT, "n": 10**300, "by": "\x1b[31m" * 99}).encode()
    yield b"\1" + text + armoured
    yield b"\1" + text + b'{"sig":"' + base64.b64encode(blob) + b'"}\n'
    yield b"\2" + text + b"\0" + armoured
    yield b"\2" + text + b"\0" + armour(sshsig(nested(300), string(b""))).encode()


STATEMENT = {
    "type": "statement",
    "format": 1,
    "original": {
        "kind": "export",
        "name": "original.mp4",
        "bytes": 4,
        "sha256": "ab" * 32,
        "recording": RECEIPT["recording"],
        "device": "BWV-0001",
        "manifest_sha512": "ab" * 64,
        "segments": "3-9",
        "from_s": "1.5",
        "verdict": "authentic",
    },
    "derived": {"name": "redacted.mp4", "bytes": 4, "sha256": hashlib.sha256(b"made").hexdigest()},
    "note": "blurred",
    "by": "clerk",
    "made_utc": "2026-11-22T19:02:11Z",
}


def statement_seeds() -> Iterable[bytes]:
    """The first byte: \\0 a text that is signed here, \\1 a text, a NUL and its signature."""
    text = json.dumps(STATEMENT, indent=1).encode()
    yield b"\0" + text
    yield b"\0" + text.replace(b"redacted.mp4", b"../redacted.mp4")
    yield b"\0" + json.dumps({**STATEMENT, "note": "\x1b[31m\u202e" * 99, "made_utc": "9999-12-31T23:59:59Z"}).encode()
    yield b"\0" + text.replace(b'"note"', b'"x": 1e999, "y": ' + b"9" * 400 + b', "note"')
    yield b"\1" + text + b"\0" + armour(SIGNER.sign(hashlib.sha512(text).digest(), STATEMENT_NAMESPACE)).encode()


def seal_seeds() -> Iterable[bytes]:
    """The first byte: \\0 a recipient, \\1 a file of them, \\2 an identity file, \\3 a sealed file."""
    public = str(identity().to_public()).encode()
    yield b"\0" + public
    yield b"\0" + SIGNER.public_key.encode()
    for blob in key_blobs():
        yield b"\0" + blob[4 : 4 + blob[3]] + b" " + base64.b64encode(blob)
    yield b"\1# office\n" + public + b"\r\n\n" + SIGNER.public_key.encode() + b" me\n"
    yield b"\2# created\n" + str(identity()).encode() + b"\n"
    for seed in private_key_seeds():
        if seed[:1] == b"\0":
            yield b"\2" + seed[1:]
    sealed = pyrage.encrypt(b"plain" * 40, [identity().to_public()])
    yield b"\3" + sealed
    yield b"\3" + pyrage.encrypt(b"", [pyrage.ssh.Recipient.from_str(SIGNER.public_key), identity().to_public()])
    scrypt = b"-> scrypt " + base64.b64encode(bytes(16)).rstrip(b"=") + b" 30\n"
    yield b"\3age-encryption.org/v1\n" + scrypt + base64.b64encode(bytes(32)).rstrip(b"=") + b"\n--- AAAA\n"
    yield b"\3-----BEGIN AGE ENCRYPTED FILE-----\n" + base64.b64encode(sealed) + b"\n-----END AGE ENCRYPTED FILE-----\n"


# --- targets ---------------------------------------------------------------------------------------------------------


def public_key(data: bytes) -> None:
    how, rest = data[:1], data[1:]
    try:
        if how == b"\0":
            key = parse_key(rest)
            hold(key.blob == rest or isinstance(key, Certificate), "another key than was read")
            hold(parse_key_line(key.line) == key, "its line is another key")
        elif how == b"\1":
            parse_key_line(rest.decode("utf-8", "replace"))
        else:
            blob = unarmour(rest.decode("ascii", "replace")) if how == b"\3" else rest
            if how == b"\3":
                hold(unarmour(armour(blob)) == blob, "armour does not come off again")
            Signature.parse(blob).verify(DIGEST, MANIFEST_NAMESPACE)
    except (KeyUnusable, SignatureBad) as error:
        one_line(error)


def private_key(data: bytes) -> None:
    how, rest = data[:1], data[1:]
    path = scratch() / "key"
    beside = scratch() / "key-cert.pub"
    beside.unlink(missing_ok=True)
    private = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
    if how == b"\2":
        beside.write_bytes(rest)
        rest = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    elif how == b"\1":
        rest = openssh(rest)
    path.touch(0o600)
    path.write_bytes(rest)
    try:
        KeySigner.load(path).allowed_signers("bwvd")
    except KeyUnusable as error:
        hold(str(path) in one_line(error), "the file is not named")


def signers(data: bytes) -> None:
    try:
        allowed = AllowedSigners.parse(data, "signers")
    except SignersUnusable as error:
        hold(one_line(error).startswith("signers line "), "the line is not named")
        return
    for key in (SIGNER.key, parse_key(certificate())):
        for name in ("BWV-0001", "a" * 300):
            try:
                allowed.check(key, MANIFEST_NAMESPACE, (name, "bwvd"), NOW_S)
            except SignatureBad as error:
                one_line(error)


def sums(data: bytes) -> None:
    listed, _, signature = data.partition(b"\0")
    is_whole(signature)
    try:
        check_signature(listed, signature)
    except SignatureBad as error:
        one_line(error)
    try:
        names = parse_sums(listed)
    except ValueError as error:
        hold("\n" not in str(error), "more than one line")
    else:
        hold(not any("/" in name or "\n" in name for name in names), "a name outside the folder")


def receipt(data: bytes) -> None:
    allowed = AllowedSigners.parse(
        f'evidence-server namespaces="{RECEIPT_NAMESPACE}" {SIGNER.public_key}\n'.encode(), "receivers"
    )
    how, rest = data[:1], data[1:]
    text, _, beside = rest.partition(b"\0")
    signature: bytes | None = None
    if how == b"\0":
        text = rest
        signature = armour(SIGNER.sign(hashlib.sha512(text).digest(), RECEIPT_NAMESPACE)).encode()
    elif how == b"\2":
        signature = beside
    try:
        accept_receipt(text, signature, [allowed], NOW_S)
    except ReceiptBad as error:
        one_line(error)


def statement(data: bytes) -> None:
    allowed = AllowedSigners.parse(f'clerk namespaces="{STATEMENT_NAMESPACE}" {SIGNER.public_key}\n'.encode(), "list")
    how, rest = data[:1], data[1:]
    text, _, signature = rest.partition(b"\0")
    if how == b"\0":
        text = rest
        signature = armour(SIGNER.sign(hashlib.sha512(text).digest(), STATEMENT_NAMESPACE)).encode()
    path = scratch() / "redacted.mp4.statement.json"
    path.write_bytes(text)
    path.with_name(path.name + ".sig").write_bytes(signature)
    (scratch() / "redacted.mp4").write_bytes(b"made")
    report = verify_statement(path, allowed)
    hold(report.verdict in ("stated", "unvouched", "altered", "unreadable"), report.verdict)
    hold(report.good == (not report.findings), "a verdict against its findings")
    hold(all(sentence.isprintable() for sentence in report.sentences), "a sentence that steers a terminal")
    json.dumps(report.as_dict(), allow_nan=False)


def seal(data: bytes) -> None:
    how, rest = data[:1], data[1:]
    path = scratch() / "seal"
    try:
        if how == b"\0":
            sealer = load_recipients([rest.decode("utf-8", "replace")])
        elif how == b"\1":
            path.write_bytes(rest)
            sealer = load_recipients([str(path)])
        elif how == b"\2":
            path.write_bytes(rest)
            load_identities([path])
            return
        else:
            open_sealed(rest, [identity()])
            return
        if sealer is not None:
            sealer.seal(b"plain")
    except (RecipientsUnusable, IdentityUnusable) as error:
        one_line(error)


TARGETS = (
    Target("public_key", public_key, public_key_seeds),
    Target("private_key", private_key, private_key_seeds, weight=0.5),
    Target("signers", signers, signers_seeds),
    Target("sums", sums, sums_seeds, weight=0.5),
    Target("receipt", receipt, receipt_seeds, weight=0.7),
    Target("statement", statement, statement_seeds, weight=0.7),
    Target("seal", seal, seal_seeds),
)
