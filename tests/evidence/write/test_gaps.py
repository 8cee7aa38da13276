"""Gaps and notes on their way to the flash: in their place, in different segments, and without commits of their own."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from bwvd.clock import NS
from bwvd.evidence.format import records
from bwvd.evidence.write.group import Group
from bwvd.media.samples import Gop
from bwvd.messages import GapSeen, Marked, Note, Order
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.gops import VIDEO, gop
from tests.support.rig import Rig, configuration

RATE = 10
LOOP_S = 5


def _rig(volume: VirtualVolume) -> Rig:
    clock = VirtualClock()
    config = configuration(loop={"seconds": LOOP_S}, recording={"post_roll_s": 0})
    return Rig(config, clock, volume, camera=VirtualCamera(clock, rate=RATE, gop_frames=RATE))


def _syncs(volume: VirtualVolume) -> int:
    return sum(one.kind == "sync" and one.path.endswith("manifest.jsonl") for one in volume.gate.log)


def _media(manifest: list[records.Record]) -> list[records.Segment | records.Gap]:
    return [record for record in manifest if isinstance(record, records.Segment | records.Gap)]


def _misplaced(media: list[records.Segment | records.Gap]) -> list[tuple[records.Gap, records.Segment]]:
    """Gaps that stand before a segment that ends before them, or behind one that begins after them."""
    places = [(at, gap) for at, gap in enumerate(media) if isinstance(gap, records.Gap)]
    return [
        (gap, segment)
        for at, gap in places
        for index, segment in enumerate(media)
        if isinstance(segment, records.Segment)
        if (index > at and segment.pts_ns + segment.duration_ns <= gap.from_ns)
        or (index < at and segment.pts_ns >= gap.to_ns)
    ]


async def test_a_camera_that_drops_frames_and_a_slow_flash(autojump_clock: trio.testing.MockClock) -> None:
    """Invariants 4 and 6: four gaps a second cost no more than none; what is acknowledged keeps up with the camera."""
    volume = VirtualVolume()
    rig = _rig(volume)
    assert rig.camera is not None
    for kind in ("sync", "sync_dir"):
        volume.gate.latency.per_operation[kind] = 0.3
    async with rig.running() as daemon:
        await trio.sleep(20)
        await rig.press()
        before = _syncs(volume)
        for _ in range(240):
            rig.camera.drop(1)
            await trio.sleep(0.25)
        assert daemon.writer.statistics.committed_s >= LOOP_S + 60 - 4
        assert _syncs(volume) - before <= LOOP_S + 60 + 2
        await rig.stop()
        asked_s = trio.current_time()
        await rig.closed()
        assert trio.current_time() - asked_s < 6
    (recording,) = rig.recordings()
    media = _media(rig.manifest(recording))
    assert _misplaced(media) == []
    named = sum(gap.frames for gap in media if isinstance(gap, records.Gap))
    numbers = [number for number, _ in rig.frames(recording)]
    assert named >= numbers[-1] - numbers[0] + 1 - len(numbers) >= 200


@pytest.mark.parametrize("stall_s", [0, 12])
async def test_what_lies_on_either_side_of_a_hole(stall_s: float, autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 4: it is in different segments, also where a stall lets many groups of pictures wait."""
    volume = VirtualVolume()
    rig = _rig(volume)
    assert rig.camera is not None
    async with rig.running():
        await trio.sleep(20)
        await rig.press()
        await trio.sleep(2)
        if stall_s:
            volume.stall(stall_s, kind="sync", path="manifest.jsonl")
        for _ in range(3):
            await trio.sleep(2.5)
            rig.camera.unplug()
            await trio.sleep(0.7)
            rig.camera.plug()
        await trio.sleep(10)
        await rig.stop()
        await rig.closed()
    (recording,) = rig.recordings()
    media = _media(rig.manifest(recording))
    gaps = [gap for gap in media if isinstance(gap, records.Gap)]
    assert len(gaps) == 3
    assert _misplaced(media) == []
    for segment in media:
        if isinstance(segment, records.Segment):
            end_ns = segment.pts_ns + segment.duration_ns
            assert not [gap for gap in gaps if segment.pts_ns < gap.from_ns and gap.to_ns < end_ns]


async def test_markers_while_no_picture_comes(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 6: they wait for a little more than a segment, and share a commit."""
    volume = VirtualVolume()
    rig = _rig(volume)
    assert rig.camera is not None
    async with rig.running():
        await trio.sleep(20)
        await rig.press()
        await trio.sleep(3)
        rig.camera.unplug()
        await trio.sleep(3)
        (recording,) = rig.recordings()
        before = _syncs(volume)
        for _ in range(10):
            assert (await rig.order(Order.MARK, text="dark")).ok
            await trio.sleep(0.1)
        await trio.sleep(1.3)
        assert sum(isinstance(record, records.Mark) for record in rig.manifest(recording)) == 10
        assert _syncs(volume) - before <= 2


@given(st.lists(st.sampled_from(["gop", "mark", "between", "inside"]), max_size=30))
def test_any_order_of_notes_and_pictures(events: list[str]) -> None:
    """Invariant 4: nothing is lost or overtaken; a gap between two GOPs ends a group, one inside a GOP does not."""
    written: list[tuple[Gop, ...] | Note] = []  # in segments
    handed: list[Note] = []
    group, at_ns, hole = Group(), NS, False

    def commit(waiting: Group) -> Group:
        written.extend([*waiting.notes, tuple(waiting.gops)])
        return waiting.rest(at_ns)

    for event in events:
        if event == "gop":
            one = gop(at_ns)
            if group.gops and not group.takes(one, VIDEO, None):
                assert hole
                group = commit(group)
            assert not (hole and group.gops)
            group.add(one, at_ns)
            at_ns, hole = one.end_ns, False
            continue
        note: Note = Marked(at_ns, "test", "door")
        if event == "between":
            note, hole, at_ns = GapSeen("video", at_ns, at_ns + NS, "test", 1), hole or bool(group.gops), at_ns + NS
        elif event == "inside":
            note = GapSeen("video", at_ns + 1, at_ns + 2, "test", 1)
        group.note(note, at_ns)
        handed.append(note)
    commit(commit(group))
    assert [one for one in written if not isinstance(one, tuple)] == handed
    starts = [one.start_ns for segment in written if isinstance(segment, tuple) for one in segment]
    assert starts == sorted(starts)
    assert len(starts) == events.count("gop")
    for index, gap in enumerate(written):
        if isinstance(gap, GapSeen):
            later = [segment for segment in written[index:] if isinstance(segment, tuple) and segment]
            assert not [segment for segment in later if segment[-1].end_ns <= gap.from_ns]
