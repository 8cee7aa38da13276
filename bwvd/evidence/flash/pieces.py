"""Pieces of a file on the flash: how it is hashed or copied without having all of it in memory. Blocking."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator

from bwvd import hashing
from bwvd.evidence.flash.volume import Volume

PIECE_BYTES = 1_048_576


def pieces(volume: Volume, path: str, begin: int = 0, end: int | None = None) -> Iterator[bytes]:
    """The bytes of a file from offset `begin` to offset `end`; None = to its end.

    Raises: OSError, also if the file ends before `end`.
    """
    while end is None or begin < end:
        piece = volume.read(path, begin, PIECE_BYTES if end is None else min(PIECE_BYTES, end - begin))
        if not piece:
            if end is None:
                return
            raise OSError(errno.EIO, f"shorter than {end} bytes, which it had", path)
        begin += len(piece)
        yield piece


def digest(hash_: hashing.Digest, parts: Iterable[bytes]) -> str:
    """The hash of all parts, in hex."""
    for part in parts:
        hash_.update(part)
    return hash_.hexdigest()
