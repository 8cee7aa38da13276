"""The seam between the loop and the live stream, over many presses: nothing is missing, doubled or out of order."""

from __future__ import annotations

import itertools
import random

import pytest
import trio

from bwvd.clock import NS
from bwvd.evidence.format import records
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from tests.support.rig import Rig, configuration

PRESSES = 200
RATE = 15
LOOP_S = 3


@pytest.mark.parametrize(("jitter_ns", "b_frames"), [(0, 0), (5_000_000, 0), (0, 2)])
async def test_presses_at_random_instants(
    jitter_ns: int, b_frames: int, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariants 3 and 4: from its first frame to its last a recording has every frame that the camera took, each when
    it was taken.

    Its first is a key frame, between the loop's length and one GOP more before the press.
    """
    chance = random.Random(20261122 + jitter_ns)
    clock = VirtualClock()
    camera = VirtualCamera(clock, rate=RATE, gop_frames=RATE, b_frames=b_frames, jitter_ns=jitter_ns, seed=7)
    rig = Rig(
        config=configuration(loop={"seconds": LOOP_S}, recording={"post_roll_s": 0.5}), clock=clock, camera=camera
    )
    async with rig.running():
        await trio.sleep(LOOP_S + 2)
        for _ in range(PRESSES // 2):
            await trio.sleep(chance.uniform(0, 2 * LOOP_S))
            answer = await rig.press()
            assert answer.ok
            await trio.sleep(chance.uniform(0.0, 3))
            await rig.stop()
            await rig.closed()
    recordings = rig.recordings()
    assert [int(recording[-6:]) for recording in recordings] == list(range(1, PRESSES // 2 + 1))
    for recording in recordings:
        manifest = rig.manifest(recording)
        opening, close = manifest[0], manifest[-1]
        assert isinstance(opening, records.Open)
        assert isinstance(close, records.Close)
        assert close.reason == "stop"
        assert close.gaps == 0
        frames = rig.frames(recording)
        pre_s = (opening.press.stamp.mono_ns - opening.origin_mono_ns) / NS - frames[0][1]
        assert LOOP_S <= pre_s <= LOOP_S + 1 + 2 * jitter_ns / NS
        assert opening.pre_event.got_s == pytest.approx(pre_s, abs=1e-4)
        numbers = [number for number, _ in frames]
        assert numbers == list(range(numbers[0], numbers[0] + close.frames))
        for (_, earlier_s), (_, later_s) in itertools.pairwise(frames):
            assert later_s - earlier_s == pytest.approx(1 / RATE, abs=2 * jitter_ns / NS + 1e-4)
