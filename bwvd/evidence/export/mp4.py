"""One plain MP4 of a recording, for people and players: the same coded frames and audio, nothing encoded anew.

The export begins at time 0 with a key frame, has its index in front (faststart), and says in its metadata what it was
made from. It is a copy for viewing; the evidence is the folder.

Where the camera changed its parameters one MP4 can't hold both sides: each side is a file of its own (`FILE-2.mp4` …).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bwvd.clock import NS
from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.export.captions import Captions
from bwvd.evidence.export.media_index import Outline, SegmentUnusable, Span, read_outline
from bwvd.evidence.export.remux import Parameters, Run, key_times, parameters, remux
from bwvd.evidence.flash.whole_file import claimed, put_in_place
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.files import Progress
from bwvd.evidence.verify.recording import verify_recording
from bwvd.evidence.verify.report import Report


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One MP4. Times are seconds since the recording's first frame."""

    path: str
    from_s: float  # of its first frame: the key frame at or before what was asked
    to_s: float
    frames: int
    audio_frames: int
    started_utc: str  # of its first frame


@dataclass(slots=True)
class Exported:
    """What was made, and of what."""

    report: Report
    files: list[ExportedFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Part:
    """Spans that one MP4 can hold: in each track the parameters are the same throughout."""

    parameters: Parameters
    spans: list[Span] = field(default_factory=list)
    captions: Captions | None = None


def export_mp4(
    folder: str | Path,
    out: str | Path,
    identities: Sequence[Any] = (),
    *,
    from_s: float | None = None,
    to_s: float | None = None,
    signers: AllowedSigners | None = None,
    force: bool = False,
    captions: bool = True,
    progress: Progress | None = None,
) -> Exported:
    """Verify the recording in `folder`, then write it to `out` as MP4. Blocking.

    Args:
        identities: to open sealed segments with.
        from_s, to_s: seconds since the first frame; None = from the beginning, to the end. A cut begins with the key
            frame at or before `from_s`; the result says where.
        signers: whose keys count; None = nobody's. What nobody vouches for is exported, and the metadata says so.
        force: export also what does not verify, as far as it can be read; the metadata says so.
        captions: where the frames carry no stamp, add what it would say as a timed-text track.
        progress: counts the recording's bytes twice: it is verified, then read again.

    Raises: ExportRefused, naming why; then no file is left behind and none has been changed.
    """
    if from_s is not None and to_s is not None and not from_s < to_s:
        raise ExportRefused(f"from {from_s:g} s to {to_s:g} s is no stretch of time")
    report = verify_recording(folder, signers, progress=progress)
    admit(report, force=force)
    require_key(report, identities)
    exported = Exported(report)
    exported.notes += standing(report)
    try:
        with read_outline(folder, signed_only=not force) as outline:
            source = _Source(outline, identities, exported.notes, force=force, progress=progress)
            parts = _parts(outline, _wanted(outline, from_s, to_s), captions=captions)
            _write_all(parts, Path(out), source, exported, from_s, to_s)
    except SegmentUnusable as error:
        raise ExportRefused(str(error)) from None
    return exported


def admit(report: Report, *, force: bool) -> None:
    """Raises: ExportRefused for what does not verify, unless `force`; what nobody vouches for goes, under that name."""
    if report.verdict in ("altered", "unreadable") and not force:
        first = report.findings[0]
        more = f" (and {len(report.findings) - 1} more)" if len(report.findings) > 1 else ""
        raise ExportRefused(f"{report.id} is {report.verdict}: {first.where}: {first.what}{more}; --force exports it")


def standing(report: Report) -> list[str]:
    """What must be said of a recording to whoever has a copy made of it; nothing of one that is authentic."""
    return [] if report.verdict == "authentic" else [f"the recording is {report.standing}"]


def require_key(report: Report, identities: Sequence[Any]) -> None:
    """Raises: ExportRefused for an encrypted recording that nothing is there to open it with."""
    if report.encrypted and not identities:
        raise ExportRefused(f"{report.id} is encrypted: name a key that opens it with --identity")


def _wanted(outline: Outline, from_s: float | None, to_s: float | None) -> list[Span]:
    """The segments from the last one with a frame at or before the cut, to the cut's end."""
    if not outline.spans:
        raise ExportRefused(f"{outline.open.recording} has no segment to export")
    begin = outline.first_ns + round((from_s or 0) * NS)
    end = None if to_s is None else outline.first_ns + round(to_s * NS)
    if begin >= outline.spans[-1].end_ns or (end is not None and end <= outline.first_ns):
        raise ExportRefused(f"{outline.open.recording} is {outline.length_s:.3f} s long; nothing of that was asked for")
    before = [i for i, span in enumerate(outline.spans) if span.begin_ns <= begin and span.record.frames]
    return [span for span in outline.spans[max(before, default=0) :] if end is None or span.begin_ns < end]


def _parts(outline: Outline, spans: Sequence[Span], *, captions: bool) -> list[_Part]:
    parts: list[_Part] = []
    known: dict[int, Parameters] = {}
    for span in spans:
        epoch = span.record.epoch
        if epoch not in known:
            known[epoch] = parameters(outline.inits[epoch - 1])
        here = known[epoch]
        # A microphone that comes later adds a track; only what a track already is must not change.
        if not parts or any(parts[-1].parameters.get(kind, value) != value for kind, value in here.items()):
            parts.append(_Part({}))
        parts[-1].parameters.update(here)
        parts[-1].spans.append(span)
        if captions and parts[-1].captions is None and not outline.stamped(span):
            parts[-1].captions = Captions(outline.open.device)
    return parts


@dataclass(slots=True)
class _Source:
    """Plain segments, read when it is their turn."""

    outline: Outline
    identities: Sequence[Any]
    notes: list[str]
    force: bool
    progress: Progress | None

    def plain(self, span: Span) -> bytes:
        """Raises: SegmentUnusable; with `force` it is noted, and there is nothing."""
        try:
            plain = self.outline.plain(span, self.identities, check=not self.force)
        except SegmentUnusable as error:
            if not self.force:
                raise
            self.notes.append(f"left out: {error}")
            return b""
        if self.progress is not None:
            self.progress(span.record.bytes)
        return plain

    def runs(self, part: _Part) -> list[Run]:
        """The part's spans by epoch."""
        grouped: list[list[Span]] = []
        for span in part.spans:
            if not grouped or grouped[-1][0].record.epoch != span.record.epoch:
                grouped.append([])
            grouped[-1].append(span)
        inits = self.outline.inits
        return [Run(inits[group[0].record.epoch - 1], self._each(group, part.captions)) for group in grouped]

    def _each(self, spans: Sequence[Span], captions: Captions | None) -> Iterator[bytes]:
        for span in spans:
            plain = self.plain(span)
            if captions is not None and plain and not self.outline.stamped(span):
                captions.add(span)
            yield plain

    def first_key(self, span: Span, from_ns: int) -> int | None:
        """Presentation time of the key frame at or before `from_ns` in a segment, or its first one."""
        plain = self.plain(span)
        keys = key_times(self.outline.inits[span.record.epoch - 1], plain) if plain else []
        return max((key for key in keys if key <= from_ns), default=keys[0] if keys else None)


def _write_all(
    parts: Sequence[_Part], out: Path, source: _Source, exported: Exported, from_s: float | None, to_s: float | None
) -> None:
    """Write every part under its name, or none."""
    outline = source.outline
    paths = [out, *(out.with_name(f"{out.stem}-{n}{out.suffix}") for n in range(2, len(parts) + 1))]
    with claimed(paths) as temporary:
        for number, (part, path) in enumerate(zip(parts, paths, strict=True), 1):
            begin_ns = None
            if number == 1 and from_s:
                # Within half a tick of 90 kHz: what was printed as a key frame's time names that key frame.
                begin_ns = source.first_key(part.spans[0], outline.first_ns + round(from_s * NS) + NS // 180_000)
            end_ns = outline.first_ns + round(to_s * NS) if to_s is not None else None
            tags = _metadata(exported.report, outline, part, begin_ns, (number, len(parts)))
            runs = source.runs(part)
            done = remux(str(temporary), runs, tags, begin_ns=begin_ns, end_ns=end_ns, captions=part.captions)
            temporary.chmod(0o640)
            put_in_place(temporary, path)
            if done.left_out:
                exported.notes.append(f"{path.name}: {done.left_out} packets out of order were left out")
            exported.files.append(
                ExportedFile(
                    str(path),
                    round((done.begin_ns - outline.first_ns) / NS, 6),
                    round((done.end_ns - outline.first_ns) / NS, 6),
                    done.frames,
                    done.audio_frames,
                    tags["creation_time"],
                )
            )


def _metadata(
    report: Report, outline: Outline, part: _Part, begin_ns: int | None, number: tuple[int, int]
) -> dict[str, str]:
    """Tags that say what the file was made from."""
    first = part.spans[0]
    begin_ns = first.begin_ns if begin_ns is None else begin_ns
    signer = report.signer.fingerprint if report.signer else ""
    which = f"{first.record.segment}-{part.spans[-1].record.segment}"
    return {
        "creation_time": first.utc_at(begin_ns),
        "title": outline.open.recording,
        "comment": f"Copy of bwvd recording {outline.open.recording}, segments {which}, "
        f"verified as {report.standing}; SHA-512 of its manifest: {outline.manifest_sha512}",
        "bwvd_recording": outline.open.recording,
        "bwvd_device": outline.open.device,
        "bwvd_serial": str(outline.open.serial),
        "bwvd_verdict": report.verdict,
        "bwvd_manifest_sha512": outline.manifest_sha512,
        "bwvd_segments": which,
        "bwvd_signer": signer,
        "bwvd_from_s": f"{(begin_ns - outline.first_ns) / NS:.6f}",
        "bwvd_part": f"{number[0]}/{number[1]}",
    }
