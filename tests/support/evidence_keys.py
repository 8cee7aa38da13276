"""Keys for tests: fixed ones of ours, and stock ssh-keygen's commands."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bwvd.evidence.keys.sshsig import KeySigner, unarmour
from tests.support.stock import need


def fixed_signer(seed: int = 1) -> KeySigner:
    """The same key for the same seed, always."""
    return KeySigner(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def write_key(path: Path, seed: int = 1) -> Path:
    """The private key of `fixed_signer(seed)` in a file, as a device has it."""
    private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    path.chmod(0o600)
    return path


def ssh_keygen(*arguments: str | Path, data: bytes = b"", check: bool = True) -> subprocess.CompletedProcess[bytes]:
    command = [need("ssh-keygen"), *(str(argument) for argument in arguments)]
    return subprocess.run(command, input=data, check=check, capture_output=True)


def stock_key(path: Path, kind: str = "ed25519", *extra: str) -> Path:
    ssh_keygen("-q", "-t", kind, "-N", "", "-C", "test", "-f", path, *extra)
    return path


def stock_sign(key: Path, message: bytes, namespace: str, *extra: str) -> bytes:
    """The binary blob."""
    return unarmour(ssh_keygen("-Y", "sign", "-f", key, "-n", namespace, *extra, data=message).stdout.decode())


def stock_verify(signers: Path, principal: str, namespace: str, signature: Path, message: bytes, *extra: str) -> bool:
    arguments: tuple[str | Path, ...] = (
        "-Y",
        "verify",
        "-f",
        signers,
        "-I",
        principal,
        "-n",
        namespace,
        "-s",
        signature,
        *extra,
    )
    return ssh_keygen(*arguments, data=message, check=False).returncode == 0


def certify(authority: Path, key: Path, *extra: str) -> None:
    """Leaves KEY-cert.pub beside the key."""
    ssh_keygen("-q", "-s", authority, "-I", "unit 7", *extra, f"{key}.pub")
