"""A sleep and a press in one moment: nothing from before the sleep comes back."""

from __future__ import annotations

import pytest
import trio

from bwvd.clock import NS
from bwvd.evidence.format import records
from bwvd.messages import Command, Device, FaultChanged, MediaEvent, MediaGap, Order, SourceDown, SourceUp
from bwvd.recorder.sleep_barrier import SleepBarrier
from bwvd.testing.process import without_dice
from tests.support.gops import video_batch
from tests.support.rig import Rig, configuration


@pytest.mark.parametrize("wakes", [Order.RECORD, Order.PRESS, Order.WAKE])
@pytest.mark.parametrize("sound", [False, True])
@pytest.mark.parametrize("seed", range(3))
async def test_what_was_on_its_way_when_the_loop_was_wiped_goes_no_further(
    wakes: Order, sound: bool, seed: int, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariant 2, whichever task of the camera runs first."""
    without_dice(seed)
    rig = Rig(
        config=configuration(loop={"seconds": 5}, recording={"post_roll_s": 0}, audio={"pre_event": sound}),
        has_microphone=sound,
    )
    async with rig.running() as daemon:
        await trio.sleep(7.7)
        slept_ns = rig.clock.monotonic_ns()
        for order in (Order.SLEEP, wakes):
            daemon.post(Command(order, "serial:/dev/ttyS1", slept_ns))
        if wakes is Order.WAKE:
            await trio.sleep(2)
            await rig.press()
        await trio.sleep(5)
        await rig.stop()
        await rig.closed()
        opening, *others = rig.manifest(rig.recordings()[0])
        assert isinstance(opening, records.Open)
        assert opening.pre_event.reason == "asleep"
        first = next(record for record in others if isinstance(record, records.Segment))
        assert first.stamp.mono_ns >= slept_ns
        assert rig.frames(rig.recordings()[0])


def test_each_device_is_held_back_until_it_says_that_it_is_down() -> None:
    """Also what claims to be of later: a played file is read ahead, and a clock may be off."""
    barrier = SleepBarrier()
    early, late = video_batch(5 * NS), video_batch(6 * NS)
    assert barrier.passes(video_batch(5 * NS), asleep=False)
    barrier.sleep(6 * NS, camera=True, microphone=True)
    assert not barrier.passes(early, asleep=True)
    assert early.data == bytes(len(early.data)), "it is wiped"
    assert not barrier.passes(late, asleep=False)
    assert barrier.passes(SourceDown("microphone", 6 * NS, "asleep", asked=True), asleep=False)
    assert not barrier.passes(late, asleep=False)
    assert barrier.passes(SourceDown("camera", 6 * NS, "asleep", asked=True), asleep=False)
    assert barrier.passes(late, asleep=False)
    assert not barrier.passes(early, asleep=False)
    assert not barrier.passes(late, asleep=True)


def test_one_that_was_away_is_told_by_the_time_alone() -> None:
    barrier = SleepBarrier()
    barrier.sleep(6 * NS, camera=False, microphone=False)
    assert not barrier.passes(video_batch(6 * NS - 1), asleep=False)
    assert barrier.passes(video_batch(6 * NS), asleep=False)


@pytest.mark.parametrize("device", ["camera", "microphone"])
def test_what_is_no_media_passes_but_for_gaps_in_what_was_wiped(device: Device) -> None:
    barrier = SleepBarrier()
    barrier.sleep(6 * NS, camera=True, microphone=True)
    passing: list[MediaEvent] = [
        SourceUp(device, video_batch(0).track),
        FaultChanged("encoder", True, 0),
        MediaGap("video", 5 * NS, 7 * NS, "stalled", 1),
    ]
    assert all(barrier.passes(event, asleep=False) for event in passing)
    assert not barrier.passes(MediaGap("video", 5 * NS, 6 * NS, "stalled", 1), asleep=False)
