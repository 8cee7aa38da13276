"""A hole in the pictures is named whole: by capture, by the recorder, or each a part of it."""

from __future__ import annotations

import trio
from hypothesis import given
from hypothesis import strategies as st

from bwvd.clock import NS
from bwvd.evidence.format import records
from bwvd.messages import SourceDown
from bwvd.recorder.in_progress import unnamed
from bwvd.recorder.loop import NEIGHBOUR_NS
from bwvd.recorder.recent_gaps import UNKNOWN_CAUSE, RecentGaps
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from tests.support.rig import Rig, configuration

SPANS = st.tuples(st.integers(0, 20 * NS), st.integers(0, 3 * NS)).map(lambda pair: (pair[0], sum(pair)))


@given(SPANS, st.lists(SPANS, max_size=6))
def test_named_and_unnamed_make_the_hole(hole: tuple[int, int], named: list[tuple[int, int]]) -> None:
    """Invariant 4: every moment of a hole is in a gap of one or the other, but for slivers."""
    begin_ns, end_ns = hole
    left = unnamed(begin_ns, end_ns, named)
    at_ns = begin_ns
    for from_ns, to_ns in sorted([*left, *named]):
        if from_ns > end_ns:
            break
        assert from_ns - at_ns <= NEIGHBOUR_NS
        at_ns = max(at_ns, to_ns)
    assert end_ns - at_ns <= NEIGHBOUR_NS
    for from_ns, to_ns in left:
        assert begin_ns <= from_ns < to_ns <= end_ns
        assert not any(max(from_ns, a) < min(to_ns, b) for a, b in named)


async def test_a_later_loss_does_not_hide_an_earlier_absence(autojump_clock: trio.abc.Clock) -> None:
    """Invariant 4: the camera was away, and then lost a frame; a press finds both in the loop, and names both."""
    clock = VirtualClock()
    camera = VirtualCamera(clock, rate=10, gop_frames=10)
    rig = Rig(config=configuration(loop={"seconds": 10}, recording={"post_roll_s": 0.5}), clock=clock, camera=camera)
    async with rig.running():
        await trio.sleep(4)
        camera.unplug()
        await trio.sleep(2)
        camera.plug()
        await trio.sleep(3)
        camera.drop(1)
        await trio.sleep(2)
        recording = (await rig.press()).recording
        await trio.sleep(2)
        await rig.stop()
        await rig.closed()
    assert recording is not None
    gaps = [record for record in rig.manifest(recording) if isinstance(record, records.Gap)]
    away, dropped = sorted(gaps, key=lambda gap: gap.from_ns)
    assert away.to_ns - away.from_ns >= 2 * NS
    assert "No such device" in away.cause
    assert dropped.frames == 1


def _down(at_s: float, reason: str) -> SourceDown:
    return SourceDown("camera", round(at_s * NS), reason)


def test_a_hole_is_blamed_on_the_absence_that_made_it() -> None:
    """Not on one that was over before it, nor on one that came after it."""
    recent = RecentGaps(30 * NS)
    recent.up("camera", 0)
    recent.down(_down(10, "unplugged"))
    recent.down(_down(11, "no such file"))
    assert recent.why_missing(9 * NS, 12 * NS) == "unplugged"
    recent.up("camera", 13 * NS)
    recent.down(_down(20, "wedged"))
    assert recent.why_missing(9 * NS, 13 * NS) == "unplugged"
    assert recent.why_missing(5 * NS, 6 * NS) == UNKNOWN_CAUSE
    assert recent.why_missing(15 * NS, 17 * NS) == UNKNOWN_CAUSE
    assert recent.why_missing(19 * NS, 25 * NS) == "wedged"


def test_what_is_long_over_is_forgotten() -> None:
    recent = RecentGaps(30 * NS)
    for second in range(0, 100_000, 10):
        recent.down(_down(second, "unplugged"))
        recent.up("camera", (second + 1) * NS)
    assert len(recent._absences) < 15
