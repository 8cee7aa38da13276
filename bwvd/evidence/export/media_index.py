"""The media of a verified recording: which segments there are, in which epoch, and their plain bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from bwvd import hashing
from bwvd.clock import NS
from bwvd.evidence.errors import EvidenceError, IdentityUnusable
from bwvd.evidence.export.track import Track, track_of
from bwvd.evidence.format import records
from bwvd.evidence.format.chain_reader import ChainReader
from bwvd.evidence.format.decode import Unknown, decode
from bwvd.evidence.format.layout import MANIFEST
from bwvd.evidence.format.media_index import MediaIndex
from bwvd.evidence.format.utc import utc_after
from bwvd.evidence.verify.files import SEGMENT_BYTES, segment_label
from bwvd.evidence.verify.folder import CHUNK, Folder, HashedFile, Where, folder_at, path_at, read_file
from bwvd.text import printable


class SegmentUnusable(EvidenceError):
    """A segment can't be read, is not what was recorded, or can't be decrypted. One line."""


@dataclass(frozen=True, slots=True)
class Span:
    """One segment on the time line. Times are media time, in nanoseconds."""

    record: records.Segment

    @property
    def begin_ns(self) -> int:
        return self.record.pts_ns

    @property
    def end_ns(self) -> int:
        return self.record.pts_ns + self.record.duration_ns

    def utc_at(self, pts_ns: int) -> str:
        """UTC at a moment of this segment, by the stamp of its first frame; "" if the stamp is no time."""
        return utc_after(self.record.stamp.utc, pts_ns - self.begin_ns)


@dataclass(slots=True)
class Outline:
    """What a manifest says of the media."""

    folder: Folder
    open: records.Open
    spans: list[Span]
    inits: list[bytes]  # by epoch, from 1
    tracks: list[list[records.TrackInfo]]  # likewise
    gaps: list[records.Gap]
    marks: list[records.Mark]
    audio: list[records.Audio]  # it went on or off
    positions: list[records.Position]
    manifest_sha512: str = ""

    @property
    def first_ns(self) -> int:
        """Media time of the first frame: 0 for a person who plays the recording."""
        return self.spans[0].begin_ns if self.spans else 0

    @property
    def length_s(self) -> float:
        return (self.spans[-1].end_ns - self.first_ns) / NS if self.spans else 0.0

    def stamped(self, span: Span) -> bool:
        """Whether time and device are drawn into the frames of a segment."""
        return any(track.stamped for track in self.tracks[span.record.epoch - 1])

    def track(self, identities: Sequence[Any]) -> Track:
        """Where the camera was, as far as that can be read."""
        return track_of([self.open, *self.positions], identities)

    def plain(self, span: Span, identities: Sequence[Any], *, check: bool = True) -> bytes:
        """The media segment, decrypted if it is sealed.

        Raises: SegmentUnusable; with `check` also when the stored bytes are not those that were signed.
        """
        record = span.record
        label = printable(segment_label(record))
        try:
            data = read_file(self.folder, record.file, SEGMENT_BYTES)
            if check and hashing.sha256(data).hexdigest() != record.sha256:
                raise SegmentUnusable(f"{label} is not what was recorded")
        except OSError as error:
            raise SegmentUnusable(f"{label}: {error.strerror}") from None
        return bytes(self.opened(span, memoryview(data), identities))

    def opened(self, span: Span, stored: memoryview, identities: Sequence[Any]) -> memoryview:
        """The media segment in the bytes of its file, decrypted if it is sealed. Raises: SegmentUnusable."""
        if not self.open.recipients:
            return stored
        try:
            from bwvd.evidence.keys.age import open_sealed  # here: most recordings that are exported are plain

            return memoryview(open_sealed(bytes(stored), identities))
        except IdentityUnusable as error:
            raise SegmentUnusable(f"{printable(segment_label(span.record))} {error}") from None


@contextmanager
def read_outline(where: Where, *, signed_only: bool = True) -> Iterator[Outline]:
    """The outline of the recording in a folder, open as long as the context is.

    With `signed_only` false, lines whose signature does not hold are believed as well.

    Raises: SegmentUnusable if there is no manifest to read, or none that opens a recording.
    """
    path = path_at(where)
    with ExitStack() as opened:
        try:
            folder = opened.enter_context(folder_at(where))
        except OSError as error:
            raise SegmentUnusable(f"{path}: {error.strerror}") from None
        try:
            with folder.open(MANIFEST) as file:
                sha512 = HashedFile(file, hashing.sha512())
                outline = _outline(folder, io.BufferedReader(sha512, CHUNK), signed_only=signed_only)
        except OSError as error:
            raise SegmentUnusable(f"{path}/{MANIFEST}: {error.strerror}") from None
        outline.manifest_sha512 = sha512.hash.hexdigest()
        yield outline


def _outline(folder: Folder, file: io.BufferedReader, *, signed_only: bool) -> Outline:
    index = MediaIndex()
    positions: list[records.Position] = []
    for record in _signed(file) if signed_only else _unsigned(file):
        index.take(record)
        if isinstance(record, records.Position):
            positions.append(record)
    if index.open is None:
        raise SegmentUnusable(f"{folder.path}: the manifest opens no recording")
    spans = [Span(segment) for segment in index.segments]
    return Outline(
        folder, index.open, spans, index.inits, index.tracks, index.gaps, index.marks, index.audio, positions
    )


def _signed(file: io.BufferedReader) -> Iterator[records.Record | Unknown]:
    yield from (signed.record for signed in ChainReader(file, MANIFEST))
    while file.read(CHUNK):  # to the end, for the digest
        pass


def _unsigned(file: io.BufferedReader) -> Iterator[records.Record | Unknown]:
    while line := file.readline(CHUNK * 4):
        record = decode(line)
        if not isinstance(record, str):
            yield record
