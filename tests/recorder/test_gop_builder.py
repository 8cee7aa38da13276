"""Pictures and the sound of the same span become one GOP."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bwvd.clock import NS
from bwvd.media.samples import Batch, Gop
from bwvd.recorder.gop_builder import AUDIO_WAIT_NS, GopBuilder
from tests.support.gops import AUDIO_FRAME_NS, audio_batch, video_batch


def _times(gops: list[Gop]) -> list[int]:
    return [sample.pts_ns for gop in gops if gop.audio for sample in gop.audio.samples]


@given(st.lists(st.integers(50_000_000, 900_000_000), min_size=1, max_size=20), st.integers(0, NS))
def test_every_sound_goes_once_and_in_order(spans: list[int], lead_ns: int) -> None:
    """Invariant 4: whatever the lengths of the microphone's batches."""
    builder = GopBuilder()
    builder.expect_audio(True, 0)
    at_ns = 10 * NS - lead_ns
    sent: list[int] = []
    gops: list[Gop] = []
    now_ns = 10 * NS
    for index, span_ns in enumerate(spans):
        video = video_batch((10 + index) * NS)
        now_ns = video.end_ns
        builder.video(video, now_ns)
        audio = audio_batch(at_ns, span_ns)
        sent += [sample.pts_ns for sample in audio.samples]
        at_ns = audio.end_ns
        builder.audio(audio)
        gops += builder.ready(now_ns)
    gops += builder.ready(now_ns + AUDIO_WAIT_NS)
    assert [gop.start_ns for gop in gops] == [(10 + index) * NS for index in range(len(spans))]
    got = _times(gops)
    assert got == sent[: len(got)]
    left = sent[len(got) :]
    assert all(ns >= gops[-1].end_ns for ns in left), "only what belongs to a later GOP waits"
    for gop in gops:
        if gop.audio:
            assert len(gop.audio.data) == 8 * len(gop.audio.samples)
            assert all(sample.offset == 8 * i for i, sample in enumerate(gop.audio.samples))


def test_a_gop_waits_for_its_sound_but_not_for_ever() -> None:
    """Invariant 10: a dead microphone does not hold the pictures."""
    builder = GopBuilder()
    builder.expect_audio(True, 0)
    builder.video(video_batch(0), NS)
    assert builder.ready(NS) == []
    assert builder.deadline_ns() == NS + AUDIO_WAIT_NS
    assert len(builder.ready(NS + AUDIO_WAIT_NS)) == 1


def test_without_a_microphone_nothing_waits() -> None:
    builder = GopBuilder()
    builder.video(video_batch(0), NS)
    assert len(builder.ready(NS)) == 1


def test_without_a_camera_the_sound_goes_alone() -> None:
    builder = GopBuilder()
    builder.expect_audio(True, 0)
    builder.has_camera = False
    builder.audio(audio_batch(5 * NS, 2 * NS + AUDIO_FRAME_NS))
    gops = builder.ready(8 * NS)
    assert [gop.video for gop in gops] == [None, None]
    assert gops[0].start_ns == 5 * NS
    assert sorted(_times(gops)) == _times(gops)


def test_sound_that_no_gop_took_is_overwritten() -> None:
    """Invariant 2: dropped sound does not stay in memory."""
    builder = GopBuilder()
    batch = audio_batch(0, NS)
    builder.audio(batch)
    builder.drop_audio()
    assert not any(batch.data)


def test_audio_from_before_it_was_wanted_goes_nowhere() -> None:
    """Invariant 15: what a microphone that hung had still held is no part of the next recording, and is overwritten."""
    builder = GopBuilder()
    builder.expect_audio(True, 3 * NS)
    old, straddling = audio_batch(NS, NS // 2), audio_batch(3 * NS - AUDIO_FRAME_NS // 2, 2 * NS)
    data, first_ns = old.data, straddling.start_ns
    builder.audio(old)
    builder.video(video_batch(3 * NS), 4 * NS)
    assert not any(data)
    assert builder.late_audio(4 * NS) == (3 * NS, 4 * NS), "and it does not say how far the microphone is"
    builder.audio(straddling)
    (gop,) = builder.ready(4 * NS)
    assert _times([gop])[0] == first_ns


def test_no_silence_is_put_where_audio_waits() -> None:
    """Invariants 4 and 15: of two microphones in one span, the second one's audio is the next GOP's."""
    builder = GopBuilder()
    builder.expect_audio(True, 0)
    first, second = audio_batch(0, NS // 2), audio_batch(NS // 2, 2 * NS)
    second = Batch(replace(second.track), second.samples, second.data)
    builder.audio(first)
    builder.audio(second)
    builder.video(video_batch(0), NS)
    builder.video(video_batch(NS), 2 * NS)
    one, two = builder.ready(2 * NS)
    assert one.settled_ns == second.start_ns
    assert two.settled_ns == two.end_ns
    assert len(_times([one, two])) == len(set(_times([one, two])))


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("video"), st.integers(0, 600_000_000)),
        st.tuples(st.just("audio"), st.integers(20_000_000, 2 * NS)),
        st.tuples(st.sampled_from(["camera", "microphone"]), st.booleans()),
    ),
    max_size=12,
)


@given(OPERATIONS)
def test_the_deadline_is_when_something_is_ready_next(operations: list[tuple[str, int]]) -> None:
    """Invariant 2: whoever waits for the deadline leaves nothing lying that is ready, and looks no sooner."""
    builder = GopBuilder()
    now_ns = heard_ns = seen_ns = 10 * NS
    for kind, value in operations:
        if kind == "video":
            seen_ns += NS
            now_ns = max(now_ns, seen_ns) + value
            builder.video(video_batch(seen_ns - NS), now_ns)
        elif kind == "audio":
            batch = audio_batch(heard_ns, value)
            heard_ns = batch.end_ns
            now_ns = max(now_ns, heard_ns)
            builder.audio(batch)
        elif kind == "camera":
            builder.has_camera = bool(value)
        else:
            builder.expect_audio(bool(value), now_ns)
        due_ns = builder.deadline_ns()
        if due_ns is None:
            assert not builder.ready(now_ns + 60 * NS), (kind, value)
            continue
        assert due_ns <= now_ns or not builder.ready(due_ns - 1), (kind, value)
        now_ns = max(due_ns, now_ns)
        assert builder.ready(now_ns), (kind, value)
        assert (left_ns := builder.deadline_ns()) is None or left_ns > now_ns, (kind, value)


def test_the_rest_of_the_sound_waits_for_no_device_that_is_gone() -> None:
    """Invariant 2: without a camera, and without a microphone from here on, it can grow too old in the loop alone."""
    builder = GopBuilder()
    builder.expect_audio(True, 0)
    builder.has_camera = False
    builder.audio(audio_batch(0, NS // 2))
    assert builder.ready(NS // 2) == []
    assert builder.deadline_ns() is None
    builder.expect_audio(False, NS)
    assert builder.deadline_ns() is not None
    (gop,) = builder.ready(NS)
    assert gop.video is None
    assert gop.start_ns == 0
