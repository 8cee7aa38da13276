"""Signed lines: every record line is followed by a signature over all bytes of the file before it.

    {"type":"open","n":0,…}\\n
    {"sig":"U1NIU0lH…"}\\n         an SSHSIG over every byte before this line

One running SHA-512 signs any prefix at the price of its newest line. Pure: the caller writes the bytes.
"""

from __future__ import annotations

import base64
from typing import Protocol

import msgspec

from bwvd import hashing
from bwvd.evidence.format.records import JournalHead, Record

MANIFEST_NAMESPACE = "bwvd-manifest"
JOURNAL_NAMESPACE = "bwvd-journal"
SUMS_NAMESPACE = "bwvd-sums"


class Signer(Protocol):
    """Whoever holds the device's key: a file, or a secure element."""

    public_key: str  # "ssh-ed25519 AAAA…", without a comment

    def sign(self, sha512: bytes, namespace: str) -> bytes:
        """The binary SSHSIG blob over a message whose SHA-512 digest is given. Blocking, thread-safe."""
        ...

    def allowed_signers(self, principal: str) -> str:
        """The line of an allowed_signers file, with its newline, that vouches for this key."""
        ...


class Chain:
    """The state of one signed file that is being appended to.

    **Synchronization:** one caller at a time.
    """

    def __init__(self, signer: Signer, namespace: str) -> None:
        self._signer = signer
        self._namespace = namespace
        self._sha512 = hashing.sha512()
        self.n = 0  # the index that the next record must carry
        self.size = 0  # bytes so far

    def line(self, record: Record) -> bytes:
        """The record's line and its signature's line, ready to be appended; the chain moves on as if they were."""
        if record.n != self.n:
            raise ValueError(f"record {record.n} where the chain stands at {self.n}")
        line = msgspec.json.encode(record) + b"\n"
        # Nothing has happened until there is a signature: whoever goes on after an error goes on from here.
        signed = self._sha512.copy()
        signed.update(line)
        blob = self._signer.sign(signed.digest(), self._namespace)
        self._absorb(line)
        signature = b'{"sig":"' + base64.b64encode(blob) + b'"}\n'
        self._absorb(signature)
        self.n += 1
        return line + signature

    def absorb(self, data: bytes, records: int = 0) -> None:
        """Take bytes that are already in the file into the hash: what recovery found, whole or torn."""
        self._absorb(data)
        self.n += records

    def resume(self, sha512: hashing.Digest, size: int, records: int) -> None:
        """Stand where a reader of the file stands: behind `size` bytes and so many records, with their running hash."""
        self._sha512 = sha512.copy()
        self.size, self.n = size, records

    def head(self, file: str) -> JournalHead:
        """Where the chain stands, to be named in another file's record."""
        return JournalHead(file=file, bytes=self.size, sha512=self._sha512.hexdigest())

    def _absorb(self, data: bytes) -> None:
        self._sha512.update(data)
        self.size += len(data)
