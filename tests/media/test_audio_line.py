"""Where a recording's audio track is filled: it has no hole, no silence lies over audio, and counting keeps step."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bwvd.clock import NS
from bwvd.media.audio_line import AudioLine, Filler
from bwvd.media.samples import Gop, Track, ticks
from bwvd.media.silence import Silence
from tests.support.gops import AUDIO, audio_batch, video_batch

FRAME = 1024
RATE = 48_000
SILENCE = Silence(b"quiet", FRAME)
OTHER = Track("audio", "aac", 16_000, b"other", "virtual", "aac", rate=16_000.0, channels=1)


@given(st.lists(st.tuples(st.integers(0, 9 * FRAME), st.integers(1, 4)), min_size=1, max_size=40))
@example([(FRAME - 1, 1)] * 40)
@example([(FRAME // 2, 1)] * 40)
def test_holes_are_filled_and_counting_keeps_step(spans: list[tuple[int, int]]) -> None:
    """Invariant 15: at each beginning of audio both those who follow timestamps and those who count are right."""
    filler = Filler(FRAME)
    at = frames = rounding = 0
    placed: list[int] = []
    for hole, heard in spans:
        begin = at + hole
        silent = filler.audio(begin, begin + heard * FRAME)
        assert all(at <= tick < begin for tick in silent), "never in audio"
        rounding += hole % FRAME if hole % FRAME * 8 < FRAME else 0
        frames += len(silent)
        assert abs(begin - rounding - frames * FRAME) <= FRAME // 2
        placed += [*silent, *range(begin, begin + heard * FRAME, FRAME)]
        frames += heard
        at = begin + heard * FRAME
    assert placed == sorted(set(placed))
    assert all(later - earlier < 2 * FRAME for earlier, later in itertools.pairwise([0, *placed]))


def test_without_a_form_of_silence_holes_stay() -> None:
    filler = Filler(0)
    assert filler.audio(10 * FRAME, 11 * FRAME) == []
    assert filler.until(20 * FRAME) == []


def _gop(second: int, *, heard: tuple[float, float] | None = None, late_from_s: float | None = None) -> Gop:
    """A second of video from `second` on, with audio between two moments of it."""
    audio = None
    if heard is not None:
        audio = audio_batch(round((second + heard[0]) * NS), round((heard[1] - heard[0]) * NS))
    return Gop(video_batch(second * NS), audio, None if late_from_s is None else round(late_from_s * NS))


def _laid(gops: list[Gop], origin_s: int = 10) -> tuple[list[int], list[int]]:
    """Ticks of silence and of audio."""
    line, silent, heard = AudioLine(), list[int](), list[int]()
    for gop in gops:
        silent += line.silent(gop, AUDIO, SILENCE, origin_s * NS)
        heard += [ticks(sample.pts_ns - origin_s * NS, RATE) for sample in (gop.audio.samples if gop.audio else ())]
    return silent, heard


def _is_continuous(silent: list[int], heard: list[int], until_s: float) -> bool:
    every = sorted([*silent, *heard])
    steps = [later - earlier for earlier, later in itertools.pairwise(every)]
    return every[0] < FRAME and max(steps) < 2 * FRAME and every[-1] > until_s * RATE - 2 * FRAME


@given(st.lists(st.one_of(st.none(), st.tuples(st.floats(0, 0.5), st.floats(0.6, 1))), min_size=1, max_size=12))
def test_a_recording_has_one_track_whatever_was_muted(seconds: list[tuple[float, float] | None]) -> None:
    """Invariant 15: from the first frame to the last, and every frame of audio is where it was."""
    gops = [_gop(10 + index, heard=heard) for index, heard in enumerate(seconds)]
    silent, heard = _laid(gops)
    assert _is_continuous(silent, heard, len(seconds))
    assert not [tick for tick in silent for other in heard if other <= tick < other + FRAME - 1]


def test_what_may_come_late_is_left_open() -> None:
    """Invariant 4: no audio is given up for silence that was put in too early."""
    late = Gop(video_batch(11 * NS), audio_batch(round(10.3 * NS), round(1.7 * NS)))
    silent, heard = _laid([_gop(10, late_from_s=10.3), late])
    assert max(silent) <= 0.3 * RATE - FRAME
    assert _is_continuous(silent, heard, 2)


def test_a_hole_of_both_tracks_stays_one() -> None:
    """A player is told of it by the playlist, and jumps over it with both tracks."""
    silent, _ = _laid([_gop(10), _gop(11), _gop(20), _gop(21)])
    assert not [tick for tick in silent if 2 * RATE <= tick < 10 * RATE - FRAME]
    assert len([tick for tick in silent if tick >= 10 * RATE - FRAME]) == pytest.approx(2 * RATE / FRAME, abs=1)


def test_a_camera_that_stalls_does_not_hide_what_was_heard_meanwhile() -> None:
    """Its audio comes with the next GOP, and begins behind the last one."""
    stalled = Gop(video_batch(15 * NS), audio_batch(11 * NS, 5 * NS))
    silent, heard = _laid([_gop(10), stalled])
    assert _is_continuous(silent, heard, 6)
    assert max(silent) < 1 * RATE or min(silent) >= 0


def test_a_track_that_comes_later_begins_with_its_first_gop() -> None:
    line = AudioLine()
    assert line.silent(_gop(10), None, None, 10 * NS) == ()
    silent = line.silent(_gop(11), AUDIO, SILENCE, 10 * NS)
    assert silent[0] == RATE


def test_another_microphone_goes_on_at_the_same_place() -> None:
    line = AudioLine()
    before = line.silent(_gop(10), AUDIO, SILENCE, 10 * NS)
    behind = line.silent(_gop(11), OTHER, SILENCE, 10 * NS)
    assert behind[0] / 16_000 == pytest.approx((before[-1] + FRAME) / RATE, abs=1 / 16_000)


def test_an_epoch_begins_with_its_first_frame() -> None:
    """A part of a recording that is exported alone begins with a frame, not with a piece of silence."""
    line = AudioLine()
    line.silent(_gop(10), AUDIO, SILENCE, 10 * NS)
    line.begin_epoch()
    assert line.silent(_gop(11), AUDIO, SILENCE, 10 * NS)[0] == RATE
