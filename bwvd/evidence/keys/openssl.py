"""Hashes of the OpenSSL that signs, for `bwvd.hashing`."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256, SHA512, Hash, HashAlgorithm

from bwvd.hashing import Begin, Data, Digest, hash_with


class _Shared:
    """A `Digest` of cryptography's."""

    __slots__ = ("_hash", "update")

    def __init__(self, begun: Hash) -> None:
        self._hash = begun
        self.update = begun.update

    def digest(self) -> bytes:
        return self._hash.copy().finalize()

    def hexdigest(self) -> str:
        return self.digest().hex()

    def copy(self) -> Digest:
        return _Shared(self._hash.copy())


def share_openssl() -> None:
    """Hash with cryptography's OpenSSL from now on: for a process that signs."""
    hash_with(_beginning(SHA256()), _beginning(SHA512()))


def _beginning(algorithm: HashAlgorithm) -> Begin:
    def begin(data: Data) -> Digest:
        begun = Hash(algorithm)
        if data:
            begun.update(data)
        return _Shared(begun)

    return begin
