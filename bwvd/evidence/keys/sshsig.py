"""The device's signature: an OpenSSH Ed25519 key in a file, and SSHSIG over a SHA-512 that the caller keeps running."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bwvd.evidence.errors import KeyUnusable, SignatureBad
from bwvd.evidence.flash.regular_file import open_regular, read_bounded
from bwvd.evidence.flash.whole_file import create_whole
from bwvd.evidence.keys.ssh_keys import ED25519, USER_CERTIFICATE, Certificate, PublicKey, parse_key, parse_key_line
from bwvd.evidence.keys.ssh_wire import Reader, string

# What a device's key may sign, by name, as in bwvd.evidence.format: a pattern would let it sign receipts as well.
NAMESPACES = "bwvd-manifest,bwvd-journal,bwvd-sums"

_MAGIC = b"SSHSIG"
_VERSION = 1
_HASH = b"sha512"
_KEY_FILE_BYTES = 65_536
_ARMOUR_BEGIN = "-----BEGIN SSH SIGNATURE-----"
_ARMOUR_END = "-----END SSH SIGNATURE-----"
_ARMOUR_COLUMNS = 70


class KeySigner:
    """Signs with the private key in a file; implements `bwvd.evidence.format.chain.Signer`.

    If a certificate lies beside the key (`KEY-cert.pub`, as ssh-keygen -s leaves it), signatures carry it, so that one
    cert-authority line in allowed_signers vouches for every device of a fleet.

    **Synchronization:** immutable; any thread.
    """

    def __init__(self, private: Ed25519PrivateKey, certificate: Certificate | None = None) -> None:
        raw = private.public_key().public_bytes_raw()
        key = parse_key(string(ED25519.encode()) + string(raw))
        assert isinstance(key, PublicKey)  # noqa: S101  built one line above
        if certificate is not None:
            if certificate.key.blob != key.blob:
                raise KeyUnusable("the certificate is for another key")
            if certificate.usage != USER_CERTIFICATE:
                raise KeyUnusable("the certificate is for a host; sign one for a user (ssh-keygen -s without -h)")
            if not certificate.principals:
                raise KeyUnusable("the certificate names no principal (ssh-keygen -s … -n PRINCIPAL)")
        self._private = private
        self.key = key
        self.certificate = certificate
        self.public_key = key.line  # "ssh-ed25519 AAAA…", without a comment

    @classmethod
    def load(cls, path: str | Path) -> KeySigner:
        """Read the private key at `path`, and the certificate beside it if there is one.

        Raises: KeyUnusable, naming the file: absent, not a regular file, readable by others, encrypted, not Ed25519.
        """
        path = Path(path)
        private = _private_key(path, read_key_file(path, secret=True))
        certificate_path = path.with_name(path.name + "-cert.pub")
        if not os.path.lexists(certificate_path):
            return cls(private)
        text = read_key_file(certificate_path, secret=False).decode("utf-8", "replace")
        try:
            return cls(private, _certificate(text))
        except KeyUnusable as error:
            raise KeyUnusable(f"{certificate_path}: {error}") from None

    def sign(self, sha512: bytes, namespace: str) -> bytes:
        """The binary SSHSIG blob over a message whose SHA-512 digest is given. About 40 µs."""
        value = self._private.sign(signed_bytes(sha512, namespace))
        carried = self.certificate.blob if self.certificate is not None else self.key.blob
        return (
            _MAGIC
            + _VERSION.to_bytes(4, "big")
            + string(carried)
            + string(namespace.encode())
            + string(b"")
            + string(_HASH)
            + string(string(ED25519.encode()) + string(value))
        )

    def allowed_signers(self, principal: str) -> str:
        """The line of an allowed_signers file that vouches for this key: for its authority if it has a certificate."""
        if self.certificate is not None:
            patterns = ",".join(self.certificate.principals)
            return allowed_signers_line(patterns, self.certificate.authority.line, authority=True)
        return allowed_signers_line(principal, self.public_key)


def allowed_signers_line(principals: str, public_key: str, *, authority: bool = False) -> str:
    """One line, with its newline, that lets `public_key` sign what a device signs and nothing else.

    Raises: KeyUnusable if the principals would not survive the file's format.
    """
    if not principals or not principals.isprintable() or set(principals) & set(' \t"#'):
        raise KeyUnusable(f"{principals!r} can't be a principal in allowed_signers: no spaces, quotes or #")
    options = f'namespaces="{NAMESPACES}"'
    return f"{principals} {'cert-authority,' if authority else ''}{options} {public_key}\n"


@dataclass(frozen=True, slots=True)
class Signature:
    """The fields of an SSHSIG blob."""

    key: PublicKey | Certificate
    namespace: str
    value: bytes  # wire form: algorithm, value

    @classmethod
    def parse(cls, blob: bytes) -> Signature:
        """Strict: one version, one hash, nothing left over.

        Raises: SignatureBad.
        """
        try:
            reader = Reader(blob)
            if reader.take(len(_MAGIC)) != _MAGIC:
                raise SignatureBad("not an SSHSIG signature")
            if (version := reader.u32()) != _VERSION:
                raise SignatureBad(f"SSHSIG version {version} is not known")
            key_blob = reader.string()
            namespace = reader.text()
            if reader.string():
                raise SignatureBad("the reserved field is not empty")
            if (hash_name := reader.string()) != _HASH:
                raise SignatureBad(f"hash {hash_name[:20]!r} where sha512 is required")
            value = reader.string()
            reader.end()
        except ValueError as error:
            raise SignatureBad(f"malformed signature: {error}") from None
        try:
            return cls(parse_key(key_blob), namespace, value)
        except KeyUnusable as error:
            raise SignatureBad(str(error)) from None

    def verify(self, sha512: bytes, namespace: str) -> PublicKey | Certificate:
        """Check it against a message's digest; returns the key that made it (its certificate, if it carries one).

        Whether that key is to be trusted is another question: `bwvd.evidence.keys.allowed_signers.AllowedSigners`.

        Raises: SignatureBad.
        """
        if self.namespace != namespace:
            raise SignatureBad(f"signed for {self.namespace[:80]!r}, not for {namespace!r}")
        plain = self.key.key if isinstance(self.key, Certificate) else self.key
        plain.verify(self.value, signed_bytes(sha512, namespace))
        return self.key


def signed_bytes(sha512: bytes, namespace: str) -> bytes:
    """What the key really signs: the SSHSIG preamble, the namespace and the message's digest."""
    return _MAGIC + string(namespace.encode()) + string(b"") + string(_HASH) + string(sha512)


def armour(blob: bytes) -> str:
    """A blob as the text file that ssh-keygen -Y verify -s reads."""
    text = base64.b64encode(blob).decode()
    lines = [text[at : at + _ARMOUR_COLUMNS] for at in range(0, len(text), _ARMOUR_COLUMNS)]
    return "\n".join([_ARMOUR_BEGIN, *lines, _ARMOUR_END, ""])


def unarmour(text: str) -> bytes:
    """The blob of an armoured signature.

    Raises: SignatureBad.
    """
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    if len(lines) < 3 or lines[0] != _ARMOUR_BEGIN or lines[-1] != _ARMOUR_END:
        raise SignatureBad("not an armoured SSH signature")
    try:
        blob = base64.b64decode("".join(lines[1:-1]), validate=True)
    except (binascii.Error, ValueError):
        raise SignatureBad("bad base64 in an armoured SSH signature") from None
    return blob


def keygen(folder: str | Path, principal: str = "bwvd", *, group: int | None = None) -> list[Path]:
    """Make `device_key` (mode 0600), `device_key.pub` and `allowed_signers` in `folder`; returns their paths.

    With `group`, a number, the key is lent to that group (mode 0640). Never overwrites: if one of them exists, nothing
    is written.

    Raises: KeyUnusable.
    """
    folder = Path(folder)
    private = Ed25519PrivateKey.generate()
    signer = KeySigner(private)
    files = {
        "device_key": (_openssh_text(private), 0o600 if group is None else 0o640, group),
        "device_key.pub": (f"{signer.public_key} {principal}\n".encode(), 0o644, None),
        "allowed_signers": (signer.allowed_signers(principal).encode(), 0o644, None),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in files:
            if (folder / name).is_symlink() or (folder / name).exists():
                raise KeyUnusable(f"{folder / name} exists; a key is never overwritten")
        for name, (content, mode, lent_to) in files.items():
            create_whole(folder / name, content, mode, lent_to)
    except OSError as error:
        raise KeyUnusable(f"{error.filename or folder}: {error.strerror}") from None
    return [folder / name for name in files]


def new_key(path: Path, name: str) -> KeySigner:
    """Make a key that no device has: `path` (mode 0600), and `path`.pub with `name` for its comment. Never overwrites.

    Raises: KeyUnusable.
    """
    private = Ed25519PrivateKey.generate()
    signer = KeySigner(private)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        create_whole(path, _openssh_text(private), 0o600)
        create_whole(path.with_name(f"{path.name}.pub"), f"{signer.public_key} {name}\n".encode(), 0o644)
    except OSError as error:
        raise KeyUnusable(f"{error.filename or path}: {error.strerror}") from None
    return signer


def _openssh_text(private: Ed25519PrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat  # as below

    return private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def read_key_file(path: Path, *, secret: bool) -> bytes:
    """A key file's bytes. A symbolic link is followed (credentials are often linked); what it leads to is judged.

    Raises: KeyUnusable, naming the file: absent, not a regular file, too long; readable by others where it is `secret`.
    """
    try:
        with open_regular(path, follow=True) as file:
            status = os.fstat(file.fileno())
            # A key that root owns and lends to the daemon's group for reading (0640) is safer than one that the daemon
            # can write. To the daemon it is somebody else's; root, who checks it, knows it by the group.
            lent = status.st_uid != os.geteuid() or (status.st_uid == 0 and status.st_gid != 0)
            forbidden = 0o037 if lent else 0o077
            if secret and status.st_mode & forbidden:
                mode = stat.S_IMODE(status.st_mode)
                raise KeyUnusable(f"{path}: mode {mode:04o} lets others at the key; chmod 600 it")
            return read_bounded(file, _KEY_FILE_BYTES, path)
    except OSError as error:
        raise KeyUnusable(f"{path}: {error.strerror}") from error


def _certificate(text: str) -> Certificate:
    key = parse_key_line(text)
    if not isinstance(key, Certificate):
        raise KeyUnusable("not a certificate")
    return key


def _private_key(path: Path, data: bytes) -> Ed25519PrivateKey:
    # Here: who verifies reads no private key, and would wait for this longer than for a short recording.
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    try:
        private = load_ssh_private_key(data, password=None)
    except TypeError:
        what = "has a passphrase, and bwvd asks nobody for it; take it off a copy: ssh-keygen -p -f COPY"
        raise KeyUnusable(f"{path}: {what}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyUnusable(f"{path}: not an OpenSSH private key") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyUnusable(f"{path}: not an Ed25519 key; make one with bwvd keygen or ssh-keygen -t ed25519")
    return private
