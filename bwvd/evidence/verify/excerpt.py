"""An excerpt: a proof with the whole signed manifest, and one run of the segments. What is left out is withheld.

The device has signed nothing that says that a part was to be left out: the declaration is its maker's. It hides
nothing, as the manifest names every segment with its time and digest, so whoever has an excerpt knows what he does not
have. It is one run, so that nothing is cut out of what is seen; it names the manifest that it was made of; it is never
`authentic`; and a proof that lacks a segment without it is altered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from bwvd.evidence.format.layout import MANIFEST
from bwvd.evidence.verify.folder import Folder, read_file
from bwvd.evidence.verify.report import Excerpt, Report
from bwvd.text import one_line

DECLARATION = "excerpt.json"  # in a proof, beside README.txt
_MOST_BYTES = 4096


class Declared(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="excerpt"):
    """What the maker of an excerpt declares."""

    format: Literal[1]
    recording: str
    manifest_sha512: str  # up to its last signature
    first: int  # numbers of segments
    last: int
    of: int


@dataclass(frozen=True, slots=True)
class Chosen:
    """The segments of an excerpt, by number."""

    first: int
    last: int

    def has(self, segment: int) -> bool:
        return self.first <= segment <= self.last


def read_declaration(folder: Folder) -> Declared | str | None:
    """What a proof declares, or why that can't be read; None where it is no excerpt."""
    try:
        declared = msgspec.json.decode(read_file(folder, DECLARATION, _MOST_BYTES), type=Declared)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return one_line(error)
    return declared if 1 <= declared.first <= declared.last <= declared.of else "names no segments"


def hold(declared: Declared, report: Report, manifest_sha512: str) -> None:
    """Hold a declaration against the recording that was verified by it; the report then says that it is an excerpt."""
    if declared.recording != report.id:
        report.altered(DECLARATION, f"is for {declared.recording[:80]}, not for {report.id}")
    if declared.manifest_sha512 != manifest_sha512:
        report.altered(DECLARATION, f"was made of another {MANIFEST}")
    if declared.of != report.segments:
        report.altered(DECLARATION, f"says {declared.of} segments where the manifest has {report.segments}")
    report.excerpt = Excerpt(declared.first, declared.last, declared.of)
