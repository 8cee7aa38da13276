"""The recorder's timer: woken for what time alone brings, and for nothing that a GOP has brought already."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest
import trio

from bwvd.capture.source import AUDIO_BATCH_NS, AudioGate
from bwvd.clock import NS, Clock
from bwvd.evidence.format import records
from bwvd.media.samples import Batch
from bwvd.messages import MediaEvent, Order
from bwvd.recorder.gop_builder import AUDIO_WAIT_NS
from bwvd.recorder.in_progress import AWAY_PIECE_NS
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from bwvd.testing.microphone import VirtualMicrophone
from tests.support.rig import Rig, configuration

TIMER = "Recorder._watch_time"


class Steps(trio.abc.Instrument):
    """How often each task has run."""

    def __init__(self) -> None:
        self.of: Counter[str] = Counter()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.of[task.name.rpartition("bwvd.recorder.recorder.")[2]] += 1


async def test_a_gop_that_takes_the_place_of_another_wakes_no_timer(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 2: the loop lets go of a GOP at its very second; the one that comes is no second reason to look."""
    rig = Rig(config=configuration(loop={"seconds": 5}))
    async with rig.running() as daemon:
        await trio.sleep(10)
        steps, gops, before = Steps(), 60, daemon.recorder.frames
        trio.lowlevel.add_instrument(steps)
        await trio.sleep(gops)
        trio.lowlevel.remove_instrument(steps)
        rate = (daemon.recorder.frames - before) / gops
    assert rate > 1, "the camera has delivered"
    assert gops - 2 <= steps.of[TIMER] <= gops + 2, steps.of


class Kept(VirtualMicrophone):
    """A microphone whose batches are remembered, to see when they are overwritten."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, AudioGate())
        self.sent: list[Batch] = []

    async def run(self, send: Callable[[MediaEvent], None]) -> None:
        def remember(event: MediaEvent) -> None:
            if isinstance(event, Batch):
                self.sent.append(event)
            send(event)

        await super().run(remember)


class World(Rig):
    """A camera with a GOP a second, and a microphone that is heard in standby."""

    def __init__(self) -> None:
        self.view = VirtualCamera(clock := VirtualClock(), rate=10, gop_frames=10)
        config = configuration(
            loop={"seconds": 5},
            audio={"source": "alsa:default", "pre_event": True},
            recording={"post_roll_s": 0, "reminder_s": 0},
        )
        super().__init__(config=config, clock=clock, camera=self.view, has_microphone=True)
        self.ear = Kept(clock)

    def _microphone(self, gate: AudioGate) -> VirtualMicrophone:
        self.ear.gate = gate
        return self.ear


async def test_a_gop_does_not_wait_for_a_microphone_that_is_gone(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 5: what a press finds in the loop is what there is, from the moment on that no more is to come."""
    rig = World()
    async with rig.running() as daemon:
        await trio.sleep(3.5)
        rig.ear.stall(2)
        held, frames = len(daemon.recorder.loop), daemon.recorder.frames
        await rig.wait_for(lambda: daemon.recorder.frames > frames, 0.01)
        assert len(daemon.recorder.loop) == held, "the GOP waits for its sound"
        rig.ear.unplug()
        await trio.sleep(0.01)
        assert len(daemon.recorder.loop) == held + 1


async def test_sound_without_a_camera_goes_to_the_loop_when_the_camera_goes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Invariant 2: what waited for the next GOP of a silent camera is the loop's to drop, and not the microphone's to
    push on: that may be gone too.
    """
    rig = World()
    async with rig.running() as daemon:
        await trio.sleep(4.05)
        rig.view.stall(60)
        await trio.sleep(2)
        rig.view.unplug()
        rig.ear.unplug()
        await trio.sleep(0.01)
        loop = daemon.recorder.loop.held()
        assert loop[-1].video is None
        assert rig.ear.sent[-1].end_ns - loop[-1].end_ns < NS // 20, "all of it"
        await trio.sleep(8)
        assert len(rig.ear.sent) > 10
        assert not any(any(batch.data) for batch in rig.ear.sent)
        assert len(daemon.recorder.loop) == 0


@pytest.mark.parametrize("phase_s", [0.0, 0.3, 0.6, 0.9])
async def test_a_recording_without_a_camera_ends_with_its_last_sound(
    phase_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariant 5: the batch that holds its last moment is that which ends it, and no later look."""
    rig = World()
    async with rig.running() as daemon:
        await trio.sleep(4)
        await rig.press()
        await trio.sleep(2)
        rig.view.unplug()
        await trio.sleep(8 + phase_s)
        await rig.stop()
        asked_ns = rig.clock.monotonic_ns()
        await rig.wait_for(lambda: daemon.recorder.current is None, 0.01)
        assert rig.clock.monotonic_ns() - asked_ns < AUDIO_BATCH_NS + NS // 10
    assert AUDIO_BATCH_NS + NS // 10 < AUDIO_WAIT_NS


async def test_a_camera_that_stays_away_is_named_piece_by_piece(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 4: while it is away too, where nothing else wakes anybody: a power cut leaves what was named."""
    rig = World()
    rig.has_microphone = False
    async with rig.running():
        await trio.sleep(4)
        recording = (await rig.press()).recording
        assert recording is not None
        await trio.sleep(2)
        rig.view.unplug()
        await trio.sleep((2 * AWAY_PIECE_NS + NS) / NS)
        gaps = [record for record in rig.signed(recording) if isinstance(record, records.Gap)]
    assert len(gaps) == 2
    assert gaps[0].to_ns == gaps[1].from_ns
    assert gaps[1].to_ns - gaps[0].from_ns > 2 * AWAY_PIECE_NS - 5 * NS


async def test_a_recorder_whose_timer_is_stuck_is_found(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 12: it says by when it looks again while anything is due, and that it waits where nothing is."""
    rig = World()
    async with rig.running() as daemon:
        await trio.sleep(4)
        later_ns = time.monotonic_ns() + 3_600 * NS
        assert daemon.recorder.pulse.overdue_ns(later_ns) > 3_500 * NS
        await rig.order(Order.SLEEP)
        await trio.sleep(4)
        assert daemon.recorder.pulse.overdue_ns(later_ns) == 0
