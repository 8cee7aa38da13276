"""Strict reader of signed lines, in bounded memory: it says where they stop being what was signed.

Pure: the caller opens the file and decides whose keys to trust. What the lines must look like is FORMAT.md's;
`bwvd.evidence.format.chain` writes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bwvd import hashing
from bwvd.evidence.errors import SignatureBad
from bwvd.evidence.format.chain import MANIFEST_NAMESPACE
from bwvd.evidence.format.decode import CLAIMANTS, MAX_LINE, SIGNATURE_BEGIN, Unknown, decode, signature_of
from bwvd.evidence.format.line_reader import LineReader, Readable
from bwvd.evidence.format.records import Found, Record, Recovered, TornTail
from bwvd.evidence.keys.ssh_keys import Certificate, PublicKey
from bwvd.evidence.keys.sshsig import Signature

MAX_PROBLEMS = 1000  # more say nothing new


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it was signed."""

    where: str  # "manifest.jsonl line 7 (byte 1234)", "000003.m4s (segment 3, 2.0 s to 3.0 s)"
    what: str


@dataclass(frozen=True, slots=True)
class Signed:
    """One record whose signature holds, over every byte of the file before the signature's line."""

    record: Record | Unknown
    line: int  # the record's line number, from 1
    offset: int  # of its first byte
    size: int  # bytes of its line, newline included
    end: int  # offset behind its signature line
    key: PublicKey | Certificate  # whose signature; whether that one is to be trusted is the caller's question
    sha512: bytes  # of all bytes before `end`


@dataclass(slots=True)
class _Region:
    """Lines that no signature has claimed yet."""

    line: int
    offset: int
    reason: str
    size: int = 0
    sha256: Any = field(default_factory=hashing.sha256)
    has_signature: bool = False  # a whole, well-formed signature line is among them
    has_nul: bool = False

    def take(self, data: bytes) -> None:
        """A line, or a block of lines none of which is a signature's."""
        self.size += len(data)
        self.sha256.update(data)
        self.has_nul = self.has_nul or b"\0" in data
        self.has_signature = self.has_signature or signature_of(data) is not None

    @property
    def stops(self) -> tuple[bytes, ...]:
        """How lines begin that must be looked at one by one."""
        return CLAIMANTS if self.has_signature else (*CLAIMANTS, SIGNATURE_BEGIN)


class ChainReader:
    """Walks a file of signed lines once; iterate over it, then ask it what was wrong.

    Bytes that a later `recovered` or `torn` record names by offset, length and SHA-256 are accounted for: they are what
    a power cut left of an unfinished append. All else that is not a record followed by its signature is a problem.

    Memory: a few lines of MAX_LINE at most.
    """

    def __init__(self, file: Readable, name: str, namespace: str = MANIFEST_NAMESPACE) -> None:
        """`file` is an open binary file (or io.BytesIO) at its start; `name` is for the places that are reported."""
        self._lines = LineReader(file, MAX_LINE)
        self._namespace = namespace
        self._sha512 = hashing.sha512()
        self._whole = True  # what was read last ended in a newline
        self.name = name
        self.problems: list[Problem] = []
        self.size = 0  # bytes read
        self.end = 0  # offset behind the last record whose signature holds, its newline included
        self.records = 0  # how many hold; the next one's `n`
        self.torn: Found | None = None  # what stands behind `end`, as the next record has to name it

    def __iter__(self) -> Iterator[Signed]:
        number, offset = 1, 0
        region: _Region | None = None
        line = self._next()
        while line:
            if region is not None and not line.startswith(CLAIMANTS):
                passed = line + self._skip(region, line)
                number, offset = number + passed.count(b"\n"), offset + len(passed)
                line = self._next()
                continue
            following = self._next()
            # Cut one byte before its end, the last signature still holds; whoever goes on writes that newline first.
            closing = following if self._whole or len(following) >= MAX_LINE else following + b"\n"
            self._sha512.update(line)
            found = self._pair(line, closing)
            if isinstance(found, str):  # why it is not a signed record
                if region is None:
                    region = _Region(number, offset, found)
                region.take(line)
                number, offset = number + line.endswith(b"\n"), offset + len(line)
                line = following
                continue
            record, key = found
            self._sha512.update(closing)
            end = offset + len(line) + len(closing)
            if region is not None:
                self._account(region, record)
                region = None
            self.end, self.records = end, self.records + 1
            yield Signed(record, number, offset, len(line), end, key, self._sha512.digest())
            number, offset = number + 2, end
            line = self._next()
        if region is not None:
            self._finish(region)

    @property
    def newline_missing(self) -> bool:
        """The file does not end in a newline, though `end` and `torn` count one: whoever goes on writes it first."""
        return not self._whole

    def where(self, line: int, offset: int) -> str:
        return f"{self.name} line {line} (byte {offset})"

    def _skip(self, region: _Region, line: bytes) -> bytes:
        """Add `line` to the region, and the lines behind it that are not worth a look; returns these."""
        self._sha512.update(line)
        region.take(line)
        block = self._lines.skip(*region.stops) if self._whole else b""
        self.size += len(block)
        self._sha512.update(block)
        region.take(block)
        return block

    def _next(self) -> bytes:
        """The next line, or a piece of MAX_LINE bytes of one that is too long; b"" at the end."""
        line = self._lines.next()
        self.size += len(line)
        if line:
            self._whole = line.endswith(b"\n")
        return line

    def _pair(self, line: bytes, following: bytes) -> tuple[Record | Unknown, PublicKey | Certificate] | str:
        """The record in `line`, signed by `following`; or why it is none. The hash stands behind `line`."""
        if not line.endswith(b"\n"):
            return f"longer than {MAX_LINE} bytes" if len(line) >= MAX_LINE else "cut short"
        record = decode(line)
        if isinstance(record, str):
            return record
        blob = signature_of(following)
        if blob is None:
            return "no signature follows it"
        try:
            signature = Signature.parse(blob)
            key = signature.verify(self._sha512.digest(), self._namespace)
        except SignatureBad as error:
            moved = "" if record.n == self.records else f" (it is record {record.n} where {self.records} is expected)"
            return f"the signature after it does not hold: {error}{moved}"
        if record.n != self.records:
            return f"record {record.n} where {self.records} is expected"
        return record, key

    def _account(self, region: _Region, record: Record | Unknown) -> None:
        """`record` is the first that holds after `region`: does it name those bytes?"""
        named: list[Found] = []
        if isinstance(record, Recovered):
            named = record.found
        elif isinstance(record, TornTail):
            named = [record.found]
        digest = region.sha256.hexdigest()
        if not any(f.offset == region.offset and f.bytes == region.size and f.sha256 == digest for f in named):
            self._problem(region.line, region.offset, f"{region.size} bytes that no record names: {region.reason}")

    def _finish(self, region: _Region) -> None:
        """The file ends without a signature over `region`: an unfinished append, or an alteration?

        An append that a power cut ended has no whole signature, unless a block of it never reached the medium (NULs).
        """
        altered = region.has_signature and not region.has_nul
        if altered:
            self._problem(region.line, region.offset, f"{region.reason}; nothing from here on is vouched for")
        if self.newline_missing:
            region.take(b"\n")
        self.torn = Found(
            what="unsigned_lines" if altered else "torn_line",
            where=self.name,
            offset=region.offset,
            bytes=region.size,
            sha256=region.sha256.hexdigest(),
        )

    def _problem(self, line: int, offset: int, what: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(self.where(line, offset), what))
