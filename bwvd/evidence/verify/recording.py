"""Verification of a recording: every line, every byte of every file, and what must not be there (invariant 7).

No decryption key is needed. With an identity the plain bytes are checked as well, and every frame is decoded.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bwvd import hashing
from bwvd.clock import NS
from bwvd.evidence.format import records
from bwvd.evidence.format.chain_reader import ChainReader, Signed
from bwvd.evidence.format.decode import Unknown
from bwvd.evidence.format.file_names import original
from bwvd.evidence.format.layout import MANIFEST, MANIFEST_BYTES, sealed_name
from bwvd.evidence.format.missing import MissingMedia
from bwvd.evidence.format.moment import clock_text
from bwvd.evidence.format.recording_id import device_of, serial_of
from bwvd.evidence.format.totals import Totals
from bwvd.evidence.format.utc import unix_s
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.excerpt import Chosen
from bwvd.evidence.verify.files import (
    Contents,
    Named,
    Progress,
    Taker,
    conveniences_of,
    segment_label,
    unfinished_names,
)
from bwvd.evidence.verify.folder import CHUNK, Folder, HashedFile, Part, Where, folder_at, name_at, path_at
from bwvd.evidence.verify.report import Report, Severity, unreadable
from bwvd.evidence.verify.trust import Trust
from bwvd.text import counted


class Verification:
    """One run over one folder.

    Args:
        trust: whose signatures count.
        identities: to open sealed files with; () = check what is stored, which is all that is signed.
        decode: decode every frame, as far as it can be read without an identity.
        only: check this one segment, and the manifest that vouches for it.
        excerpt: the segments that are there, where the others were withheld.
        acknowledged: bytes of the manifest that were durable once, and their SHA-512; `goes_on` says whether they are.
        name: the folder's, which is the recording's id; by default the last part of its path.
        taker: gets the segments on the way. Whatever it makes of them counts only if the report is good.
        told: gets every record that holds, in order; counts as little if the report is not good.
        files: False checks the manifest alone, whatever lies beside it.

    **Synchronization:** blocking; one thread.
    """

    def __init__(
        self,
        folder: Folder,
        trust: Trust,
        *,
        identities: Sequence[Any] = (),
        decode: bool = False,
        only: str | None = None,
        excerpt: Chosen | None = None,
        acknowledged: tuple[int, str] = (0, ""),
        name: str = "",
        progress: Progress | None = None,
        taker: Taker | None = None,
        told: Callable[[records.Record | Unknown], None] | None = None,
        files: bool = True,
    ) -> None:
        self.report = Report(folder.path, "recording" if only is None else "segment", name or Path(folder.path).name)
        self.open: records.Open | None = None  # for whoever compares recordings with each other
        self.end: records.Close | records.Recovered | None = None
        self.before: records.Before | None = None  # what the first record says of the recording before this one
        self.manifest_sha512 = ""  # up to the last signature that holds
        self.goes_on = not acknowledged[0]
        self._acknowledged = acknowledged
        self._folder = folder
        self._trust = trust
        self._identities = identities
        self._decode = decode or bool(identities)
        self._only = only
        self._excerpt = excerpt
        self._progress = progress
        self._taker = taker
        self._told = told
        self._files = files
        self._totals = Totals()
        self._alone: records.Segment | None = None  # the record of the segment that is checked by itself
        self._inits: list[bytes] = []
        self._names: dict[str, str] = {}  # in the folder, as listed before the manifest was read
        self._missing = MissingMedia()
        self._segment = 0  # the number of the last one
        self._sealed = 0
        self._found: dict[str, list[records.Found]] = {}  # what recovery named, by file

    def run(self) -> Report:
        """Never raises for what is wrong with the evidence: that is what the report is for."""
        report = self.report
        try:
            # Listed first: a recording may be growing, and what was there before the manifest was read has its line.
            names = self._names = self._folder.names()
        except OSError as error:
            report.unreadable(self._folder.path, f"can't be listed: {error.strerror}")
            return report
        if MANIFEST not in names:
            report.unreadable(MANIFEST, "is missing")
            return report
        only = {} if self._only is not None or not self._files else names
        with Contents(
            self._folder,
            only,
            report,
            identities=self._identities,
            decode=self._decode,
            progress=self._progress,
            taker=self._taker,
        ) as contents:
            try:
                size = self._folder.size(MANIFEST)  # one that grows is read as far as it has come
                if size > MANIFEST_BYTES:
                    report.unreadable(MANIFEST, f"has {size:,} bytes; no recording has more than {MANIFEST_BYTES:,}")
                    return report
                with self._folder.open(MANIFEST) as file:
                    manifest = HashedFile(Part(file, size), hashing.sha256())
                    reader = ChainReader(io.BufferedReader(manifest, CHUNK), MANIFEST)
                    self._walk(reader, contents)
            except OSError as error:
                report.unreadable(MANIFEST, f"can't be read: {error.strerror}")
                return report
            finally:
                self._count()
            contents.settle()
            contents.manifest_is(manifest.hash.hexdigest())
            if reader.end == reader.size and not reader.newline_missing:
                report.manifest_sha512 = self.manifest_sha512
            self._judge(reader, contents)
        return report

    def _count(self) -> None:
        totals, report = self._totals, self.report
        report.segments, report.gaps, report.bytes = totals.segments, totals.gaps, totals.bytes
        report.frames, report.audio_frames = totals.frames, totals.audio_frames
        report.silent_frames = totals.silent_frames
        report.duration_s = totals.duration_ns / NS
        if report.kind == "segment":
            self._count_alone(self._alone)

    def _count_alone(self, one: records.Segment | None) -> None:
        """Of a segment by itself what its own record says: the rest of the recording was not looked at."""
        report = self.report
        report.gaps, report.pre_event_s = 0, 0.0
        report.missing_video_s = report.missing_audio_s = report.missing_pre_event_s = 0.0
        report.segments, report.started_utc = int(one is not None), one.stamp.utc if one is not None else ""
        report.frames, report.bytes = (one.frames, one.bytes) if one is not None else (0, 0)
        report.audio_frames, report.silent_frames = (one.audio_frames, one.silent_frames) if one is not None else (0, 0)
        report.duration_s = one.duration_ns / NS if one is not None else 0.0
        if one is not None:
            span = f"from {clock_text(one.pts_ns)} of the recording to {clock_text(one.pts_ns + one.duration_ns)}"
            report.sentences.append(f"segment {one.segment} of {self._totals.segments}, {span}")

    # --- the manifest ------------------------------------------------------------------------------------------------

    def _walk(self, reader: ChainReader, contents: Contents) -> None:
        for signed in reader:
            where = reader.where(signed.line, signed.offset)
            if self.open is None and self.end is None and not self._begins(signed, where):
                return
            if self.end is not None:
                self.report.altered(where, "a record after the recording's end")
            self._trust.saw(signed, where)
            self.manifest_sha512 = signed.sha512.hex()
            self.goes_on = self.goes_on or (signed.end, self.manifest_sha512) == self._acknowledged
            self._take(signed.record, where, contents)
        for problem in reader.problems:
            self.report.altered(problem.where, problem.what)

    def _begins(self, signed: Signed, where: str) -> bool:
        """Whether to read on: the first record must open a recording in a format that we know."""
        record = signed.record
        if isinstance(record, records.Recovered):
            # The power went before the first record was whole; recovery has said so, and nothing was acknowledged.
            self.report.note(
                where, "the recording was never opened: the power went as it was begun, or it got no frame"
            )
            self._trust.claimed(device_of(self.report.id), "", time_of(record.stamp))
            if record.recording not in ("", self.report.id):
                self.report.altered(where, f"the recording {record.recording} under another name")
            self.report.serial = serial_of(record.recording)
            self._after(record.before, self.report.serial, where)
            return True
        if isinstance(record, Unknown) and record.type == "open":
            version: object = record.fields.get("format")
        elif isinstance(record, records.Open):
            version = record.format
        else:
            self.report.altered(where, "the first record does not open a recording")
            return False
        if version != records.FORMAT:
            self.report.unreadable(where, f"format {version}; this version of bwvd knows {records.FORMAT}")
            return False
        return True

    def _take(self, record: records.Record | Unknown, where: str, contents: Contents) -> None:
        report = self.report
        self._totals.take(record)
        if self._told is not None:
            self._told(record)
        match record:
            case records.Open() if self.open is None:
                self._opened(record)
                self._after(record.before, record.serial, where)
            case records.Open():
                report.altered(where, "a second record that opens a recording")
            case records.Init():
                self._inits.append(base64.b64decode(record.init))
                if record.epoch != len(self._inits):
                    report.altered(where, f"epoch {record.epoch} where {len(self._inits)} is expected")
            case records.Segment():
                self._take_segment(record, where, contents)
            case records.Mark(sealed=records.Sealed() as sealed) | records.Officer(sealed=records.Sealed() as sealed):
                self._sealed += 1
                label = f"{sealed.file} (sealed text)"
                named = Named(sealed.file, label, sealed.bytes, sealed.sha256, sealed.plain_sha256)
                # It goes with the segment whose line comes behind it: what happened until that one's end.
                self._expect(contents, named, where, self._segment + 1, check=self._only is None and self._files)
            case records.Gap():
                self._missing.gap(record)
                report.missing_video_s, report.missing_audio_s = self._missing.video_s, self._missing.audio_s
            case records.TornTail():
                report.note(where, _found_text(record.found))
            case records.Close():
                self.end = record
                report.end = record.reason
                self._check_totals(record, where)
            case records.Recovered():
                self.end = record
                report.end = f"recovered: {record.reason}"
                report.recovered = True
                for found in record.found:
                    self._found.setdefault(found.where, []).append(found)
                    report.note(found.where, _found_text(found))
                if (missing := record.missing) is not None:
                    report.note(
                        where, f"the device found {counted(missing.segments, 'acknowledged segment')} gone at its start"
                    )
                if record.rolled_back:
                    report.altered(where, "the device found its storage put back to an earlier state at this start")
                if (removed := record.end_removed) is not None:
                    was = "had" if removed.event == "progress" else f"was {removed.event} with"
                    what = f"the journal says that it {was} {counted(removed.segments, 'segment')}"
                    told = f"{what}, and the device found nothing of that in the manifest"
                    gone = "the device found no end, and the file of the journal that told of it gone, or changed"
                    report.altered(where, gone if removed.event == "unknown" else told)
                self._check_totals(record, where)

    def _opened(self, record: records.Open) -> None:
        report = self.report
        self.open = record
        report.id, report.device, report.serial = record.recording, record.device, record.serial
        report.software = record.software
        report.started_utc, report.press_utc = record.origin_utc, record.press.stamp.utc
        report.pre_event_s = record.pre_event.got_s
        report.press_position = position.known if (position := record.press.position) is not None else ""
        self._missing.opened(record)
        report.missing_pre_event_s = self._missing.pre_event_s
        report.encrypted = bool(record.recipients)
        report.decoded = self._decode and (not report.encrypted or bool(self._identities))
        self._inits.append(base64.b64decode(record.init))
        self._trust.claimed(record.device, record.signer, time_of(record.press.stamp))

    def _after(self, before: records.Before | None, serial: int | None, where: str) -> None:
        self.before = before
        if before is not None and before.serial + 1 != serial:
            self.report.altered(where, f"number {serial}, and number {before.serial} before it")

    def _take_segment(self, record: records.Segment, where: str, contents: Contents) -> None:
        report = self.report
        if record.segment != self._segment + 1:
            report.altered(where, f"segment {record.segment} where {self._segment + 1} is expected")
        self._segment = record.segment
        if record.file == self._only:
            self._alone = record
        if not 1 <= record.epoch <= len(self._inits):
            report.altered(where, f"epoch {record.epoch} has no init segment")
            return
        if not 0 <= record.silent_frames <= record.audio_frames:
            report.altered(where, f"{record.silent_frames} frames of silence in {record.audio_frames} of audio")
        if not report.encrypted and record.plain_sha256 != record.sha256:
            report.altered(where, "stored in the clear, but the plain bytes have another SHA-256")
        named = Named(
            record.file,
            segment_label(record),
            record.bytes,
            record.sha256,
            record.plain_sha256,
            record,
            self._inits[record.epoch - 1],
        )
        check = self._files and self._only in (None, record.file)
        self._expect(contents, named, where, record.segment, check=check)

    def _expect(self, contents: Contents, named: Named, where: str, segment: int, *, check: bool) -> None:
        """A file that belongs to a segment: to be hashed, or withheld with it."""
        withheld = self._excerpt is not None and not self._excerpt.has(segment)
        contents.expect(named, where, check=check and not withheld)
        if withheld:
            contents.withhold([named.name])

    def _check_totals(self, record: records.Close | records.Recovered, where: str) -> None:
        totals, report = self._totals, self.report
        said = (record.segments, record.frames, record.bytes, record.audio_frames, record.silent_frames)
        if said != (totals.segments, totals.frames, totals.bytes, totals.audio_frames, totals.silent_frames):
            report.altered(where, "the totals are not those of the segments before it")
        if isinstance(record, records.Close) and record.gaps != totals.gaps:
            report.altered(where, f"it counts {record.gaps} gap records where {totals.gaps} stand before it")

    # --- the verdict -------------------------------------------------------------------------------------------------

    def _judge(self, reader: ChainReader, contents: Contents) -> None:
        report = self.report
        if any(finding.severity == Severity.UNREADABLE and self.open is None for finding in report.findings):
            return  # another format: nothing of it is understood
        report.signer = self._trust.judge(report)
        contents.explain()
        known = len(report.findings)
        self._check_end(reader)
        self._check_unnamed(contents)
        if reader.problems:
            # Where the manifest is broken, nothing of what it would have named behind that place is known.
            report.consequences(known)

    def _check_unnamed(self, contents: Contents) -> None:
        """The files that the manifest has not named, or that only its end allows."""
        report = self.report
        if not self._files:
            return
        if self._only is not None:
            if not contents.expects(self._only):
                report.altered(self._only, "no record of the manifest names this file")
            return
        if self._excerpt is not None:  # nor is what no segment names a part of one
            contents.withhold(original(name) for name in self._found if name != MANIFEST)
        ended = self.end is not None
        sums = contents.check_sums(self._trust, ended=ended)
        inits = [] if report.encrypted else self._inits
        unfinished: set[str] = set()
        if not ended:
            unfinished = unfinished_names(self._names, self._segment + 1, self._sealed, encrypted=report.encrypted)
            if self.open is None:
                unfinished.add(sealed_name(1))  # the officer's id, durable before the line that opens the recording
        contents.check_inits(inits, finished=sums is not None)
        contents.check_strangers(
            ended=ended,
            conveniences=conveniences_of(len(inits)),
            sums=sums,
            found=self._found,
            unfinished=unfinished,
        )

    def _check_end(self, reader: ChainReader) -> None:
        report = self.report
        where = f"{MANIFEST} byte {reader.end}"
        if self.open is None and self.end is None:
            if not report.findings:
                report.unfinished(where, "no whole record: the power went while the recording was being opened")
        elif self.end is None:
            if not reader.problems:
                if reader.torn is not None:
                    report.unfinished(where, "an unfinished line: the power went while it was written")
                report.unfinished(where, "no end: the recording is running, or was cut off and not recovered yet")
        elif reader.torn is not None or reader.newline_missing:
            report.unfinished(where, "the manifest goes on after the recording's end, without a signature")


def verify_recording(
    where: Where,
    signers: AllowedSigners | None = None,
    identities: Sequence[Any] = (),
    *,
    decode: bool = False,
    only: str | None = None,
    progress: Progress | None = None,
    taker: Taker | None = None,
) -> Report:
    """Verify the recording in the folder `where`; whatever is wrong is in the report.

    Without `signers` nobody vouches for the key, and the best that it can be is `unvouched`. Blocking; about as fast as
    two cores hash.
    """
    with ExitStack() as opened:
        try:
            folder = opened.enter_context(folder_at(where))
        except OSError as error:
            return unreadable(path_at(where), error.strerror or str(error))
        return Verification(
            folder,
            Trust(signers),
            identities=identities,
            decode=decode,
            only=only,
            name=name_at(where),
            progress=progress,
            taker=taker,
        ).run()


def _found_text(found: records.Found) -> str:
    place = f" at byte {found.offset}" if found.what in ("torn_line", "unsigned_lines") else ""
    return f"{found.what.replace('_', ' ')}{place}: {found.bytes} bytes, named by a later record"


def time_of(stamp: records.Stamp) -> float | None:
    """When that was, in Unix seconds, if the device's clock knew; None if it had never been set."""
    return None if stamp.quality == "not_set" else unix_s(stamp.utc)
