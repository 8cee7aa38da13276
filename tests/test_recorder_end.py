"""The end of a recording: the last group of pictures may come late, with a camera that sends few key frames or falls
silent, and what it holds is in the recording all the same."""

from __future__ import annotations

import pytest
import trio

from bwvd.evidence import records
from bwvd.messages import NS
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from tests.rig import Rig, configuration

RATE = 4
POST_ROLL_S = 2.0


def _rig(gop_s: int) -> Rig:
    clock = VirtualClock()
    return Rig(
        config=configuration(loop={"seconds": 30}, recording={"post_roll_s": POST_ROLL_S}),
        clock=clock,
        camera=VirtualCamera(clock, rate=RATE, gop_frames=RATE * gop_s),
    )


def _close(rig: Rig, recording: str) -> records.Close:
    close = rig.manifest(recording)[-1]
    assert isinstance(close, records.Close)
    assert close.reason == "stop"
    return close


@pytest.mark.parametrize("gop_s", [1, 5, 20, 30])
async def test_key_frames_that_are_far_apart(gop_s: int, autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 4: up to the end of the post-roll every frame is there, however long the last group takes to come."""
    rig = _rig(gop_s)
    async with rig.running():
        await trio.sleep(60)
        await rig.press()
        await trio.sleep(20)
        await rig.stop()
        asked_ns = rig.clock.monotonic_ns()
        await rig.closed()
        (recording,) = rig.recordings()
        opening = rig.manifest(recording)[0]
        assert isinstance(opening, records.Open)
        until_s = (asked_ns - opening.origin_mono_ns) / NS + POST_ROLL_S
        frames = rig.frames(recording)
        assert frames[-1][1] + 1 / RATE >= until_s
        numbers = [number for number, _ in frames]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert _close(rig, recording).gaps == 0


async def test_key_frames_that_never_come(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 4: a recording does not wait for ever, and says what it lacks."""
    rig = _rig(gop_s=80)
    async with rig.running():
        await trio.sleep(81)
        await rig.press()
        await trio.sleep(3)
        await rig.stop()
        ends_ns = rig.clock.monotonic_ns() + round(POST_ROLL_S * NS)
        await rig.closed()
        (recording,) = rig.recordings()
        opening = rig.manifest(recording)[0]
        assert isinstance(opening, records.Open)
        (gap,) = [record for record in rig.manifest(recording) if isinstance(record, records.Gap)]
        assert gap.to_ns == ends_ns - opening.origin_mono_ns
        assert gap.frames == round((gap.to_ns - gap.from_ns) / NS * RATE)
        assert _close(rig, recording).gaps == 1


@pytest.mark.parametrize("before_s", [1.99, 1.01, 0.76, 0.51, 0.26, 0.24, 0.01, -0.01, -0.26])
async def test_a_camera_that_falls_silent_at_the_end(before_s: float, autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 4: what it had delivered is kept, though its last group was never whole."""
    rig = _rig(gop_s=1)
    camera = rig.camera
    assert camera is not None
    async with rig.running():
        await trio.sleep(40)
        await rig.press()
        await trio.sleep(5)
        await rig.stop()
        await trio.sleep(POST_ROLL_S - max(before_s, 0.001))
        taken = camera.number
        await trio.sleep(max(-before_s, 0))
        camera.stall(60)
        await rig.closed()
        (recording,) = rig.recordings()
        frames = rig.frames(recording)
        assert frames[-1][0] >= taken - 1
        _close(rig, recording)
