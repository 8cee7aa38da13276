"""What a fuzz target is, and what every parser promises: a verdict, a value, or its own exception of one line.

Never another exception, nor more than a second of CPU time, nor more than some tens of MB.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LIMIT_S = 1.0  # of CPU time, for INPUT_BYTES
COVERAGE_COSTS = 3  # times as much while it is recorded
LIMIT_BYTES = 64 * 1024 * 1024  # that one input may add to the largest size the process had before
INPUT_BYTES = 65_536
MESSAGE_CHARACTERS = 1000
SCRATCH = "BWVD_FUZZ_SCRATCH"  # in the environment of a process that fuzzes


class Broken(AssertionError):
    """A promise was not kept."""


@dataclass(frozen=True)
class Target:
    """One parser or one family of them.

    `run` takes any bytes and keeps the promise, raising Broken (or whatever the parser should not have raised).
    `seeds` makes inputs that get deep into the parser: what it was made for, and what is known to be difficult.
    `mutate` alters an input in ways that random bytes rarely hit; None leaves that to the fuzzer.
    """

    name: str
    run: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]]
    mutate: Callable[[bytes, int], bytes] | None = None  # an input and a seed for what is chosen
    weight: float = 1.0  # share of the time when all targets are run

    def check(self, data: bytes) -> None:
        """Run one input and hold the parser to its promise."""
        size_before, started_s = _largest_bytes(), time.process_time()
        self.run(data)
        took_s, grown = time.process_time() - started_s, _largest_bytes() - size_before
        limit_s = LIMIT_S * (COVERAGE_COSTS if SCRATCH in os.environ else 1)
        if took_s > limit_s * max(1.0, len(data) / INPUT_BYTES):
            raise Broken(f"{self.name}: {took_s:.2f} s of CPU time for {len(data)} bytes")
        if grown > LIMIT_BYTES:
            raise Broken(f"{self.name}: {grown / 1e6:.0f} MB for {len(data)} bytes")


def one_line(error: Exception | str) -> str:
    """The text of an expected error, which a person sees as it is."""
    text = str(error)
    if not text or not text.isprintable() or len(text) > MESSAGE_CHARACTERS:
        raise Broken(f"not one short printable line: {text[:MESSAGE_CHARACTERS]!r}")
    return text


def hold(promise: object, what: str) -> None:
    """`assert` that `python -O` leaves in place."""
    if not promise:
        raise Broken(what)


@cache
def scratch() -> Path:
    """A folder for what has to lie in files, in memory where there is some; or the one that SCRATCH names."""
    if SCRATCH in os.environ:
        return Path(os.environ[SCRATCH])
    shared = Path("/dev/shm")  # noqa: S108  a fresh folder of ours is made in it
    folder = tempfile.TemporaryDirectory(prefix="bwvd-fuzz-", dir=shared if shared.is_dir() else None)
    _kept.append(folder)
    return Path(folder.name)


_kept: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


def _largest_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
