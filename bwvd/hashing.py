"""SHA-256 and SHA-512, of one OpenSSL a process. Pure.

hashlib brings OpenSSL's library along, 3.5 MB; and cryptography, with which the recorder signs, has one of its own. So
the recorder hashes with that one (`bwvd.evidence.keys.openssl`). A command that signs nothing has hashlib's, and is
spared cryptography.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Data = bytes | bytearray | memoryview
"""A view is of single bytes (`B`) that lie one behind the other: cryptography takes no other, hashlib some."""


class Digest(Protocol):
    """A hash in the making, as hashlib's are."""

    def update(self, data: Data, /) -> None:
        """Go on with more bytes. Lets other threads run meanwhile where they are many."""
        ...

    def digest(self) -> bytes:
        """Of all bytes so far; more may follow."""
        ...

    def hexdigest(self) -> str:
        """The same in hexadecimal digits."""
        ...

    def copy(self) -> Digest:
        """Another one that has had the same bytes."""
        ...


Begin = Callable[[Data], Digest]
"""Begins a hash."""


def sha256(data: Data = b"") -> Digest:
    """SHA-256, begun with `data`."""
    return _begin[0](data)


def sha512(data: Data = b"") -> Digest:
    """SHA-512, begun with `data`."""
    return _begin[1](data)


def hash_with(begin_sha256: Begin, begin_sha512: Begin) -> None:
    """Take hashes from elsewhere from now on. Those that were begun before go on as they are.

    **Synchronization:** before the process has threads.
    """
    global _begin
    _begin = begin_sha256, begin_sha512


def _of_hashlib(name: str) -> Begin:
    def begin(data: Data) -> Digest:
        import hashlib  # here: not for whom hashes come from elsewhere

        return hashlib.new(name, data)

    return begin


_begin: tuple[Begin, Begin] = _of_hashlib("sha256"), _of_hashlib("sha512")
