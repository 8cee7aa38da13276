"""Work of the storage's thread in short steps: between two of them others have the storage.

A job that reads a recording of twelve hours would keep a press from its first commit for seconds. Such work is a
generator instead: what lies between two `yield`s is bounded by a count of bytes, records or files, and whoever runs it
makes a job of each step.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

from bwvd import hashing
from bwvd.evidence.flash.pieces import pieces
from bwvd.evidence.flash.volume import Volume

T = TypeVar("T")

Steps = Generator[None, None, T]  # what it returns is the outcome

STEP_BYTES = 2_097_152  # read and hashed, or written and synced, in one step: 50 ms of a card that takes 40 MB/s
STEP_NAMES = 1024  # of a folder, looked at in one step


def at_once(steps: Steps[T]) -> T:
    """All steps in one, where nobody waits for the storage. Blocking. Raises what they raise."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            outcome: T = end.value
            return outcome


def digest_steps(
    hash_: hashing.Digest, volume: Volume, path: str, begin: int = 0, end: int | None = None
) -> Steps[str]:
    """The hash of a file's bytes, in hex. Raises OSError."""
    done = 0
    for piece in pieces(volume, path, begin, end):
        hash_.update(piece)
        done += len(piece)
        if done >= STEP_BYTES:
            done = 0
            yield
    return hash_.hexdigest()
