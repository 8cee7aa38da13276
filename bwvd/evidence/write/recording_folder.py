"""One recording's folder on the flash, while it is being written. Blocking; every durability promise is made here.

A commit is: the segment file under its final name (O_EXCL), fdatasync, fsync of the folder, one append of record and
signature to the manifest, fdatasync. When that has returned the segment survives a power cut (invariant 6); the
manifest's line is the commit, so nothing is ever renamed.
"""

from __future__ import annotations

import base64
import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from bwvd import __version__, hashing
from bwvd.clock import NS, Clock
from bwvd.evidence.flash.new_file import synced
from bwvd.evidence.flash.volume import File, Volume
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import MANIFEST_NAMESPACE, Chain, Signer
from bwvd.evidence.format.chain_tail import absorb, read_ending
from bwvd.evidence.format.layout import MANIFEST, RECORDINGS, sealed_name, segment_name
from bwvd.evidence.format.totals import Contents, Totals
from bwvd.evidence.format.utc import stamp_at
from bwvd.evidence.keys.age import Sealer, private_json
from bwvd.evidence.write.group import Committed
from bwvd.evidence.write.interrupted import Interrupted
from bwvd.evidence.write.lost_media import Unwritten
from bwvd.evidence.write.notes import Place, note_record, press_position, sealed_position
from bwvd.evidence.write.row import Row
from bwvd.media.audio_line import AudioLine
from bwvd.media.fragment import Epoch
from bwvd.media.samples import Gop, Track
from bwvd.messages import Assigned, Marked, Note, OpenRecording, PreEvent


@dataclass(frozen=True, slots=True)
class Device:
    """What every recording of this device says about it."""

    id: str
    boot: str
    segment_s: float
    signer: Signer
    sealer: Sealer | None
    row: Row = field(default_factory=Row)


class RecordingFolder:
    """A recording that is open.

    Every method may raise OSError; after one, only `interrupted` or (for ENOSPC) `close_full` may be called: the state
    of the files is not known.

    **Synchronization:** one thread at a time (`Storage.run`).
    """

    def __init__(self, volume: Volume, device: Device, opening: OpenRecording, clock: Clock) -> None:
        self._volume = volume
        self._device = device
        self.opening = opening  # with the tracks in force, which a recording that goes on from here begins with
        self._clock = clock
        self._chain = Chain(device.signer, MANIFEST_NAMESPACE)
        self._folder = f"{RECORDINGS}/{opening.recording}"
        self._manifest: File | None = None
        self._durable = 0  # bytes of the manifest that a sync has confirmed
        self._epoch: Epoch | None = None
        self._epochs = 0
        self._origin_ns = 0
        self._audio = AudioLine()
        self._sealed = 0
        self._gops = 0
        self._uncommitted: list[str] = []  # files written since the manifest's last line
        self._lines: list[records.Record] = []  # of the manifest, not durable yet
        self._totals = Totals()  # of what is durable
        self._doubtful = False  # a sync of the manifest failed: nobody knows what lies behind what was durable before
        self.created = False  # the folder exists: its serial number is used

    @property
    def recording(self) -> str:
        return self.opening.recording

    @property
    def row(self) -> Row:
        return self._device.row

    @property
    def duration_ns(self) -> int:
        """Media time of the end of what is committed."""
        return self._totals.duration_ns

    @property
    def segments(self) -> int:
        """How many are committed."""
        return self._totals.segments

    @property
    def manifest_head(self) -> records.JournalHead:
        """How far the manifest is written; behind a commit that has returned: how far it is durable."""
        return self._chain.head(MANIFEST)

    @property
    def manifest_sha512(self) -> str:
        """Of the manifest as far as it is written: hex."""
        return self.manifest_head.sha512

    # --- open --------------------------------------------------------------------------------------------------------

    def create(self, first: Gop | None, journal: records.JournalHead | None, continues: str = "") -> None:
        """Make the folder and the manifest with its `open` record.

        Args:
            first: the GOP that media time 0 is taken from; None for a recording that never got one.
        """
        opening = self.opening
        # Audio that came late is in the GOP after its own. A recording begins with a video frame all the same; but
        # where it goes on from another one, that audio would be in neither.
        starts = [batch.samples[0] for batch in first.batches[: None if continues else 1]] if first else []
        self._origin_ns = min((min(start.dts_ns, start.pts_ns) for start in starts), default=opening.press_ns)
        try:
            self._volume.make_dir(self._folder)
        except FileExistsError:
            # An empty one held the place of the number; another one is an attempt's that failed after making it.
            if self._volume.names(self._folder):
                self.created = True
                raise
        self.created = True
        self._device.row.began(self.recording)
        self._volume.sync_dir(RECORDINGS)
        self._manifest = self._volume.create(f"{self._folder}/{MANIFEST}")
        audio = opening.audio or (first.audio.track if first and first.audio else None)
        epoch = self._begin_epoch(opening.video, audio)
        reading = self._clock.read()
        origin = stamp_at(self._origin_ns, reading)
        got_ns, short_because = opening.pre_event.got_ns, opening.pre_event.reason
        there_ns = max(0, opening.press_ns - first.start_ns) if first else 0
        if there_ns < got_ns:
            # The recorder had more: the backlog of a flash that stalls had no room for it, or the flash took none.
            got_ns, short_because = there_ns, "backlog_full" if first else "not_stored"
        record = records.Open(
            n=0,
            format=records.FORMAT,
            recording=opening.recording,
            device=self._device.id,
            serial=opening.serial,
            software=f"bwvd {__version__}",
            boot=self._device.boot,
            signer=self._device.signer.public_key,
            press=records.Press(
                source=opening.press_source,
                stamp=stamp_at(opening.press_ns, reading),
                handled_mono_ns=opening.handled_ns,
                position=sealed_position(
                    press_position(opening.located, opening.press_ns, reading), self._device.sealer
                ),
            ),
            pre_event=records.PreEvent(
                asked_s=opening.pre_event.asked_ns / NS,
                got_s=got_ns / NS,
                reason=short_because,
                audio=opening.pre_event_audio,
            ),
            origin_mono_ns=self._origin_ns,
            origin_utc=origin.utc,
            segment_s=self._device.segment_s,
            tracks=_track_infos(epoch.tracks),
            init=base64.b64encode(epoch.init).decode(),
            recipients=list(self._device.sealer.recipients) if self._device.sealer else [],
            journal=journal,
            continues=continues,
            before=self._device.row.before(self.recording),
        )
        line = self._line(records.padded(record))
        if opening.officer:
            line += self._line(self._officer(opening.officer, 0))
        self._volume.sync_dir(self._folder)  # the manifest's name, and that of the officer's sealed id: before its line
        self._append(line)

    # --- commit ------------------------------------------------------------------------------------------------------

    def commit(self, gops: Sequence[Gop], notes: Sequence[Note]) -> Committed:
        """Make one segment of all `gops` durable, with the notes that came before its end. All must fit one epoch."""
        assert self._epoch is not None  # noqa: S101  made in `create`
        lines = b"" if self._epoch.fits(gops[0]) else self._change_epoch(gops[0])
        epoch, origin_ns = self._epoch, self._origin_ns
        silent = [self._audio.silent(gop, epoch.audio, epoch.silence, origin_ns) for gop in gops]
        plain = b"".join(
            epoch.fragment(gop, self._gops + index, origin_ns, at)
            for index, (gop, at) in enumerate(zip(gops, silent, strict=True), start=1)
        )
        plain_sha256 = hashing.sha256(plain).hexdigest()
        sealer = self._device.sealer
        stored = sealer.seal(plain) if sealer else plain
        sha256 = hashing.sha256(stored).hexdigest() if sealer else plain_sha256
        number = self.segments + 1
        name = segment_name(number, encrypted=sealer is not None)
        self._write_file(name, stored)
        lines += b"".join(self._note_line(note) for note in notes)
        self._volume.sync_dir(self._folder)
        frames = sum(gop.frames for gop in gops)
        silent_frames = sum(len(at) for at in silent)
        heard_frames = sum(
            sum(sample.dts_ns >= self._origin_ns for sample in gop.audio.samples) for gop in gops if gop.audio
        )
        start_ns, end_ns = gops[0].start_ns, gops[-1].end_ns
        lines += self._line(
            records.Segment(
                n=self._chain.n,
                segment=number,
                file=name,
                bytes=len(stored),
                sha256=sha256,
                plain_bytes=len(plain),
                plain_sha256=plain_sha256,
                epoch=self._epochs,
                pts_ns=start_ns - self._origin_ns,
                duration_ns=end_ns - start_ns,
                frames=frames,
                audio_frames=heard_frames + silent_frames,
                silent_frames=silent_frames,
                gops=len(gops),
                stamp=stamp_at(start_ns, self._clock.read()),
            )
        )
        self._append(lines)
        self._gops += len(gops)
        return Committed(len(stored), frames, end_ns - start_ns)

    def write_notes(self, notes: Sequence[Note]) -> Committed:
        """Make notes durable by themselves."""
        self._append(self._note_lines(notes))
        return Committed()

    # --- close -------------------------------------------------------------------------------------------------------

    def close(self, reason: str, notes: Sequence[Note] = ()) -> None:
        """Write the last notes and the `close` record; from here on the recording is complete, its folder final."""
        lines = self._note_lines(notes)
        totals = replace(self._totals)
        for record in self._lines:
            totals.take(record)
        lines += self._line(
            records.Close(
                n=self._chain.n,
                reason=reason,
                segments=totals.segments,
                frames=totals.frames,
                audio_frames=totals.audio_frames,
                silent_frames=totals.silent_frames,
                bytes=totals.bytes,
                duration_ns=totals.duration_ns,
                gaps=totals.gaps,
                stamp=stamp_at(self._clock.monotonic_ns(), self._clock.read()),
            )
        )
        self._append(lines)
        self._ended()

    def close_full(self, reason: str, unwritten: Unwritten) -> None:
        """Close after an ENOSPC, when room was made: names what did not reach the flash, then closes.

        A piece of a line may have reached the manifest, and a piece of a segment its file. The piece of a file was
        never acknowledged and is removed; the piece of a line is covered by a `torn` record, as after a power cut.
        Of a manifest whose sync failed a copy is gone on with, as far as it was durable: that takes as much room again.

        May be called again after an OSError, and then begins with such a copy.
        """
        self._abandon()
        if self._doubtful:
            self.interrupted().make_recoverable(self._volume)
            self._uncommitted.clear()
        self._doubtful = True
        path = f"{self._folder}/{MANIFEST}"
        ending, whole = read_ending(self._volume, path, MANIFEST, MANIFEST_NAMESPACE, Contents)
        self._chain = Chain(self._device.signer, MANIFEST_NAMESPACE)
        self._lines.clear()
        absorb(self._chain, self._volume, path, ending)
        lines = b"\n" if ending.newline_missing else b""
        if ending.torn is not None:
            lines += self._line(records.TornTail(n=self._chain.n, found=ending.torn))
        pieces = [name for name in self._uncommitted if name not in whole.files]
        for name in pieces:
            self._volume.remove(f"{self._folder}/{name}")
        if pieces:
            self._volume.sync_dir(self._folder)  # behind the end nothing can name one that a power cut brings back
        durable, self._totals = self._totals, whole
        last = unwritten.ending(reason, notes=whole.notes - durable.notes, media=whole.segments > durable.segments)
        try:
            self._manifest = self._volume.append(path)
            if lines or whole.ended:
                self._append(lines)
            if whole.ended:
                self._ended()  # all but the newline of the end itself arrived
            else:
                self.close(reason, last)
        except OSError:
            self._totals = durable
            raise

    def _ended(self) -> None:
        self._device.row.ended(self.recording, "closed", self.segments, self.manifest_sha512)
        self.let_go()

    def interrupted(self) -> Interrupted:
        """Let go of the files after an error; what it takes to bring the recording to its end later."""
        self.let_go()
        return Interrupted(self.recording, tuple(self._uncommitted), self._durable)

    def let_go(self) -> None:
        """Close the files; what is committed stays."""
        self._abandon()
        if self._epoch is not None:
            self._epoch.close()
            self._epoch = None

    def _abandon(self) -> None:
        if self._manifest is not None:
            manifest, self._manifest = self._manifest, None
            with suppress(OSError):  # what is durable the syncs have said, and nothing else is believed
                manifest.close()

    # --- lines -------------------------------------------------------------------------------------------------------

    def _append(self, lines: bytes) -> None:
        if self._manifest is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), f"{self._folder}/{MANIFEST}")
        self._manifest.write(lines)
        self._doubtful = True  # until the sync has returned; after a failed one nothing is appended to that file
        self._manifest.sync()
        self._doubtful = False
        self._durable = self._chain.size
        self._uncommitted.clear()
        for record in self._lines:
            self._totals.take(record)
        self._lines.clear()

    def _line(self, record: records.Record) -> bytes:
        """The record as a line and its signature's, ready to be appended."""
        line = self._chain.line(record)
        self._lines.append(record)
        return line

    def _write_file(self, name: str, data: bytes) -> None:
        with synced(self._volume.create(f"{self._folder}/{name}")) as file:
            self._uncommitted.append(name)
            file.write(data)

    def _begin_epoch(self, video: Track, audio: Track | None) -> Epoch:
        self._epoch = epoch = Epoch(video, audio)
        self._epochs += 1
        self.opening = replace(self.opening, video=video, audio=audio)
        return epoch

    def _change_epoch(self, gop: Gop) -> bytes:
        """The `init` record that makes room for a GOP of other parameters."""
        old = self._epoch
        assert old is not None  # noqa: S101  made in `create`
        video = gop.video.track if gop.video else old.video
        audio = gop.audio.track if gop.audio else old.audio
        epoch = self._begin_epoch(video, audio)
        self._audio.begin_epoch()
        old.close()
        return self._line(
            records.Init(
                n=self._chain.n,
                epoch=self._epochs,
                at_ns=gop.start_ns - self._origin_ns,
                reason=_why_changed(old, video),
                tracks=_track_infos(epoch.tracks),
                init=base64.b64encode(epoch.init).decode(),
            )
        )

    def _note_lines(self, notes: Sequence[Note]) -> bytes:
        """The lines of notes that no segment goes with; the names of their sealed texts are durable."""
        sealed_before = self._sealed
        lines = b"".join(self._note_line(note) for note in notes)
        if self._sealed > sealed_before:
            self._volume.sync_dir(self._folder)
        return lines

    def _note_line(self, note: Note) -> bytes:
        label, sealed = self._private("label", note.label) if isinstance(note, Marked) else ("", None)
        if isinstance(note, Assigned):
            return self._line(self._officer(note.officer, note.at_ns - self._origin_ns))
        place = Place(self._chain.n, self._origin_ns, self._clock.read())
        return self._line(sealed_position(note_record(note, place, label, sealed), self._device.sealer))

    def _officer(self, officer: str, at_ns: int) -> records.Officer:
        text, sealed = self._private("officer", officer)
        return records.Officer(n=self._chain.n, at_ns=at_ns, officer=text, sealed=sealed)

    def _private(self, key: str, text: str) -> tuple[str, records.Sealed | None]:
        """A text about people: in the clear without recipients; else in a sealed file of its own."""
        sealer = self._device.sealer
        if sealer is None or not text:
            return text, None
        plain = private_json({key: text}, os.urandom(16))
        stored = sealer.seal(plain)
        self._sealed += 1
        name = sealed_name(self._sealed)
        self._write_file(name, stored)
        return "", records.Sealed(
            file=name,
            bytes=len(stored),
            sha256=hashing.sha256(stored).hexdigest(),
            plain_sha256=hashing.sha256(plain).hexdigest(),
        )


def continuation(opening: OpenRecording, serial: int, recording: str) -> OpenRecording:
    """The opening of the recording that goes on where `opening`'s broke off."""
    return replace(opening, serial=serial, recording=recording, pre_event=PreEvent(0, 0, "continued"))


def _why_changed(old: Epoch, video: Track) -> str:
    """The word for a new epoch."""
    if video.continues(old.video):
        return "microphone"
    return "parameters" if video.encoder == old.video.encoder else "encoder"


def _track_infos(tracks: Sequence[Track]) -> list[records.TrackInfo]:
    return [
        records.TrackInfo(
            id=index,
            kind=track.kind,
            codec=track.codec,
            encoder=track.encoder,
            source=track.source,
            timescale=track.timescale,
            width=track.width,
            height=track.height,
            rate=track.rate,
            channels=track.channels,
            stamped=track.stamped,
            preset=track.preset,
            times=track.times,
        )
        for index, track in enumerate(tracks, start=1)
    ]
