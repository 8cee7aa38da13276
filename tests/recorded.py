"""What a recording on a real storage shows: its frames with their times and numbers, its gaps, and what is missing.

The camera must draw numbers into its pictures (`bwvd.testing.clip.numbered_clip`); they go round after `cycle`.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import av

from bwvd.evidence import records
from bwvd.evidence.catalogue import signed_records
from bwvd.evidence.seal import open_sealed
from bwvd.messages import NS
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


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recording's contents."""

    id: str
    opening: records.Open
    records: list[records.ManifestRecord]
    frames: list[Frame]
    gaps: list[Gap]

    @classmethod
    def read(cls, folder: Path, identities: Sequence[Any] = ()) -> Recorded:
        """Decode every frame. Blocking; `identities` open sealed segments."""
        found = list(signed_records(folder))
        opening = next(record for record in found if isinstance(record, records.Open))
        origin_ns = opening.origin_mono_ns
        gaps = [
            Gap(record.track, origin_ns + record.from_ns, origin_ns + record.to_ns, record.cause, record.frames)
            for record in found
            if isinstance(record, records.Gap)
        ]
        frames = list(_frames(folder, found, origin_ns, identities))
        return cls(folder.name, opening, found, frames, gaps)

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
            found.append(Hole(before, after, missing, self._named(before.at_ns, after.at_ns, 2 * step_ns)))
        return found

    def _named(self, from_ns: int, to_ns: int, leeway_ns: float) -> Gap | None:
        """The longest of the gap records that together tell of the span; None if they don't tell of all of it."""
        telling = []
        for gap in sorted(self.gaps, key=lambda gap: gap.from_ns):
            if gap.track != "audio" and gap.from_ns <= from_ns + leeway_ns and gap.to_ns > from_ns:
                telling.append(gap)
                from_ns = gap.to_ns
        if from_ns < to_ns - leeway_ns:
            return None
        return max(telling, key=lambda gap: gap.to_ns - gap.from_ns, default=None)


def _frames(
    folder: Path, found: Sequence[records.ManifestRecord], origin_ns: int, identities: Sequence[Any]
) -> Iterator[Frame]:
    init = b""
    media: list[bytes] = []
    for record in found:
        match record:
            case records.Open(init=text) | records.Init(init=text):
                yield from _decoded(init, media, origin_ns)
                init, media = base64.b64decode(text), []
            case records.Segment():
                data = (folder / record.file).read_bytes()
                media.append(open_sealed(data, identities) if record.file.endswith(".age") else data)
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
