"""The end of a file of signed lines, for what has to go on with it: recovery and the journal, at start-up.

The last signature covers every byte before it, the earlier signatures included, so a file that is well-formed and whose
last signature holds is as its device wrote it. Checking that one alone takes a recording of twelve hours from six
seconds to a fraction of one; at the first oddity the strict reader judges every line.

That a signature holds says that the file is as somebody wrote it. Pass `key` to act only on records signed by it: lines
signed by other keys are read, counted and reported, and do not reach the fold.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import msgspec

from bwvd import hashing
from bwvd.evidence.errors import SignatureBad
from bwvd.evidence.flash.pieces import pieces
from bwvd.evidence.flash.steps import STEP_BYTES, Steps, at_once
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format.chain import Chain
from bwvd.evidence.format.chain_reader import ChainReader, Problem
from bwvd.evidence.format.decode import CLAIMANTS, MAX_LINE, SIGNATURE_BEGIN, Unknown, decode, signature_of
from bwvd.evidence.format.line_reader import LineReader, Readable
from bwvd.evidence.format.records import Found, Record, Recovered, TornTail
from bwvd.evidence.format.skim import Run, Skim
from bwvd.evidence.keys.ssh_keys import Certificate, PublicKey
from bwvd.evidence.keys.ssh_wire import string
from bwvd.evidence.keys.sshsig import Signature


class Fold(Protocol):
    """Collects something from the records of a file."""

    def take(self, record: Record | Unknown) -> None:
        """The next record that holds, in order."""
        ...


F = TypeVar("F", bound=Fold)

# Read in one step where nothing is wrong, and judged in one step where every signature is: some ten milliseconds.
STEP_RECORDS = 256
STEP_SIGNATURES = 64


@dataclass(frozen=True, slots=True)
class Ending:
    """Where a file of signed lines ends."""

    size: int  # bytes of the file
    end: int  # offset behind the last record whose signature holds
    records: int  # how many hold; the next one's `n`
    torn: Found | None  # the bytes behind `end`, to be named by the next record, once the newline is there
    newline_missing: bool  # append b"\n" first; `end` and `torn` count it already
    problems: list[Problem]  # what no power cut explains
    foreign_at: int | None = None  # offset of the first line that another key than the one asked for has signed
    skipped: int = field(default=0, compare=False)  # of the records, entries that were not decoded: nobody asked
    sha512: Any = field(default=None, compare=False, repr=False)  # running, over all that `absorb` takes; if at hand

    @property
    def named(self) -> Found | None:
        """The bytes behind `end` as the next record has to name them.

        What no power cut explains is named without its digest: no reader then takes it for accounted for, and the file
        stays altered, as it is.
        """
        if self.torn is not None and self.problems:
            return msgspec.structs.replace(self.torn, sha256="")
        return self.torn


def read_ending(
    volume: Volume,
    path: str,
    name: str,
    namespace: str,
    fold: Callable[[], F],
    *,
    key: str = "",
    asked_for: Collection[str] | None = None,
) -> tuple[Ending, F]:
    """Read the signed lines of the file at `path`; `name` is for the places that are reported.

    Args:
        fold: called for a fresh fold, once or twice.
        key: a public key's line; records that another one has signed do not reach the fold. "" = whoever has.
        asked_for: with a key: of entries those of these events must reach the fold, others may; `Ending.skipped` counts
            those that have not. None = all.

    Blocking. Raises OSError.
    """
    return at_once(ending_steps(volume, path, name, namespace, fold, key=key, asked_for=asked_for))


def ending_steps(
    volume: Volume,
    path: str,
    name: str,
    namespace: str,
    fold: Callable[[], F],
    *,
    key: str = "",
    asked_for: Collection[str] | None = None,
) -> Steps[tuple[Ending, F]]:
    """`read_ending` in steps."""
    folded = fold()
    ending = yield from _quickly(_VolumeFile(volume, path), name, namespace, folded, key, asked_for)
    if ending is None:
        folded = fold()
        ending = yield from _strictly(_VolumeFile(volume, path), name, namespace, folded, key)
    return ending, folded


def _strictly(file: Readable, name: str, namespace: str, fold: Fold, key: str) -> Steps[Ending]:
    reader = ChainReader(file, name, namespace)
    foreign_at = None
    for signed in reader:
        if not reader.records % STEP_SIGNATURES:
            yield
        if _is_by(signed.key, key):
            fold.take(signed.record)
        elif foreign_at is None:
            foreign_at = signed.offset
    return Ending(
        reader.size,
        reader.end,
        reader.records,
        reader.torn,
        reader.newline_missing,
        reader.problems,
        foreign_at,
    )


def absorb(chain: Chain, volume: Volume, path: str, ending: Ending) -> None:
    """Advance `chain`, a fresh one, to the end of the file, counting torn bytes and the missing newline."""
    if ending.sha512 is not None:
        chain.resume(ending.sha512, ending.size + ending.newline_missing, ending.records)
        return
    for piece in pieces(volume, path, 0, ending.size):
        chain.absorb(piece)
    chain.absorb(b"\n" if ending.newline_missing else b"", ending.records)


@dataclass(slots=True)
class _Region:
    offset: int
    size: int
    sha256: hashing.Digest

    def take(self, data: bytes) -> None:
        self.size += len(data)
        self.sha256.update(data)

    def found(self, name: str) -> Found:
        digest = self.sha256.hexdigest()
        return Found(what="torn_line", where=name, offset=self.offset, bytes=self.size, sha256=digest)


def _quickly(
    file: Readable, name: str, namespace: str, fold: Fold, key: str, asked_for: Collection[str] | None
) -> Steps[Ending | None]:
    """What ChainReader would find in a file without problems, with one signature checked; None: it has to look.

    One signature vouches for what the same key has signed before it, and for nobody else's.
    """
    sha512 = hashing.sha512()
    to_check: tuple[bytes, bytes] | None = None  # the newest digest and the signature over it
    region: _Region | None = None
    skim: Skim | None = None
    size = end = records = skipped = 0
    whole = True
    next_step = STEP_BYTES
    lines = LineReader(file, MAX_LINE)
    line = lines.next()
    while line:
        if size >= next_step or not (records + 1) % STEP_RECORDS:
            next_step = size + STEP_BYTES
            yield
        if region is not None and signature_of(line) is None and not line.startswith(CLAIMANTS):
            whole = line.endswith(b"\n")
            passed = line + (lines.skip(*CLAIMANTS, SIGNATURE_BEGIN) if whole else b"")
            sha512.update(passed)
            region.take(passed)
            size += len(passed)
            line = lines.next()
            continue
        following = lines.next()
        whole = (following or line).endswith(b"\n")
        closing = following if whole or len(following) >= MAX_LINE else following + b"\n"
        sha512.update(line)
        record, blob = _pair(line, closing, records)
        if record is None or blob is None:
            if signature_of(line) is not None:
                return None  # a whole signature that signs nothing: no power cut leaves that
            region = region or _Region(size, 0, hashing.sha256())
            region.take(line)
            size += len(line)
            line = following
            continue
        if region is not None:
            if not (_holds((sha512.digest(), blob), namespace) and _names(record, region.found(name))):
                return None
            region = None
        if key and not _names_key(blob, key):
            return None
        to_check = (sha512.digest(), blob)
        sha512.update(closing)
        size += len(line) + len(following)
        end, records = size + len(closing) - len(following), records + 1
        fold.take(record)
        if key and asked_for is not None:
            skim = skim or Skim(_head_of(blob), asked_for)
            while (run := skim.run(lines, records)).entries:
                if (last := signature_of(run.signature)) is None or not _decoded(run, fold):
                    return None
                sha512.update(run.signed)
                to_check = (sha512.digest(), last)
                sha512.update(run.signature)
                size = end = size + run.size
                records, skipped = records + run.entries, skipped + run.entries - len(run.asked_for)
                whole = True
                lines.pass_over(run.size)
                yield
        line = lines.next()
    if to_check is not None and not _holds(to_check, namespace):
        return None
    torn = None
    if region is not None:
        if not whole:
            region.take(b"\n")
            sha512.update(b"\n")
        torn = region.found(name)
    return Ending(size, end, records, torn, not whole, [], skipped=skipped, sha512=sha512)


def _decoded(run: Run, fold: Fold) -> bool:
    """Let the entries that are asked for reach the fold; False where one is no such record."""
    for number, line in run.asked_for:
        record = decode(line)
        if isinstance(record, str) or record.n != number:
            return False
        fold.take(record)
    return True


def _head_of(blob: bytes) -> bytes:
    """A signature up to its value: the same in every one by its key in its file."""
    return blob[: len(blob) - len(string(Signature.parse(blob).value))]


def _pair(line: bytes, closing: bytes, n: int) -> tuple[Record | Unknown | None, bytes | None]:
    if not line.endswith(b"\n"):
        return None, None
    record = decode(line)
    if isinstance(record, str) or record.n != n:
        return None, None
    return record, signature_of(closing)


def _holds(signed: tuple[bytes, bytes], namespace: str) -> bool:
    digest, blob = signed
    try:
        Signature.parse(blob).verify(digest, namespace)
    except SignatureBad:
        return False
    return True


def _names_key(blob: bytes, key: str) -> bool:
    """Whether the signature says that it is by `key`; whether it is, is another question."""
    try:
        return _is_by(Signature.parse(blob).key, key)
    except SignatureBad:
        return False


def _is_by(signer: PublicKey | Certificate, key: str) -> bool:
    plain = signer.key if isinstance(signer, Certificate) else signer
    return not key or plain.line == key


def _names(record: Record | Unknown, torn: Found) -> bool:
    named = record.found if isinstance(record, Recovered) else [record.found] if isinstance(record, TornTail) else []
    return any((f.offset, f.bytes, f.sha256) == (torn.offset, torn.bytes, torn.sha256) for f in named)


class _VolumeFile:
    """A file of a volume, read from its beginning on."""

    def __init__(self, volume: Volume, path: str) -> None:
        self._volume = volume
        self._path = path
        self._offset = 0

    def read(self, size: int, /) -> bytes:
        data = self._volume.read(self._path, self._offset, size)
        self._offset += len(data)
        return data
