"""Facts of a recording that the texts of a proof need, and every record of it in a line for people."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

from bwvd.clock import NS
from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.format import records
from bwvd.evidence.format.chain_reader import ChainReader, Signed
from bwvd.evidence.format.decode import Unknown
from bwvd.evidence.format.layout import MANIFEST, is_convenience
from bwvd.evidence.format.media_index import MediaIndex
from bwvd.evidence.keys.allowed_signers import DEFAULT_PRINCIPAL
from bwvd.evidence.keys.ssh_keys import Certificate, PublicKey
from bwvd.evidence.verify.excerpt import Chosen
from bwvd.evidence.verify.folder import CHUNK, Folder
from bwvd.evidence.verify.neighbours import Following
from bwvd.evidence.verify.report import Excerpt, Report
from bwvd.text import counted


@dataclass(slots=True)
class Facts:
    """What both texts need to know of a recording."""

    report: Report
    names: frozenset[str]
    media: MediaIndex = field(default_factory=MediaIndex)
    end: records.Close | records.Recovered | None = None
    signed: list[tuple[Signed, str]] = field(default_factory=list)  # every record, with what it says in a line
    texts: int = 0  # sealed ones: markers' labels, officers' ids
    chosen: Chosen | None = None  # the segments of an excerpt; None = all is there
    sealed: list[tuple[str, int]] = field(default_factory=list)  # files of texts, each with the segment it goes with
    signature_at: int = 0  # offset of the last signature's line
    public_key: str = ""  # "ssh-ed25519 AAAA…"
    fingerprint: str = ""
    vouching_key: str = ""  # the same, or the authority's that certified it
    vouching_fingerprint: str = ""
    certified: bool = False
    principal: str = "bwvd"
    signed_at_utc: str = ""
    before: records.Before | None = None  # as the first record names it
    following: Following = field(default_factory=Following)
    end_at: int = 0  # offset behind the last signature's line

    @classmethod
    def read(cls, folder: Folder, report: Report, before: records.Before | None, following: Following) -> Facts:
        """Raises: OSError; ExportRefused if the manifest has no record whose signature holds."""
        facts = cls(report, frozenset(folder.names()), before=before, following=following)
        with io.BufferedReader(folder.open(MANIFEST), CHUNK) as file:
            for signed in ChainReader(file, MANIFEST):
                facts._take(signed)
        if not facts.signed:
            raise ExportRefused(f"{report.id}: no line of its manifest holds; there is nothing to prove")
        return facts

    def choose(self, from_ns: int, to_ns: int | None) -> None:
        """Take the segments that hold any of what lies between two moments since the first frame; all is no excerpt.

        Raises: ExportRefused if there is none.
        """
        segments = self.media.segments
        first_ns = segments[0].pts_ns if segments else 0
        inside = [
            one.segment
            for one in segments
            if one.pts_ns + one.duration_ns > first_ns + from_ns and (to_ns is None or one.pts_ns < first_ns + to_ns)
        ]
        if segments and not inside:
            raise ExportRefused(f"{self.report.id}: no segment lies between the two moments")
        if len(inside) < len(segments):
            self.chosen = Chosen(inside[0], inside[-1])
            self.report.excerpt = Excerpt(inside[0], inside[-1], self.report.segments)

    def holds(self, name: str) -> bool:
        """Whether a file of the folder belongs into the proof."""
        if self.chosen is None or name == MANIFEST or is_convenience(name):
            return True
        goes_with = {segment.file: segment.segment for segment in self.media.segments} | dict(self.sealed)
        return self.chosen.has(goes_with.get(name, 0))

    @property
    def texts_there(self) -> list[int]:
        """Which of the sealed texts are in the proof, counted from 1."""
        numbered = enumerate(self.sealed, start=1)
        return [number for number, (_, segment) in numbered if self.chosen is None or self.chosen.has(segment)]

    @property
    def open(self) -> records.Open | None:
        return self.media.open

    @property
    def epochs(self) -> list[list[int]]:
        """The numbers of the segments of each epoch."""
        numbers: list[list[int]] = [[] for _ in self.media.inits]
        for segment in self.media.segments:
            if self.chosen is not None and not self.chosen.has(segment.segment):
                continue
            numbers[segment.epoch - 1].append(segment.segment)
        return numbers

    @property
    def encrypted(self) -> bool:
        return self.report.encrypted

    def _take(self, signed: Signed) -> None:
        record = signed.record
        if not self.signed:
            plain = signed.key.key if isinstance(signed.key, Certificate) else signed.key
            vouching = signed.key.authority if isinstance(signed.key, Certificate) else signed.key
            self.public_key, self.fingerprint = plain.line, plain.fingerprint
            self.vouching_key, self.vouching_fingerprint = vouching.line, vouching.fingerprint
            self.certified = isinstance(signed.key, Certificate)
        self.media.take(record)
        if isinstance(record, records.Open):
            self.principal = _principal(signed.key, record.device)
            self.signed_at_utc = record.press.stamp.utc if record.press.stamp.quality != "not_set" else ""
        elif isinstance(record, records.Mark | records.Officer) and record.sealed is not None:
            self.texts += 1
            self.sealed.append((record.sealed.file, len(self.media.segments) + 1))
        elif isinstance(record, records.Close | records.Recovered):
            self.end = record
        self.signed.append((signed, describe(record)))
        self.signature_at = signed.offset + signed.size
        self.end_at = signed.end


def _principal(key: PublicKey | Certificate, device: str) -> str:
    """Under which name a list vouches for the device: its id, if its certificate does not give it the general one."""
    certified = key.principals if isinstance(key, Certificate) else (device,)
    return next((name for name in (device, DEFAULT_PRINCIPAL) if name in certified), device)


def describe(record: records.Record | Unknown) -> str:
    """A record in one line."""
    match record:
        case records.Open():
            return (
                f"serial number {record.serial} of {record.device}, by {record.software}, {len(record.tracks)} tracks"
            )
        case records.Init():
            return f"other parameters ({record.reason}): epoch {record.epoch}"
        case records.Segment():
            at, seconds = record.pts_ns / NS, record.duration_ns / NS
            frames = counted(record.frames, "frame")
            return f"{record.file}: {at:.3f} s, {seconds:.3f} s long, {frames}, {record.stamp.utc}"
        case records.Mark():
            return f"{_at(record.at_ns)} marker by {record.source}: {record.label or _sealed(record.sealed)}"
        case records.Officer():
            return f"{_at(record.at_ns)} worn by {record.officer or _sealed(record.sealed)}"
        case records.Gap():
            return f"{_at(record.from_ns)} to {record.to_ns / NS:.3f} s: no {record.track} ({record.cause})"
        case records.Fault():
            return f"{_at(record.at_ns)} {record.name}: {'fault' if record.active else 'well again'} {record.detail}"
        case records.Audio():
            return f"{_at(record.at_ns)} audio {'on' if record.on else 'off'} ({record.reason})"
        case records.ClockStep():
            return f"{_at(record.at_ns)} the wall clock stepped by {record.step_ns / NS:.3f} s to {record.stamp.utc}"
        case records.ClockSource():
            return f"{_at(record.at_ns)} clock kept by: {record.by} {record.reference}"
        case records.Power():
            return f"{_at(record.at_ns)} {record.supply} {'' if record.percent is None else f'{record.percent} %'}"
        case records.Position(fix=fix):
            where = f"{fix.latitude:.6f} {fix.longitude:.6f}" if fix is not None else "sealed" if record.sealed else "-"
            return f"{_at(record.at_ns)} position {where}"
        case records.State():
            return f"{_at(record.at_ns)} {record.state} {record.source}"
        case records.Close():
            counts = f"{counted(record.segments, 'segment')}, {counted(record.frames, 'frame')}"
            return f"ended ({record.reason}): {counts}, {counted(record.gaps, 'gap')}"
        case records.Recovered():
            found = ", ".join(f"{thing.what} {thing.where}" for thing in record.found) or "nothing out of order"
            return f"ended at the next start ({record.reason}): {counted(record.segments, 'segment')}; found: {found}"
        case records.TornTail():
            return f"{record.found.bytes} bytes of an unfinished line at byte {record.found.offset}"
        case Unknown():
            return "a record of a later version"
        case _:
            return ""


def _at(ns: int) -> str:
    return f"{ns / NS:.3f} s:"


def _sealed(sealed: records.Sealed | None) -> str:
    return f"sealed in {sealed.file}" if sealed is not None else "-"
