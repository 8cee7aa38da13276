"""The recorder's timer: woken for what time alone brings, and for nothing that a GOP has brought already."""

from __future__ import annotations

from collections import Counter

import trio

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
