"""Statement: whoever made a file from a recording (a redaction, a still, a transcript) says so, signed. Pure.

One JSON object beside the derived file, and a signature beside that, as stock ssh-keygen makes it:

    ssh-keygen -Y sign -n bwvd-statement -f KEY redacted.mp4.statement.json
"""

from __future__ import annotations

from typing import Literal

import msgspec

STATEMENT_NAMESPACE = "bwvd-statement"
STATEMENT_SUFFIX = ".statement.json"  # behind the derived file's whole name
NOTE_CHARACTERS = 1000

_WHAT = {"export": "an export", "recording": "the folder", "proof": "a proof"}


class Original(msgspec.Struct, frozen=True, kw_only=True):
    """What a file was made from."""

    kind: Literal["export", "recording", "proof"]
    name: str  # of the file, or of the recording's folder
    bytes: int
    sha256: str  # of the file, or of the folder's manifest.jsonl, which names all else
    recording: str
    device: str
    manifest_sha512: str
    segments: str = ""  # that an export holds: "3-9"
    from_s: str = ""  # where in the recording an export begins
    verdict: str  # of the recording, as the signer saw it; of an export, as it says itself

    @property
    def text(self) -> str:
        """The same in words."""
        first, _, last = self.segments.partition("-")
        part = f", segments {first} to {last} from {self.from_s} s on" if self.segments else ""
        when = "says of itself" if self.kind == "export" else "was"
        return (
            f"{self.name}, {_WHAT[self.kind]} of recording {self.recording}{part}"
            f" (SHA-512 of its manifest {self.manifest_sha512[:16]}…; it {when}: {self.verdict.replace('_', ' ')})"
        )


class Derived(msgspec.Struct, frozen=True, kw_only=True):
    """The file that was made."""

    name: str
    bytes: int
    sha256: str


class Statement(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="statement"):
    """What a statement says. Fields that are not known are ignored: they are signed all the same."""

    format: Literal[1]
    original: Original
    derived: Derived
    note: str  # what was done
    by: str  # the name under which a list has the signer's key
    made_utc: str
