"""What a player gets is what the timeline says, and nothing of it is written down."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import re
from collections.abc import Callable
from pathlib import Path

import av
import pyrage
import pytest

from bwvd.clock import NS
from bwvd.desk.hls import ALTERED, HOLD_NS, SEALED, UNREADABLE, Media
from bwvd.desk.timeline import NO_FILE, NOTHING, signed_lines, timeline, without_files
from bwvd.evidence.format.layout import MANIFEST
from bwvd.evidence.keys.age import AgeSealer
from bwvd.evidence.verify.folder import DirectoryFolder
from bwvd.media.fragment_reader import read_fragments, read_init
from tests.support.evidence_folder import RATE, make_recording, make_storage

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    storage = make_storage(tmp_path / "storage")
    numbers = itertools.count(1)
    return lambda **options: make_recording(storage, next(numbers), **options)


def media_of(folder: Path, *identities: object) -> Media:
    with DirectoryFolder(folder) as opened, opened.open(MANIFEST) as file:
        line = timeline(signed_lines(file))
        return Media(line.lacking(without_files(opened.names(), lambda _: False)), identities)


def played(folder: Path, media: Media) -> tuple[bytes, list[str]]:
    """All that the playlist names, one behind the other, and why there is nothing to see of each."""
    data, why, epoch = b"", [], 0
    with DirectoryFolder(folder) as opened:
        for item in media.items():
            if item.epoch != epoch:
                data += media.init(item.epoch) or b""
                epoch = item.epoch
            served = (
                media.segment(opened, item.segment) if item.segment else media.hold(opened, item.begin_ns, item.end_ns)
            )
            assert served is not None
            data += served.data
            why.append(served.why)
    return data, why


def shown(data: bytes) -> list[float]:
    """When each frame is shown, in seconds."""
    with av.open(io.BytesIO(data), "r", format="mp4") as container:
        return [float(frame.time or 0) for frame in container.decode(video=0)]


def heard(data: bytes) -> list[tuple[float, float]]:
    """Begin and end of each audio frame, in seconds."""
    with av.open(io.BytesIO(data), "r", format="mp4") as container:
        return [
            (float(packet.pts * packet.time_base), float((packet.pts + 1024) * packet.time_base))
            for packet in container.demux(audio=0)
            if packet.pts is not None
        ]


def lengths(playlist: str) -> list[float]:
    return [float(found) for found in re.findall(r"#EXTINF:([0-9.]+),", playlist)]


@pytest.mark.parametrize("options", [{}, {"gap_after": 2}, {"grouped": 3}, {"bframes": 2}, {"muted": (2, 3)}], ids=str)
def test_the_playlist_covers_the_timeline(make: Make, options: dict[str, object]) -> None:
    """Invariant 4: a moment of the player is the same moment of the timeline, behind gaps as well."""
    media = media_of(make(seconds=5, **options))
    playlist = media.playlist()
    begins = itertools.accumulate(lengths(playlist), initial=0.0)
    for item, begin in zip(media.items(), begins, strict=False):
        assert begin == pytest.approx((item.begin_ns - media.line.first_ns) / NS, abs=1e-7)
    assert sum(lengths(playlist)) == pytest.approx((media.line.end_ns - media.line.first_ns) / NS, abs=1e-7)
    assert all(length <= int(re.findall(r"TARGETDURATION:(\d+)", playlist)[0]) for length in lengths(playlist))


@pytest.mark.parametrize("sealed", [False, True])
def test_every_frame_comes_at_its_time_across_a_gap(make: Make, sealed: bool) -> None:
    """Invariants 4 and 15: the frames are those of the recording; between them the audio goes on, as silence."""
    identity = pyrage.x25519.Identity.generate()
    folder = make(seconds=4, gap_after=1, sealer=AgeSealer([str(identity.to_public())]) if sealed else None)
    media = media_of(folder, identity)
    data, why = played(folder, media)
    assert why == ["", "", NOTHING, "", ""]
    frames = [at for at in shown(data) if not 2.0 <= at < 2.95]
    wanted = [number / RATE for number in range(2 * RATE)] + [3 + number / RATE for number in range(2 * RATE)]
    assert frames == pytest.approx(wanted, abs=0.002)
    audio = heard(data)
    assert audio[0][0] < 0.4
    assert audio[-1][1] > 4.6
    assert all(begin - end < 0.1 for (_, end), (begin, _) in itertools.pairwise(audio))
    assert all(behind[0] > before[0] for before, behind in itertools.pairwise(audio))


def test_audio_that_was_not_recorded_is_silence_for_the_player(make: Make) -> None:
    """Invariant 15: a recording of an earlier version, whose audio track begins with the press."""
    folder = make(seconds=4, sound_from=2)
    media = media_of(folder)
    data, _ = played(folder, media)
    with DirectoryFolder(folder) as opened:
        silent = media.segment(opened, 1)
    assert silent is not None
    heads = read_init(media.init(1) or b"")
    kinds = {run.head.kind for run in read_fragments(memoryview(silent.data), heads)}
    assert kinds == {"video", "audio"}
    assert heard(data)[0][0] < 0.05
    assert len(shown(data)) == 4 * RATE


def test_a_segment_that_needs_nothing_is_served_as_it_is(make: Make) -> None:
    """Invariant 7: what is played is what was signed, byte for byte."""
    folder = make(seconds=4, sound_from=0)
    media = media_of(folder)
    with DirectoryFolder(folder) as opened:
        for segment in media.line.index.segments[1:3]:
            served = media.segment(opened, segment.segment)
            assert served is not None
            assert hashlib.sha256(served.data).hexdigest() == segment.plain_sha256


def test_what_no_identity_opens_is_not_shown(make: Make) -> None:
    identity, other = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    folder = make(sealer=AgeSealer([str(identity.to_public())]))
    for media in (media_of(folder), media_of(folder, other)):
        data, why = played(folder, media)
        assert set(why) == {SEALED}
        assert shown(data) == []


@pytest.mark.parametrize("sealed", [False, True])
def test_what_is_not_what_was_signed_is_held_back(make: Make, sealed: bool) -> None:
    """Invariant 7: an altered segment is not played, and the time goes on; the ones beside it are."""
    identity = pyrage.x25519.Identity.generate()
    folder = make(seconds=4, sealer=AgeSealer([str(identity.to_public())]) if sealed else None)
    path = folder / f"000002.m4s{'.age' * sealed}"
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.write_bytes(changed)
    media = media_of(folder, identity)
    data, why = played(folder, media)
    assert why == ["", ALTERED, "", ""]
    frames = shown(data)
    assert len([at for at in frames if 1.0 <= at < 1.99]) == 1  # held still: the page covers it
    assert len(frames) == 3 * RATE + 1
    with DirectoryFolder(folder) as opened:
        asked = media.segment(opened, 2, altered=True)
        assert asked is not None
        assert asked.why == ALTERED
        assert sealed or len(asked.data) >= len(changed)
        again = media.segment(opened, 2)
        assert again is not None
        assert again.data != asked.data or sealed  # and was not kept for who has not asked


def test_a_segment_without_a_file_or_of_nonsense_ends_nothing(make: Make) -> None:
    """Invariant 7: what is gone is named, and what is there is played."""
    folder = make(seconds=4)
    (folder / "000003.m4s").unlink()
    media = media_of(folder)
    assert [span.why for span in media.line.spans] == ["", "", NO_FILE, ""]
    _, why = played(folder, media)
    assert why == ["", "", NO_FILE, ""]
    with DirectoryFolder(folder) as opened:
        assert media.segment(opened, 99) is None
        assert media.frames(opened, 99) is None
        assert media.frames(opened, 3) is None
        (folder / "000004.m4s").write_bytes(b"\0\0\0\x09moof")
        served = Media(media.line).segment(opened, 4, altered=True)
    assert served is not None
    assert served.why == UNREADABLE


def test_no_stretch_is_held_that_the_playlist_does_not_name(make: Make) -> None:
    folder = make(seconds=4, gap_after=1)
    media = media_of(folder)
    first = media.line.first_ns
    hole = next(span for span in media.line.spans if span.why == NOTHING)
    with DirectoryFolder(folder) as opened:
        assert media.hold(opened, first, first + NS) is None
        assert media.hold(opened, hole.begin_ns, hole.end_ns + 1) is None
        assert media.hold(opened, hole.begin_ns, hole.begin_ns) is None
        assert media.hold(opened, 0, 10**17) is None
        assert media.hold(opened, hole.begin_ns, hole.begin_ns + HOLD_NS // 100) is not None


def test_the_frames_of_a_segment_are_where_the_decoder_has_them(make: Make) -> None:
    """Invariant 4: a step by a frame is a step by that frame's own time, also of frames that are coded out of order."""
    folder = make(seconds=4, bframes=2)
    media = media_of(folder)
    data, _ = played(folder, media)
    with DirectoryFolder(folder) as opened:
        times = [at for number in range(1, 5) for at in media.frames(opened, number) or []]
    assert [at / NS for at in times] == pytest.approx(shown(data), abs=1e-4)


def test_an_epoch_is_played_with_its_own_init_segment(make: Make) -> None:
    media = media_of(make(seconds=4, other_camera_from=2))
    playlist = media.playlist()
    assert re.findall(r'EXT-X-MAP:URI="init-(\d+)\.mp4"', playlist) == ["1", "2"]
    assert playlist.count("#EXT-X-DISCONTINUITY\n") == 1
    assert media.epochs() == [1, 2]
    assert media.init(3) is None
    assert media.init(0) is None


def test_nothing_is_written(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is decrypted stays in memory: no file is opened to be written, wherever."""
    identity = pyrage.x25519.Identity.generate()
    folder = make(seconds=4, gap_after=1, sealer=AgeSealer([str(identity.to_public())]))
    media = media_of(folder, identity)
    opened: list[int] = []
    whole = os.open

    def open_(path: object, flags: int, *rest: object, **options: object) -> int:
        opened.append(flags)
        return whole(path, flags, *rest, **options)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(os, "open", open_)
    _, why = played(folder, media)
    assert why.count("") == 4
    assert opened
    assert not [flags for flags in opened if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)]
