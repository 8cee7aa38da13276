"""Encryption to recipients whose identities the device does not hold: every sealed file is one whole age file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from bwvd.evidence.errors import IdentityUnusable, RecipientsUnusable
from bwvd.evidence.flash.regular_file import read_regular
from bwvd.text import foreign_encoding, one_line

SALT_BYTES = 16

_FILE_BYTES = 1_048_576  # of a file of recipients or identities
_HEADER = b"age-encryption.org/v1"
_ARMOUR = b"-----BEGIN AGE ENCRYPTED FILE-----"


class Sealer(Protocol):
    """Encrypts before anything reaches the flash."""

    recipients: list[str]  # public, as the manifest names them

    def seal(self, plain: bytes) -> bytes:
        """One whole age file. Blocking; 0.6 ms for 250 kB, during which it holds the interpreter's lock."""
        ...


class AgeSealer:
    """Seals to age recipients: `age1…`, `ssh-ed25519 AAAA…`, `ssh-rsa AAAA…`.

    **Synchronization:** immutable; any thread.

    Raises: RecipientsUnusable from the constructor.
    """

    def __init__(self, recipients: Sequence[str]) -> None:
        self.recipients = list(dict.fromkeys(_canonical(recipient) for recipient in recipients))
        if not self.recipients:
            raise RecipientsUnusable("keys.recipients names nobody")
        import pyrage  # here, as all below: a megabyte that most recorders have no use for

        self._encrypt = pyrage.encrypt
        self._keys = [_recipient(recipient) for recipient in self.recipients]

    def seal(self, plain: bytes) -> bytes:
        sealed: bytes = self._encrypt(plain, self._keys)
        return sealed


def load_recipients(entries: Sequence[str]) -> AgeSealer | None:
    """A sealer for the configuration's `keys.recipients`; None if it is empty.

    An entry is a recipient, or the path of a file that holds one a line (empty lines and # comments are skipped).

    Raises: RecipientsUnusable, naming the entry. A file without a single recipient is an error, because whoever named
    it does not expect recordings in the clear.
    """
    recipients: list[str] = []
    for entry in entries:
        if entry.startswith(("age1", "ssh-")):
            recipients.append(entry)
        else:
            recipients += _recipients_of_file(entry)
    return AgeSealer(recipients) if recipients else None


def load_identities(paths: Iterable[str | Path]) -> list[Any]:
    """Identities to open sealed files with: age identity files and OpenSSH private keys.

    Raises: IdentityUnusable, naming the file.
    """
    identities: list[Any] = []
    for path in paths:
        identities += _identities_of_file(Path(path))
    return identities


def open_sealed(data: bytes, identities: Sequence[Any]) -> bytes:
    """The plain bytes of one whole age file.

    Raises: IdentityUnusable if no identity fits, or the file is damaged.
    """
    import pyrage

    try:
        plain: bytes = pyrage.decrypt(data, list(identities))
    except pyrage.DecryptError as error:
        raise IdentityUnusable(f"can't be decrypted: {one_line(error)}") from None
    return plain


def private_json(fields: dict[str, str | int | float | bool | None], salt: bytes) -> bytes:
    """The plain text of a sealed record: one JSON object whose hash gives nothing away, thanks to `salt`.

    `salt` is 16 fresh random bytes; the output depends on nothing else than the arguments.
    """
    if len(salt) != SALT_BYTES:
        raise ValueError(f"the salt has {len(salt)} bytes, not {SALT_BYTES}")
    text = json.dumps({**fields, "salt": salt.hex()}, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode() + b"\n"


def _canonical(recipient: str) -> str:
    """An SSH key without its comment: the manifest names keys, not people."""
    words = recipient.split()
    return " ".join(words[:2]) if recipient.startswith("ssh-") else recipient.strip()


def _recipient(text: str) -> Any:
    import pyrage

    try:
        if text.startswith("ssh-"):
            return pyrage.ssh.Recipient.from_str(text)
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        raise RecipientsUnusable(f"keys.recipients: {text[:80]!r} is not a recipient: {one_line(error)}") from None


def _recipients_of_file(entry: str) -> list[str]:
    try:
        data = read_regular(entry, _FILE_BYTES, follow=True)
    except OSError as error:
        what = "is neither age1…, nor ssh-…, nor a file that can be read"
        raise RecipientsUnusable(f"keys.recipients: {entry[:200]!r} {what}: {error.strerror}") from error
    if encoding := foreign_encoding(data):
        raise RecipientsUnusable(f"keys.recipients: {entry} {encoding}")
    if b"AGE-SECRET-KEY-" in data.upper() or b"PRIVATE KEY-----" in data:
        raise RecipientsUnusable(f"keys.recipients: {entry} holds a secret key; it must never be on a device")
    recipients = []
    for number, line in _lines(data):
        try:
            _recipient(_canonical(line))
        except RecipientsUnusable as error:
            raise RecipientsUnusable(f"{error} ({entry} line {number})") from None
        recipients.append(line)
    if not recipients:
        raise RecipientsUnusable(f"keys.recipients: {entry} holds no recipient")
    return recipients


def _identities_of_file(path: Path) -> list[Any]:
    import pyrage

    try:
        data = read_regular(path, _FILE_BYTES, follow=True)
    except OSError as error:
        raise IdentityUnusable(f"{path}: {error.strerror}") from None
    if encoding := foreign_encoding(data):
        raise IdentityUnusable(f"{path} {encoding}")
    if data.startswith((_HEADER, _ARMOUR)):
        raise IdentityUnusable(f"{path}: encrypted; decrypt it first: age -d {path}")
    if b"PRIVATE KEY-----" in data:
        try:
            return [pyrage.ssh.Identity.from_buffer(data)]
        except pyrage.IdentityError as error:
            if "decrypted first" in str(error):
                what = "has a passphrase, and bwvd asks nobody for it; take it off a copy: ssh-keygen -p -f COPY"
                raise IdentityUnusable(f"{path}: {what}") from None
            raise IdentityUnusable(f"{path}: {one_line(error)}") from None
    identities = []
    for number, line in _lines(data):
        try:
            identities.append(pyrage.x25519.Identity.from_str(line))
        except pyrage.IdentityError:
            raise IdentityUnusable(f"{path}: line {number} is not an age identity (AGE-SECRET-KEY-1…)") from None
    if not identities:
        raise IdentityUnusable(f"{path}: holds no identity")
    return identities


def _lines(data: bytes) -> list[tuple[int, str]]:
    """Numbered lines that say something."""
    lines = enumerate(data.decode("utf-8", "replace").splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.strip() and not line.lstrip().startswith("#")]
