"""The header of an MP4, read by libav: a hole is as long as it was, however long that is."""

from __future__ import annotations

from array import array
from pathlib import Path

import av
import pytest

from bwvd.media.boxes import box
from bwvd.media.movie import TIMESCALE, VIDEO_HEADER, MovieTrack, Samples, movie
from bwvd.testing.clip import numbered_clip
from bwvd.testing.picture import frame_number

STEP = TIMESCALE // 30
FRAMES, BEFORE = 10, 5
LONGEST = (1 << 32) - 1 - 480_000  # ticks of a sample that libav believes


def with_hole(folder: Path, hole: int) -> Path:
    """Ten frames, and between the groups of five so many ticks of nothing."""
    clip, made = folder / "clip.mp4", folder / "hole.mp4"
    numbered_clip(clip, FRAMES, rate=30, gop_s=BEFORE / 30)
    with av.open(str(clip)) as container:
        coded = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    stored = clip.read_bytes()
    at = stored.find(b"stsd")
    entry = stored[at + 12 : at - 4 + int.from_bytes(stored[at - 4 : at], "big")]
    begin, samples = box(b"ftyp", b"isom", (0x200).to_bytes(4, "big"), b"isom"), Samples()
    place = len(begin) + 8
    for dts, group in ((0, coded[:BEFORE]), (BEFORE * STEP + hole, coded[BEFORE:])):
        samples.add(dts, place, array("I", map(len, group)), array("I", [STEP] * len(group)), None, [0])
        place += sum(map(len, group))
    track = MovieTrack(samples, TIMESCALE, b"vide", entry, VIDEO_HEADER)
    made.write_bytes(begin + box(b"mdat", b"".join(coded)) + movie([track], None))
    return made


@pytest.mark.parametrize("hole", [0, (1 << 31) - STEP, 1 << 31, (1 << 31) + 10 * STEP, LONGEST - STEP])
def test_a_hole_keeps_its_length(tmp_path: Path, hole: int) -> None:
    """Invariant 4: of more than 2^31 ticks too, which is more than a signed number of 32 bits holds."""
    with av.open(str(with_hole(tmp_path, hole))) as container:
        length = container.duration
        shown = [(frame.pts, frame_number(frame)) for frame in container.decode(video=0)]
    times = [number * STEP + (hole if number >= BEFORE else 0) for number in range(FRAMES)]
    assert shown == list(zip(times, range(FRAMES), strict=True))
    assert length is not None
    assert length / 1_000_000 == pytest.approx((times[-1] + STEP) / TIMESCALE, abs=0.5)


def test_a_hole_that_no_mp4_can_hold_is_no_shorter_one(tmp_path: Path) -> None:
    """Nor one that libav would take for a single tick."""
    with pytest.raises(OverflowError):
        with_hole(tmp_path, LONGEST - STEP + 1)
