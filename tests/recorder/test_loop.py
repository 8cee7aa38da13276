"""The loop holds what a press may ask for, and nothing older."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bwvd.clock import NS
from bwvd.media.samples import Gop
from bwvd.messages import PreEvent
from bwvd.recorder.loop import Loop
from tests.support.gops import gop

GOPS = st.lists(st.integers(1, 40), min_size=1, max_size=60)  # frames of 50 ms: GOPs of 0.05 s to 2 s
FRAME_NS = 50_000_000


def _fill(loop: Loop, lengths: list[int], start_ns: int = 10 * NS) -> tuple[int, list[Gop]]:
    at_ns = start_ns
    gops = []
    for frames in lengths:
        one = gop(at_ns, frames, FRAME_NS)
        at_ns = one.end_ns
        loop.append(one, at_ns)
        gops.append(one)
    return at_ns, gops


def pre_event(loop: Loop, press_ns: int) -> PreEvent:
    """Of a recording that begins with what the loop holds, or at the press."""
    gops = loop.before(press_ns)
    return loop.pre_event(press_ns, gops[0].start_ns if gops else press_ns)


@given(GOPS, st.integers(1, 20), st.integers(0, 2 * NS))
def test_pre_event_reaches_back_the_loop_and_less_than_one_gop_more(
    lengths: list[int], seconds: int, later_ns: int
) -> None:
    """Invariant 3: a press at any instant, the timers having run, gets [loop, loop + 1 GOP] or a reason."""
    loop = Loop(seconds, 1 << 30)
    now_ns, gops = _fill(loop, lengths)
    press_ns = now_ns + later_ns
    loop.evict(press_ns)
    kept, before = loop.before(press_ns), pre_event(loop, press_ns)
    if not kept:
        assert before.reason
        return
    first = kept[0]
    assert before.got_ns == press_ns - first.start_ns
    if before.got_ns < loop.seconds_ns:
        assert before.reason in ("started", "late_press", "camera_gap")
        assert before.reason == "started" or later_ns, "a camera that delivers never leaves the loop short"
    else:
        assert before.got_ns <= loop.seconds_ns + (first.end_ns - first.start_ns)
        assert before.reason == ""
    assert list(kept) == gops[gops.index(first) :], "in order, without a hole"


@given(GOPS, st.integers(1, 20), st.integers(0, 50 * NS))
def test_nothing_is_held_longer_than_the_loop_and_its_gop(lengths: list[int], seconds: int, later_ns: int) -> None:
    """Invariant 2: after the timer has run no sample is older than loop + one GOP; what left is overwritten."""
    loop = Loop(seconds, 1 << 30)
    now_ns, gops = _fill(loop, lengths)
    now_ns += later_ns
    loop.evict(now_ns)
    held = loop.before(now_ns)
    for one in gops:
        assert one.video is not None
        if one.end_ns <= now_ns - loop.seconds_ns:
            assert one not in held
            assert not any(one.video.data), "wiped"
        else:
            assert any(one.video.data)
            assert now_ns - one.start_ns < loop.seconds_ns + (one.end_ns - one.start_ns)
    deadline = loop.next_eviction_ns()
    assert (deadline is None) == (len(loop) == 0)
    assert deadline is None or deadline > now_ns


@given(GOPS, st.integers(1000, 20_000))
def test_the_bytes_are_bounded(lengths: list[int], max_bytes: int) -> None:
    """A bound on memory shortens the loop and says so; the newest GOP always stays."""
    loop = Loop(3600, max_bytes)
    now_ns, gops = _fill(loop, lengths)
    assert loop.bytes <= max(max_bytes, gops[-1].size)
    kept = loop.before(now_ns)
    assert kept[-1] is gops[-1]
    assert pre_event(loop, now_ns).reason == ("memory" if len(kept) < len(gops) else "started")


def test_a_gop_is_wiped_only_when_the_last_owner_lets_go() -> None:
    """Invariant 2, and 4: a GOP that waits for the flash keeps its bytes though the loop has turned."""
    loop = Loop(1, 1 << 20)
    one = gop(0)
    loop.append(one, NS)
    one.hold()  # the writer's
    loop.evict(10 * NS)
    assert one.video is not None
    assert any(one.video.data)
    one.release()
    assert not any(one.video.data)


def test_without_audio_shares_the_pictures_and_their_owners() -> None:
    loop = Loop(1, 1 << 20)
    one = gop(0)
    loop.append(one, NS)
    silent = one.without_audio(0).hold()
    loop.clear("asleep")
    assert silent.video is not None
    assert any(silent.video.data)
    silent.release()
    assert not any(silent.video.data)


def test_a_hole_in_the_pre_event_part_is_the_reason_for_its_shortness() -> None:
    """Invariant 3: short because the camera was away."""
    loop = Loop(10, 1 << 30)
    loop.append(gop(0), NS)
    loop.append(gop(15 * NS), 16 * NS)
    before = pre_event(loop, 16 * NS)
    assert before.got_ns == NS
    assert before.reason == "camera_gap"


def test_the_last_picture_before_a_stall_does_not_keep_its_group() -> None:
    """Invariants 2 and 3: its duration reaches over the stall, to the next group; what was seen before is as old as it
    is, and a press says why it gets less."""
    loop = Loop(3, 1 << 30)
    old = gop(0, 20, FRAME_NS)
    assert old.video is not None
    last = old.video.samples[-1]
    old.video.samples = (*old.video.samples[:-1], last._replace(duration_ns=11 * NS - last.dts_ns))
    assert old.end_ns == 11 * NS
    loop.append(old, 11 * NS)
    loop.append(gop(11 * NS, 20, FRAME_NS), 12 * NS)
    assert not any(old.video.data), "wiped"
    before = pre_event(loop, 12 * NS)
    assert before.got_ns == NS
    assert before.reason == "camera_gap"


def test_a_slow_camera_is_no_stall() -> None:
    """Invariant 3: with a frame every two seconds, in groups of one, the last one counts for as long as it is shown."""
    loop = Loop(10, 1 << 30)
    for second in range(0, 40, 2):
        loop.append(gop(second * NS, 1, 2 * NS), (second + 2) * NS)
    before = pre_event(loop, 40 * NS)
    assert before.got_ns == 10 * NS
    assert before.reason == ""


def test_clear_wipes_and_says_why_the_next_press_finds_nothing() -> None:
    loop = Loop(10, 1 << 30)
    one = gop(0)
    loop.append(one, NS)
    loop.clear("asleep")
    assert one.video is not None
    assert not any(one.video.data)
    assert (len(loop), loop.bytes, loop.next_eviction_ns()) == (0, 0, None)
    assert pre_event(loop, 2 * NS).reason == "asleep"
