"""Lists of digests that a time-stamp authority stamps at once, and the names under which lists and tokens lie. Pure.

    bwvd digest list 1
    journal SHA512 BYTES NUMBER STORAGE      the first BYTES bytes of journal file NUMBER on the storage of that id
    manifest SHA512                          of a closed recording's whole manifest; sorted, each once

No line names a recording: whoever gets one recording with the list that vouches for its time learns of the others that
there were so many. The journal's line may be missing, or the manifests' lines, but not both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bwvd import hashing

LIST = ".digests"  # ends the name of a list: the rest is its SHA-256
TOKEN = ".tsr"  # noqa: S105  ends a file's name: what an authority has answered (TimeStampResp, DER)

MOST_MANIFESTS = 200  # with a token it is one request of the control socket, which holds 65,536 bytes
LIST_BYTES = 32_768
WITNESS_BYTES = 67_108_864  # of all lists and tokens on a flash: some thousand of them

_FIRST = "bwvd digest list 1"
_JOURNAL = re.compile(r"journal ([0-9a-f]{128}) ([1-9][0-9]{0,14}) ([1-9][0-9]{0,8}) ([0-9a-f]{32})", re.ASCII)
_MANIFEST = re.compile(r"manifest ([0-9a-f]{128})", re.ASCII)
_LIST_NAME = re.compile(r"([0-9a-f]{64})\.digests", re.ASCII)
_TOKEN_NAME = re.compile(r"([0-9a-f]{64})\.([a-z0-9](?:[a-z0-9.-]{0,78}[a-z0-9])?)\.tsr", re.ASCII)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,78}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Head:
    """The journal as far as it went."""

    sha512: str
    bytes: int
    number: int  # of the journal's file
    storage: str  # the id in the journal's first record


@dataclass(frozen=True, slots=True)
class DigestList:
    """What one token vouches for."""

    manifests: frozenset[str]  # SHA-512, hex
    head: Head | None = None

    def encode(self) -> bytes:
        lines = [_FIRST]
        if (head := self.head) is not None:
            lines.append(f"journal {head.sha512} {head.bytes} {head.number} {head.storage}")
        lines += [f"manifest {sha512}" for sha512 in sorted(self.manifests)]
        return "".join(f"{line}\n" for line in lines).encode("ascii")


def parse_list(text: bytes) -> DigestList:
    """Raises: ValueError, one line, for anything but what `encode` writes."""
    if len(text) > LIST_BYTES:
        raise ValueError(f"more than {LIST_BYTES} bytes")
    lines = text.decode("ascii", errors="replace").split("\n")
    if lines[0] != _FIRST or lines[-1] or len(lines) < 3:
        raise ValueError("no list of digests")
    head: Head | None = None
    manifests: list[str] = []
    for number, line in enumerate(lines[1:-1], start=2):
        if (found := _JOURNAL.fullmatch(line)) and number == 2:
            head = Head(found[1], int(found[2]), int(found[3]), found[4])
        elif found := _MANIFEST.fullmatch(line):
            manifests.append(found[1])
        else:
            raise ValueError(f"line {number} is none of a list of digests")
    listed = DigestList(frozenset(manifests), head)
    if listed.encode() != text:
        raise ValueError("its lines are not in order, or not each there once")
    return listed


def list_name(text: bytes) -> str:
    """The file's name: whatever lies under it is this list, or is not what it says."""
    return hashing.sha256(text).hexdigest() + LIST


def token_name(text: bytes, label: str) -> str:
    """The name of the token of a list; `label` says whose it is. Raises: ValueError for what is no label."""
    if not _LABEL.fullmatch(label):
        raise ValueError("an authority's label has up to 80 of the characters a-z 0-9 . -")
    return f"{hashing.sha256(text).hexdigest()}.{label}{TOKEN}"


def is_list(name: str) -> bool:
    return _LIST_NAME.fullmatch(name) is not None


def token_of(name: str) -> tuple[str, str] | None:
    """The list's name and the authority's label of a token's file; None for any other name."""
    found = _TOKEN_NAME.fullmatch(name)
    return (found[1] + LIST, found[2]) if found else None
