"""Silence that an export puts in: where, how much, and in which bytes of the file."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import replace

import pytest

from bwvd.evidence.export.audio_fill import AudioFill, Placed
from bwvd.evidence.export.views import Views
from bwvd.media.fragment import Epoch
from bwvd.media.fragment_reader import Run, TrackHead, read_init
from tests.support.evidence_folder import media

SECOND = 48_000
FRAME = 1024
SILENCE = bytes.fromhex("00000007")  # of one channel
HEARD = b"\x21" * 10


@pytest.fixture(scope="module")
def head() -> TrackHead:
    clip = media()
    epoch = Epoch(clip.video, clip.audio)
    epoch.close()
    return next(head for head in read_init(epoch.init) if head.kind == "audio")


def audio(head: TrackHead, dts: int, *durations: int) -> tuple[Run, memoryview]:
    sizes = array("I", [len(HEARD)]) * len(durations)
    return Run(head, dts, 0, sizes, array("I", durations), None, None), memoryview(HEARD * len(durations))


def take(fill: AudioFill, views: Views, dts: int, *durations: int) -> list[tuple[int, int, bool]]:
    """When each frame begins, where it lies, and whether it is silence."""
    return _frames(fill.audio(*audio(fill.head, dts, *durations), views))


def _frames(placed: Iterable[Placed]) -> list[tuple[int, int, bool]]:
    found = []
    for run, at in placed:
        dts = run.dts
        for size, duration in zip(run.sizes, run.durations, strict=True):
            found.append((dts, at, size == len(SILENCE)))
            dts, at = dts + duration, at + size
    return found


def silent(frames: list[tuple[int, int, bool]]) -> list[int]:
    return [dts for dts, _, is_silence in frames if is_silence]


def test_the_form_of_a_track_is_read_from_its_init_segment(head: TrackHead) -> None:
    fill = AudioFill(head, 0)
    assert fill.silence is not None
    assert (fill.silence.data, fill.silence.ticks) == (SILENCE, FRAME)


def test_a_hole_inside_of_a_fragment_is_filled(head: TrackHead) -> None:
    """Invariant 15: an earlier device let the last frame before a mute last until the end of the mute."""
    fill, views = AudioFill(head, 0), Views(0)
    frames = take(fill, views, 0, FRAME, FRAME * 11, FRAME)
    assert silent(frames) == [FRAME * n for n in range(2, 12)]
    assert [dts for dts, _, is_silence in frames if not is_silence] == [0, FRAME, FRAME * 12]
    assert (fill.added_frames, fill.silent_frames) == (10, 10)
    assert fill.lacking_ns == [(2 * FRAME * 10**9 // SECOND, 12 * FRAME * 10**9 // SECOND)]


def test_the_bytes_of_silence_lie_beside_the_video_of_their_time(head: TrackHead) -> None:
    """A player that reads an hour's mute finds its silence where it reads the frames."""
    fill, views = AudioFill(head, 0), Views(0)
    take(fill, views, 0, FRAME)
    video = memoryview(bytes(1_000_000))
    for second in range(1, 60):
        views.put(video, 0, len(video))
        fill.put_between(second * 10**9, views)
    frames = take(fill, views, SECOND * 60, FRAME)
    there = [(dts / SECOND, at / 1_000_000) for dts, at, is_silence in frames if is_silence]
    assert len(there) == 2812  # the last reaches into the audio by less than half
    assert all(abs(behind_s - dts_s) < 2.1 for dts_s, behind_s in there)
    written = b"".join(views.all())
    assert all(written[at : at + 4] == SILENCE for _, at, is_silence in frames if is_silence)
    assert all(written[at : at + 10] == HEARD for _, at, is_silence in frames[1:] if not is_silence)


def test_audio_that_comes_late_takes_the_place_of_silence(head: TrackHead) -> None:
    """Invariant 4: what was heard is never left out for what was put in."""
    fill, views = AudioFill(head, 0), Views(0)
    fill.put_between(10 * 10**9, views)
    assert silent(take(fill, views, 0, *[FRAME] * 100)) == []
    assert silent(take(fill, views, FRAME * 102, FRAME)) == [FRAME * 100, FRAME * 101]


def test_the_track_ends_with_the_frames(head: TrackHead) -> None:
    """Invariant 15."""
    fill, views = AudioFill(head, 0), Views(0)
    take(fill, views, 0, FRAME)
    behind = silent(_frames(fill.until(10**9, views)))
    assert behind == [FRAME * n for n in range(1, SECOND // FRAME)]


def test_a_form_that_cannot_be_made_silent_keeps_its_holes(head: TrackHead) -> None:
    """Invariant 15: they are named, and nothing is invented."""
    config = head.decoder_config
    no_layout = bytes([config[0], config[1] & 0x80, *config[2:]])  # channels as a stream says itself
    odd = replace(head, entry=head.entry.replace(config, no_layout))
    assert odd.decoder_config == no_layout
    fill, views = AudioFill(odd, 0), Views(0)
    frames = take(fill, views, 0, FRAME, FRAME * 11, FRAME) + take(fill, views, SECOND, FRAME)
    fill.put_between(10**10, views)
    frames += _frames(fill.until(2 * 10**9, views))
    assert [dts for dts, _, _ in frames] == [0, FRAME, FRAME * 12, SECOND]
    assert (fill.silence, fill.added_frames, len(fill.lacking_ns)) == (None, 0, 3)


def test_a_hole_of_years_fills_no_memory(head: TrackHead) -> None:
    """A recording may be anybody's, and say anything of its times."""
    fill, views = AudioFill(head, 0), Views(0)
    take(fill, views, 0, FRAME)
    fill.put_between(1 << 62, views)
    assert silent(take(fill, views, 1 << 60, FRAME)) == []
    assert sum(map(len, views.all())) < 100_000


def test_what_the_device_has_evened_out_is_left_as_it_is(head: TrackHead) -> None:
    """Invariant 15: half a frame too much, then half a frame left open, again and again: nothing is to be added."""
    fill, views = AudioFill(head, 0), Views(0)
    at = 0
    for _ in range(10):
        assert silent(take(fill, views, at, *[FRAME] * 9, FRAME // 2)) == []
        at += FRAME * 9 + FRAME // 2
        assert silent(take(fill, views, at, *[FRAME] * 9)) == []
        at += FRAME * 9 + FRAME // 2
    assert fill.added_frames == 0
