"""One plain MP4 of a recording, for people and players: the same coded frames and audio, nothing encoded anew.

The export begins at time 0 with a key frame, has its index in front (faststart), and says in its metadata what it was
made from. It is a copy for viewing; the evidence is the folder.

The recording is verified while it is copied: each segment is read once, and the bytes that go into the MP4 are those
that were hashed. The verdict is known at the end; only then the MP4 gets its index, which says it, and its name.

Where the camera changed its parameters one MP4 can't hold both sides: each side is a file of its own (`FILE-2.mp4` …).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bwvd.clock import NS
from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.export.assembly import Assembly, Expected, without_frames
from bwvd.evidence.export.captions import CaptionWriter, web_vtt
from bwvd.evidence.export.chapters import chapters, silences
from bwvd.evidence.export.claims import customary, location, metadata, told
from bwvd.evidence.export.credentials import Credentials
from bwvd.evidence.export.media_index import Outline, SegmentUnusable, Span, read_outline
from bwvd.evidence.export.track import Track
from bwvd.evidence.flash.whole_file import new_files
from bwvd.evidence.format.utc import parse_utc
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.files import Named, Progress, segment_label
from bwvd.evidence.verify.folder import Where
from bwvd.evidence.verify.recording import verify_recording
from bwvd.evidence.verify.report import Report
from bwvd.media.boxes import BoxUnusable
from bwvd.media.fragment_reader import Run, TrackHead, read_fragments, read_init
from bwvd.text import one_line, printable

_AUDIO_FRAME = 1024  # ticks of its track


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One MP4. Times are seconds since the recording's first frame."""

    path: str
    from_s: float  # of its first frame: the key frame at or before what was asked
    to_s: float
    frames: int
    audio_frames: int
    silent_frames: int  # of `audio_frames`: silence where there was no audio, the recording's own and what was added
    added_frames: int  # of `silent_frames`: put in by the export, in no segment of the recording
    tags: dict[str, str]  # its metadata

    @property
    def started_utc(self) -> str:
        """UTC of the first frame."""
        return self.tags["creation_time"]


@dataclass(slots=True)
class Exported:
    """What was made, and of what."""

    report: Report
    files: list[ExportedFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Part:
    """Spans that one MP4 can hold: in each track the parameters are the same throughout."""

    parameters: dict[str, tuple[object, ...]] = field(default_factory=dict)  # by kind of track
    spans: list[Span] = field(default_factory=list)
    audio: TrackHead | None = None  # of the first span that has any
    captions: CaptionWriter | None = None

    def expected(self, texts: int, fixes: int) -> Expected:
        each = [span.record for span in self.spans]
        rate = self.audio.timescale if self.audio is not None else 0
        return Expected(
            sum(one.frames for one in each),
            # As many as there may be with all that is filled, of the shortest ones.
            max(sum(one.audio_frames for one in each), self._extent_ns * rate // (_AUDIO_FRAME * NS)),
            sum(one.gops for one in each),
            sum(one.duration_ns for one in each) / NS,
            texts,
            fixes,
        )

    @property
    def _extent_ns(self) -> int:
        """From the first frame to the end, gaps included: of a day at the most, whatever is said."""
        return min(max(0, self.spans[-1].end_ns - self.spans[0].begin_ns), 86_400 * NS)


def export_mp4(
    folder: Where,
    out: str | Path,
    identities: Sequence[Any] = (),
    *,
    from_s: float | None = None,
    to_s: float | None = None,
    signers: AllowedSigners | None = None,
    force: bool = False,
    captions: bool = True,
    vtt: str | Path | None = None,
    credentials: Credentials | None = None,
    located: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Verify the recording in `folder` (a path, or open), and write it to `out` as MP4 on the way. Blocking.

    Args:
        identities: to open sealed segments with.
        from_s, to_s: seconds since the first frame; None = from the beginning, to the end. A cut begins with the key
            frame at or before `from_s`; the result says where.
        signers: whose keys count; None = nobody's. What nobody vouches for is exported, and the metadata says so.
        force: export also what does not verify, as far as it can be read; the metadata says so.
        captions: where the frames carry no stamp, add what it would say as a timed-text track; where positions are
            known, those as well.
        vtt: write that text to a WebVTT file of this name as well, whether the frames carry a stamp or not.
        credentials: sign each MP4 with them, for readers of C2PA.
        located: let the credentials say where it was recorded; the file itself says it wherever it is known.
        progress: counts the recording's bytes once; with `force` twice, because it is verified before it is read.

    Raises: ExportRefused, naming why; then no file is left behind and none has been changed.
    """
    if from_s is not None and to_s is not None and not from_s < to_s:
        raise ExportRefused(f"from {from_s:g} s to {to_s:g} s is no stretch of time")
    report = verify_recording(folder, signers, progress=progress) if force else None
    with ExitStack() as opened:
        try:
            outline = opened.enter_context(read_outline(folder, signed_only=not force))
            if outline.open.recipients and not identities:
                raise _needs_key(outline.open.recording)
            track = outline.track(identities)
            parts = _parts(outline, _wanted(outline, from_s, to_s), track, captions=captions)
        except (ExportRefused, SegmentUnusable) as error:
            if report is None:
                # What is wrong with the recording is told before what follows from that.
                admit(verify_recording(folder, signers), force=False)
            raise ExportRefused(str(error)) from None
        paths = _names(Path(out), len(parts))
        texts = _names(Path(vtt), len(parts)) if vtt is not None else []
        temporary = opened.enter_context(new_files([*paths, *texts]))
        made = temporary[: len(paths)]
        copy = opened.enter_context(_Copy(outline, parts, track, identities, made, paths, from_s, to_s))
        try:
            if report is None:
                report = verify_recording(folder, signers, progress=progress, taker=copy)
                admit(report, force=False)
                copy.complete()
            else:
                copy.read_all(progress)
        except SegmentUnusable as error:
            raise ExportRefused(str(error)) from None
        exported = Exported(report, notes=[*standing(report), *copy.notes])
        copy.finish(report, exported, paths)
        for number, text in enumerate(temporary[len(paths) :]):
            text.write_text(copy.web_vtt(number), encoding="utf-8")
        if credentials is not None:
            whole = from_s is None and to_s is None and len(paths) == 1
            places = track if located else None
            for file_made, path, file in zip(made, paths, exported.files, strict=True):
                said = told(outline, file.tags, path, (file.from_s, file.to_s), whole=whole, track=places)
                if located and said.position is None:
                    exported.notes.append(f"{path.name}: no position of it is known, and its credentials have none")
                credentials.sign(file_made, said)
    return exported


def admit(report: Report, *, force: bool) -> None:
    """Raises: ExportRefused for what does not verify, unless `force`; what nobody vouches for goes, under that name."""
    if report.verdict in ("altered", "unreadable") and not force:
        more = f" (and {len(report.findings) - 1} more)" if len(report.findings) > 1 else ""
        raise ExportRefused(f"{report.id} is {report.verdict}: {report.why}{more}; --force exports it")


def standing(report: Report) -> list[str]:
    """What must be said of a recording to whoever has a copy made of it; nothing of one that is authentic."""
    more = ": it is in progress, or was cut off" if report.verdict == "not_closed" else ""
    return [] if report.verdict == "authentic" else [f"the recording is {report.standing}{more}"]


def require_key(report: Report, identities: Sequence[Any]) -> None:
    """Raises: ExportRefused for an encrypted recording that nothing is there to open it with."""
    if report.encrypted and not identities:
        raise _needs_key(report.id)


def _needs_key(recording: str) -> ExportRefused:
    return ExportRefused(f"{recording} is encrypted: name a key that opens it with --identity")


def _names(first: Path, count: int) -> list[Path]:
    """One name a part."""
    return [first, *(first.with_name(f"{first.stem}-{n}{first.suffix}") for n in range(2, count + 1))]


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


def _parts(outline: Outline, spans: Sequence[Span], track: Track, *, captions: bool) -> list[_Part]:
    parts: list[_Part] = []
    known: dict[int, dict[str, TrackHead]] = {}
    for span in spans:
        epoch = span.record.epoch
        if epoch not in known:
            known[epoch] = {head.kind: head for head in _heads(outline, epoch)}
        here = {kind: head.parameters for kind, head in known[epoch].items()}
        # A microphone that comes later adds a track; only what a track already is must not change.
        if not parts or any(parts[-1].parameters.get(kind, value) != value for kind, value in here.items()):
            parts.append(_Part())
        parts[-1].parameters.update(here)
        parts[-1].spans.append(span)
        if parts[-1].audio is None and span.record.audio_frames:
            parts[-1].audio = known[epoch].get("audio")
        if captions and parts[-1].captions is None and (track.fixes or not outline.stamped(span)):
            parts[-1].captions = CaptionWriter(outline.open.device, track)
    return parts


def _heads(outline: Outline, epoch: int) -> list[TrackHead]:
    try:
        return read_init(outline.inits[epoch - 1])
    except BoxUnusable as error:
        raise ExportRefused(f"an init segment can't be read: {one_line(error)}") from None


class _Copy:
    """The MP4 files of an export, written as the segments come: from the verification, or read here.

    Args:
        paths: temporary names, one a part.
        names: those that the files will have, to speak of them by.

    Use as a context manager, which closes the files.
    """

    def __init__(
        self,
        outline: Outline,
        parts: Sequence[_Part],
        track: Track,
        identities: Sequence[Any],
        paths: Sequence[Path],
        names: Sequence[Path],
        from_s: float | None,
        to_s: float | None,
    ) -> None:
        self.notes: list[str] = []
        self._outline = outline
        self._parts = parts
        self._track = track
        self._identities = identities
        self._names = names
        self._heads: dict[int, list[TrackHead]] = {}
        self._chapters = chapters(outline)
        self._waiting = {span.record.segment: (part, span) for part, one in enumerate(parts) for span in one.spans}
        self._taken: list[list[Span]] = [[] for _ in parts]
        self._frames_end_ns = [0 for _ in parts]
        # Within half a tick of 90 kHz: what was printed as a key frame's time names that key frame.
        begin_ns = outline.first_ns + round(from_s * NS) + NS // 180_000 if from_s else None
        end_ns = outline.first_ns + round(to_s * NS) if to_s is not None else None
        titles = sum(len(title.encode()) + 100 for _, title in self._chapters)
        with ExitStack() as opened:
            self._assemblies = [
                opened.enter_context(
                    Assembly(
                        path,
                        part.expected(titles, len(track.places)),
                        begin_ns=begin_ns if number == 0 else None,
                        end_ns=end_ns,
                        captions=part.captions,
                        audio=part.audio,
                    )
                )
                for number, (part, path) in enumerate(zip(parts, paths, strict=True))
            ]
            self._opened = opened.pop_all()

    def __enter__(self) -> _Copy:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    # --- from the verification ---------------------------------------------------------------------------------------

    def wants(self, named: Named) -> bool:
        return named.segment is not None and named.segment.segment in self._waiting

    def take(self, named: Named, stored: memoryview) -> None:
        """Raises: SegmentUnusable where it can't be decrypted, or is another one than when the export began."""
        assert named.segment is not None  # noqa: S101 - none else is wanted
        part, span = self._waiting.pop(named.segment.segment)
        if named.segment != span.record or named.init != self._outline.inits[span.record.epoch - 1]:
            raise _changed(self._outline)
        self._put(part, span, self._outline.opened(span, stored, self._identities))

    def complete(self) -> None:
        """Raises: SegmentUnusable if the verification did not give all that there was when the export began."""
        if self._waiting:
            raise _changed(self._outline)

    # --- of a recording that does not verify -------------------------------------------------------------------------

    def read_all(self, progress: Progress | None) -> None:
        """Read what can be read; what can't is noted."""
        for part, span in self._waiting.values():
            try:
                plain = self._outline.plain(span, self._identities, check=False)
                self._put(part, span, memoryview(plain))
            except (SegmentUnusable, BoxUnusable) as error:
                self.notes.append(f"left out: {error}")
                continue
            if progress is not None:
                progress(span.record.bytes)

    # --- both --------------------------------------------------------------------------------------------------------

    def _put(self, number: int, span: Span, plain: memoryview) -> None:
        epoch = span.record.epoch
        if epoch not in self._heads:
            self._heads[epoch] = _heads(self._outline, epoch)
        assembly = self._assemblies[number]
        try:
            runs = list(read_fragments(plain, self._heads[epoch]))
            if number and assembly.begin_ns is None:
                runs = self._with_the_file_before(number - 1, plain, runs)
            assembly.take(plain, runs)
            captions = self._parts[number].captions
            if captions is not None:
                captions.add(span, stamped=self._outline.stamped(span))
                assembly.take_text()
        except BoxUnusable as error:
            raise SegmentUnusable(f"{printable(segment_label(span.record))} can't be read: {one_line(error)}") from None
        except OSError as error:
            # The verification would take it for an error of what it reads.
            raise ExportRefused(f"{self._names[number]}: {error.strerror}") from None
        self._taken[number].append(span)

    def _with_the_file_before(self, before: int, plain: memoryview, runs: Sequence[Run]) -> list[Run]:
        """Put the audio from before a file's first frame behind the last frame of the file before it.

        It is from the time between two cameras. A file that began with it would begin without a frame, and VLC plays
        the audio of such a file late. Returns what is left; all of it where the file before has no audio of this form.
        """
        audio = next((run.head for run in runs if run.head.kind == "audio"), None)
        if audio is None or self._parts[before].parameters.get("audio") != audio.parameters:
            return list(runs)
        early, rest = without_frames(runs)
        if early:
            self._assemblies[before].take(plain, early)
        return rest

    def finish(self, report: Report, exported: Exported, paths: Sequence[Path]) -> None:
        """Write each file's index, with the verdict."""
        outline = self._outline
        for number, (part, assembly, path) in enumerate(zip(self._parts, self._assemblies, paths, strict=True)):
            begin_ns = assembly.begin_ns
            filled = assembly.fill_up()
            silent, added = (filled.silent_frames, filled.added_frames) if filled is not None else (0, 0)
            tags = metadata(report, outline, part.spans, begin_ns, (number + 1, len(paths)))
            tags |= {"bwvd_silent_frames": str(silent), "bwvd_added_frames": str(added)}
            titles = [*self._chapters, *silences(outline, filled.lacking_ns if filled is not None else ())]
            done = assembly.finish(
                parse_utc(tags["creation_time"]),
                tags,
                customary(tags, outline.open.software),
                titles,
                location(self._track, begin_ns, assembly.end_ns),
            )
            if filled is not None and filled.silence is None and filled.lacking_ns:
                lacks_ns = sum(end_ns - from_ns for from_ns, end_ns in filled.lacking_ns)
                exported.notes.append(
                    f"{path.name}: its audio track has holes of {lacks_ns / NS:.1f} s together, which players take "
                    "badly: its form of AAC can't be made silent"
                )
            if done.left_out:
                exported.notes.append(f"{path.name}: {done.left_out} frames out of order were left out")
            self._frames_end_ns[number] = done.frames_end_ns
            exported.files.append(
                ExportedFile(
                    str(path),
                    round((done.begin_ns - outline.first_ns) / NS, 6),
                    round((done.end_ns - outline.first_ns) / NS, 6),
                    done.frames,
                    done.audio_frames,
                    silent,
                    added,
                    tags,
                )
            )

    def web_vtt(self, number: int) -> str:
        """Captions of a part, after `finish`."""
        zero_ns = self._assemblies[number].begin_ns or 0
        return web_vtt(
            self._taken[number], zero_ns, self._frames_end_ns[number], self._outline.open.device, self._track
        )


def _changed(outline: Outline) -> SegmentUnusable:
    return SegmentUnusable(f"{outline.open.recording} was changed while it was exported")
