"""Report of a verification, ready for `verify --json`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

from bwvd.text import printable

WORST_FIRST = (
    "altered",
    "unreadable",
    "unvouched",
    "copy",
    "not_closed",
    "excerpt",
    "recovered",
    "stated",
    "authentic",
)


OF_FILES = ("copy", "stated")  # that people made of recordings
OF_RECORDINGS = tuple(verdict for verdict in WORST_FIRST if verdict not in OF_FILES)


class Severity(IntEnum):
    """What one finding does to the verdict; the gravest finding decides."""

    UNFINISHED = 1  # not_closed: no end yet, or the conveniences after the end were not finished
    UNVOUCHED = 2  # signed, by a key for which nobody vouches
    UNREADABLE = 3
    ALTERED = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be, and where."""

    where: str  # "manifest.jsonl line 7 (byte 1234)", "000003.m4s (segment 3, 2.0 s to 3.0 s)"
    what: str
    severity: Severity = Severity.ALTERED
    follows: bool = False  # from an earlier finding: where that is put right, so is this

    def as_dict(self) -> dict[str, str]:
        return {"where": self.where, "what": self.what}


@dataclass(frozen=True, slots=True)
class Signatory:
    """Whose signature holds, and whether anybody vouches for that key."""

    fingerprint: str  # of the key, or of the authority that certified it
    key: str  # "ssh-ed25519 AAAA…"
    name: str = ""  # under which the list that counts knows it; "" = nobody vouches for it
    certified: str = ""  # fingerprint of the key where an authority has certified it

    @property
    def signed_by(self) -> str:
        """The fingerprint of the key that has signed, for a person to compare with the camera's."""
        return f"{self.certified}, certified by {self.fingerprint}" if self.certified else self.fingerprint

    @property
    def trusted(self) -> bool:
        return bool(self.name)

    def as_dict(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint,
            "key": self.key,
            "trusted": self.trusted,
            "vouched_by": "signers" if self.trusted else "nobody",
            "name": self.name,
        }


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The recording before or after one in the row of a storage's numbers, as signed records name it."""

    serial: int  # 0: there was none before
    recording: str  # its id; "" = not known any more when that was signed
    state: str  # before: "closed", "recovered", "begun" (no end yet), "" not known. After: "opened", "never begun"
    segments: int = 0  # at its end

    def as_dict(self) -> dict[str, Any]:
        return {"serial": self.serial, "id": self.recording, "state": self.state, "segments": self.segments}


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The segments of a recording that are in an excerpt; the others are withheld."""

    first: int
    last: int
    of: int

    def __str__(self) -> str:
        which = f"segment {self.first}" if self.first == self.last else f"segments {self.first} to {self.last}"
        return f"{which} of {self.of}"

    def as_dict(self) -> dict[str, Any]:
        return {"first": self.first, "last": self.last, "of": self.of}


@dataclass(frozen=True, slots=True)
class Existed:
    """A moment before which it existed, by a trusted authority's time-stamp (RFC 3161)."""

    utc: str
    by: str  # the subject of the certificate that has signed
    token: str  # where the token lies
    what: str = ""  # "" = the whole recording; its manifest where that is altered; of a storage: a part of its journal

    def as_dict(self) -> dict[str, str]:
        return {"utc": self.utc, "by": self.by, "token": self.token, "what": self.what}


@dataclass(frozen=True, slots=True)
class Archive:
    """An archived file of a storage's journal, as the next file names it."""

    name: str
    sha512: str  # of the whole file
    problem: str = ""  # what is not as it should be with the journal; "" = all of it holds


@dataclass(slots=True)
class Report:
    """One recording, one storage, one segment, or one statement."""

    path: str
    kind: str = "recording"  # "recording" | "storage" | "segment" | "statement"
    id: str = ""
    device: str = ""
    serial: int | None = None
    software: str = ""
    started_utc: str = ""  # of the first frame
    press_utc: str = ""
    press_position: str = ""  # "known" | "sealed" | "unknown"; "" = the recording says nothing of it
    pre_event_s: float = 0.0
    duration_s: float = 0.0
    segments: int = 0
    frames: int = 0
    audio_frames: int = 0
    silent_frames: int = 0  # of these: put in where there was no audio
    gaps: int = 0
    missing_video_s: float = 0.0  # that the gaps name
    missing_audio_s: float = 0.0
    missing_pre_event_s: float = 0.0  # of the time before the press: asked for, and not there
    bytes: int = 0
    encrypted: bool = False
    decoded: bool = False  # every frame was decoded and counted
    end: str = ""  # the reason of `close`, or "recovered: " and its reason
    manifest_sha512: str = ""  # of the whole file; "" = something follows its last signature
    signer: Signatory | None = None
    recovered: bool = False  # its last record is `recovered`
    before: Neighbour | None = None  # of a proof: which recording came before it, and
    after: Neighbour | None = None  # after it, where signed records tell
    archives: list[Archive] = field(default_factory=list)  # of a storage's journal, the oldest first
    excerpt: Excerpt | None = None  # what of it is here, where a proof declares that the rest is withheld
    findings: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)  # worth knowing, nothing wrong
    existed: list[Existed] | None = None  # earliest first; None = nobody said whose time-stamps count
    claims: dict[str, str] | None = None  # what a copy for players says of itself; nobody has signed it
    statement: dict[str, Any] | None = None  # what a person has signed, where that is what was verified
    sentences: list[str] = field(default_factory=list)  # what comes of it, for people

    @property
    def verdict(self) -> str:
        """authentic | stated | unvouched | copy | not_closed | excerpt | recovered | altered | unreadable"""
        match max((finding.severity for finding in self.findings), default=None):
            case Severity.ALTERED:
                return "altered"
            case Severity.UNREADABLE:
                return "unreadable"
            case Severity.UNVOUCHED:
                return "unvouched"
            case Severity.UNFINISHED:
                return "not_closed"
            case None if self.kind == "statement":  # what a person says is never authentic: no camera has signed it
                return "stated"
            case None if self.kind == "copy":  # nothing of it is signed: nothing can be found to be so, or not to be
                return "copy"
            case None if self.excerpt is not None:
                return "excerpt"
            case None:
                return "recovered" if self.recovered else "authentic"

    @property
    def gravest(self) -> Finding | None:
        """The finding that the verdict is because of: if one can be had, one that follows from no other."""
        return max(self.findings, key=lambda one: (one.severity, not one.follows), default=None)

    @property
    def why(self) -> str:
        """What the verdict is because of, in one line; "" where nothing was found."""
        return f"{gravest.where}: {gravest.what}" if (gravest := self.gravest) is not None else ""

    @property
    def good(self) -> bool:
        """What exit code 0 stands for."""
        return self.verdict in ("authentic", "recovered", "excerpt", "stated")

    @property
    def standing(self) -> str:
        """The verdict in the words that an export puts on what it made."""
        words = self.verdict.replace("_", " ")
        if self.verdict != "unvouched" or self.signer is None:
            return words
        recovered = ", and recovered after it was broken off" if self.recovered else ""
        key = self.signer.signed_by
        return f"{words}: unchanged since it was signed by the key {key}, for which nobody vouches{recovered}"

    def altered(self, where: str, what: str) -> None:
        self.findings.append(Finding(printable(where), printable(what), Severity.ALTERED))

    def unvouched(self, where: str, what: str) -> None:
        """Once for each cause: a journal of many files has one key."""
        finding = Finding(printable(where), printable(what), Severity.UNVOUCHED)
        if all((known.severity, known.what) != (finding.severity, finding.what) for known in self.findings):
            self.findings.append(finding)

    def unreadable(self, where: str, what: str) -> None:
        self.findings.append(Finding(printable(where), printable(what), Severity.UNREADABLE))

    def unfinished(self, where: str, what: str) -> None:
        self.findings.append(Finding(printable(where), printable(what), Severity.UNFINISHED))

    def consequences(self, first: int) -> None:
        """The findings from number `first` on follow from those before them."""
        self.findings[first:] = [replace(finding, follows=True) for finding in self.findings[first:]]

    def note(self, where: str, what: str) -> None:
        self.notes.append(Finding(printable(where), printable(what)))

    def as_dict(self) -> dict[str, Any]:
        """For JSON: `id`, `verdict`, `segments`, `frames`, `problems` first, then everything else."""
        return {
            "id": self.id,
            "verdict": self.verdict,
            "segments": self.segments,
            "frames": self.frames,
            "problems": [finding.as_dict() for finding in self.findings],
            "notes": [finding.as_dict() for finding in self.notes],
            "signer": self.signer.as_dict() if self.signer else None,
            "before": self.before.as_dict() if self.before else None,
            "after": self.after.as_dict() if self.after else None,
            "excerpt": self.excerpt.as_dict() if self.excerpt else None,
            "existed_before": None if self.existed is None else [existed.as_dict() for existed in self.existed],
            **{name: getattr(self, name) for name in _PLAIN_FIELDS},
            **({"claims": self.claims, "sentences": self.sentences} if self.kind == "copy" else {}),
            **({"statement": self.statement, "sentences": self.sentences} if self.kind == "statement" else {}),
        }


def unreadable(path: str | Path, what: str) -> Report:
    """The report on something that is not there, or is not what it should be."""
    report = Report(str(path), id=Path(path).name)
    report.unreadable(str(path), what)
    return report


_PLAIN_FIELDS = (
    "kind",
    "path",
    "device",
    "serial",
    "software",
    "started_utc",
    "press_utc",
    "press_position",
    "pre_event_s",
    "duration_s",
    "audio_frames",
    "silent_frames",
    "gaps",
    "missing_video_s",
    "missing_audio_s",
    "missing_pre_event_s",
    "bytes",
    "encrypted",
    "decoded",
    "end",
    "manifest_sha512",
)
