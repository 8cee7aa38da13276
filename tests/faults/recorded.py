"""What lies on the flash afterwards, read back: records, and every frame with its time and its bytes."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

import av

from bwvd.clock import NS
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE, MANIFEST_NAMESPACE
from bwvd.evidence.format.chain_reader import ChainReader
from bwvd.testing.flash.medium import Tree
from bwvd.testing.picture import frame_number
from tests.support.rig import SILENCE


class Kept(NamedTuple):
    """A frame in a recording; its time is CLOCK_MONOTONIC, to the nanosecond of the track's tick."""

    pts_ns: int
    key: bool
    data: bytes


@dataclass
class Recording:
    """One folder."""

    id: str
    files: dict[str, bytes]
    lines: list[records.Record] = field(default_factory=list)  # what its manifest's signed lines say

    @property
    def serial(self) -> int:
        return int(self.id[-6:])

    @cached_property
    def opening(self) -> records.Open | None:
        first = self.lines[0] if self.lines else None
        return first if isinstance(first, records.Open) else None

    @cached_property
    def end(self) -> records.Close | records.Recovered | None:
        last = self.lines[-1] if self.lines else None
        return last if isinstance(last, records.Close | records.Recovered) else None

    @property
    def reason(self) -> str:
        """Of its end, as `bwvd list` shows it."""
        match self.end:
            case records.Close(reason=reason):
                return reason
            case records.Recovered():
                return "recovered"
            case _:
                return "open"

    @cached_property
    def segments(self) -> list[records.Segment]:
        return [record for record in self.lines if isinstance(record, records.Segment)]

    @cached_property
    def inits(self) -> list[records.Open | records.Init]:
        """What begins an epoch."""
        return [record for record in self.lines if isinstance(record, records.Open | records.Init)]

    @cached_property
    def gaps(self) -> list[tuple[int, int, records.Gap]]:
        """Gaps in the pictures: from, to (CLOCK_MONOTONIC) and the record."""
        return self._gaps_of("video")

    @cached_property
    def sound_gaps(self) -> list[tuple[int, int, records.Gap]]:
        """Gaps in the sound, likewise."""
        return self._gaps_of("audio")

    def _gaps_of(self, track: str) -> list[tuple[int, int, records.Gap]]:
        origin_ns = self.opening.origin_mono_ns if self.opening else 0
        found = [record for record in self.lines if isinstance(record, records.Gap) and record.track in (track, "both")]
        return [(origin_ns + gap.from_ns, origin_ns + gap.to_ns, gap) for gap in found]

    @property
    def frames(self) -> list[Kept]:
        """Every frame of every acknowledged segment, in the order of the records."""
        return self._media[0]

    @property
    def sounds(self) -> list[Kept]:
        """Every coded frame of sound, likewise; silence that was put in is none."""
        return [one for one in self._media[1] if one.data != SILENCE]

    @property
    def audio(self) -> list[Kept]:
        """Every coded frame of the audio track, likewise."""
        return self._media[1]

    @cached_property
    def _media(self) -> tuple[list[Kept], list[Kept]]:
        found: tuple[list[Kept], list[Kept]] = [], []
        if self.opening is None:
            return found
        inits = [base64.b64decode(self.opening.init)]
        for record in self.lines:
            if isinstance(record, records.Init):
                inits.append(base64.b64decode(record.init))
            elif isinstance(record, records.Segment):
                media = self.files.get(record.file, b"")
                for kept, packets in zip(found, _demuxed(inits[record.epoch - 1], media), strict=True):
                    kept += [Kept(self.opening.origin_mono_ns + pts_ns, key, data) for pts_ns, key, data in packets]
        return found

    def decoded(self) -> list[int]:
        """The numbers in the decoded pictures of the first epoch; raises where one can't be decoded."""
        assert self.opening is not None
        media = base64.b64decode(self.opening.init)
        media += b"".join(self.files[segment.file] for segment in self.segments if segment.epoch == 1)
        with av.open(io.BytesIO(media), "r") as container:
            return [frame_number(frame) for frame in container.decode(video=0)]


Packets = tuple[tuple[int, bool, bytes], ...]  # presentation time, whether it is a key frame, bytes


@lru_cache(maxsize=8192)
def _demuxed(init: bytes, media: bytes) -> tuple[Packets, Packets]:
    """The pictures and the sound of a segment."""
    video: list[tuple[int, bool, bytes]] = []
    audio: list[tuple[int, bool, bytes]] = []
    with av.open(io.BytesIO(init + media), "r") as container:
        for packet in container.demux():
            if packet.pts is not None:
                assert packet.time_base is not None
                track = video if packet.stream.type == "video" else audio
                track.append((round(packet.pts * packet.time_base * NS), packet.is_keyframe, bytes(packet)))
    return tuple(video), tuple(audio)


def recordings_of(tree: Tree) -> list[Recording]:
    """Everything below `recordings/`, oldest first."""
    found: dict[str, Recording] = {}
    for path, content in tree.items():
        _, _, below = path.partition("recordings/")
        name, _, file = below.partition("/")
        if not name:
            continue
        recording = found.setdefault(name, Recording(name, {}))
        if file and content is not None:
            recording.files[file] = content
    for recording in found.values():
        recording.lines = list(_records(recording.files.get("manifest.jsonl", b"")))
    return [found[name] for name in sorted(found, key=lambda name: name[-6:])]


def entries_of(tree: Tree) -> list[records.Entry]:
    """The journal's entries, oldest first; what is torn or foreign is left out."""
    names = sorted(name for name in tree if name.startswith("journal-") and name.endswith(".jsonl"))
    found: list[records.Entry] = []
    for name in [*names, "journal.jsonl"]:
        found += [record for record in _records(tree.get(name) or b"", True) if isinstance(record, records.Entry)]
    return found


@lru_cache(maxsize=256)
def _records(data: bytes, journal: bool = False) -> tuple[records.Record, ...]:
    namespace = JOURNAL_NAMESPACE if journal else MANIFEST_NAMESPACE
    reader = ChainReader(io.BytesIO(data), "lines", namespace)
    return tuple(signed.record for signed in reader if isinstance(signed.record, records.Record))
