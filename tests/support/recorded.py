"""What a recording on a real storage shows: its frames with their times and numbers, its gaps, and what is missing.

The camera must draw numbers into its pictures (`bwvd.testing.clip.numbered_clip`); they go round after `cycle`.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import av

from bwvd.clock import NS
from bwvd.evidence.export.catalogue import signed_records
from bwvd.evidence.format import records
from bwvd.evidence.keys.age import open_sealed
from bwvd.testing.picture import frame_number


@dataclass(frozen=True, slots=True)
class Frame:
    at_ns: int  # CLOCK_MONOTONIC
    number: int


@dataclass(frozen=True, slots=True)
class Gap:
    """A gap record, on CLOCK_MONOTONIC."""

    track: str
    from_ns: int
    to_ns: int
    cause: str
    frames: int


@dataclass(frozen=True, slots=True)
class Hole:
    """Two neighbouring frames that do not follow each other."""

    before: Frame
    after: Frame
    missing: int  # frames by their times, at least 1; 0 = doubled or out of order
    named: Gap | None  # the gap record that tells of it, the longest if several do together

    def __str__(self) -> str:
        named = f"named {self.named.cause!r}" if self.named else "not named"
        return f"{self.missing} frames between {self.before.number} and {self.after.number}, {named}"


def has_begun(found: Sequence[records.ManifestRecord]) -> bool:
    """Whether its first record reached the storage; where not, its number is used and its media is in another one."""
    return any(isinstance(record, records.Open) for record in found)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recording's contents."""

    id: str
    opening: records.Open
    manifest: list[records.ManifestRecord]
    frames: list[Frame]
    gaps: list[Gap]

    @classmethod
    def read(cls, folder: Path, identities: Sequence[Any] = ()) -> Recorded:
        """A recording in a folder. Blocking; `identities` open sealed segments."""

        def read(name: str) -> bytes:
            data = (folder / name).read_bytes()
            return open_sealed(data, identities) if name.endswith(".age") else data

        return cls.of(folder.name, list(signed_records(folder)), read)

    @classmethod
    def of(cls, name: str, found: Sequence[records.ManifestRecord], read: Callable[[str], bytes]) -> Recorded:
        """Decode every frame. `read` gives the plain bytes of a segment's file."""
        opening = next(record for record in found if isinstance(record, records.Open))
        origin_ns = opening.origin_mono_ns
        gaps = [
            Gap(record.track, origin_ns + record.from_ns, origin_ns + record.to_ns, record.cause, record.frames)
            for record in found
            if isinstance(record, records.Gap)
        ]
        return cls(name, opening, list(found), list(_frames(found, origin_ns, read)), gaps)

    def holes(self, rate: float, cycle: int) -> list[Hole]:
        """Where a frame is missing, doubled or out of order, with the gap record that names it where one does."""
        found = []
        step_ns = NS / rate
        for before, after in pairwise(self.frames):
            passed_ns = after.at_ns - before.at_ns
            follows = after.number == (before.number + 1) % cycle
            if follows and abs(passed_ns - step_ns) < step_ns / 2:
                continue
            missing = max(0, round(passed_ns / step_ns) - 1)
            found.append(Hole(before, after, missing, naming(self.gaps, before.at_ns, after.at_ns, 2 * step_ns)))
        return found


def naming(gaps: Iterable[Gap], from_ns: int, to_ns: int, leeway_ns: float) -> Gap | None:
    """The longest of the gap records that together tell of the span; None if they don't tell of all of it."""
    telling = []
    for gap in sorted(gaps, key=lambda gap: gap.from_ns):
        if gap.track != "audio" and gap.from_ns <= from_ns + leeway_ns and gap.to_ns > from_ns:
            telling.append(gap)
            from_ns = gap.to_ns
    if from_ns < to_ns - leeway_ns:
        return None
    return max(telling, key=lambda gap: gap.to_ns - gap.from_ns, default=None)


def _frames(found: Sequence[records.ManifestRecord], origin_ns: int, read: Callable[[str], bytes]) -> Iterator[Frame]:
    init = b""
    media: list[bytes] = []
    for record in found:
        match record:
            case records.Open(init=text) | records.Init(init=text):
                yield from _decoded(init, media, origin_ns)
                init, media = base64.b64decode(text), []
            case records.Segment():
                media.append(read(record.file))
    yield from _decoded(init, media, origin_ns)


def _decoded(init: bytes, media: Sequence[bytes], origin_ns: int) -> Iterator[Frame]:
    if not media:
        return
    with av.open(io.BytesIO(init + b"".join(media)), "r") as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            assert frame.pts is not None
            assert frame.time_base is not None
            yield Frame(origin_ns + round(frame.pts * frame.time_base * NS), frame_number(frame))
