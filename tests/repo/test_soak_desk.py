"""The soak's desk: what a recording lacks at its end may not slip through."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from bwvd.clock import NS
from bwvd.evidence.format.records import ManifestRecord
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from tests.soak.desk import Desk
from tests.support.recorded import Gap, Recorded
from tests.support.rig import Rig, configuration

RATE = 10
LOOP_S = 5.0
POST_ROLL_S = 2.0


@pytest.fixture
async def recorded() -> Recorded:
    """A recording that was stopped, whole. Tests name `autojump_clock` themselves: a fixture's would not count."""
    clock = VirtualClock()
    camera = VirtualCamera(clock, rate=RATE, gop_frames=RATE)
    spans: dict[str, object] = {"post_roll_s": POST_ROLL_S}
    rig = Rig(config=configuration(loop={"seconds": LOOP_S}, recording=spans), clock=clock, camera=camera)
    async with rig.running():
        await trio.sleep(10)
        await rig.press()
        await trio.sleep(5)
        await rig.stop()
        await rig.closed()
    (name,) = rig.recordings()
    found = [record for record in rig.manifest(name) if isinstance(record, ManifestRecord)]
    return Recorded.of(name, found, lambda file: rig.volume.read(f"recordings/{name}/{file}"))


def _desk(*, away: bool = False) -> Desk:
    return Desk(Path("/nowhere"), RATE, 1 << 30, LOOP_S, POST_ROLL_S, excused=lambda _from_ns, _to_ns: away)


def _cut(recorded: Recorded, frames: int, *, named: bool) -> Recorded:
    """The same without its last frames, some of which come after the post-roll's end; with a gap record or none."""
    kept = recorded.frames[:-frames]
    gap = Gap("video", kept[-1].at_ns + NS // RATE, recorded.frames[-1].at_ns + NS // RATE, "camera", frames)
    return replace(recorded, frames=kept, gaps=[gap] if named else [])


async def test_what_is_whole_lacks_nothing(autojump_clock: MockClock, recorded: Recorded) -> None:
    desk = _desk()
    desk.count(recorded)
    assert (desk.lost, desk.absent, desk.problems) == (0, 0, [])
    assert desk.frames == len(recorded.frames) >= (LOOP_S + 5 + POST_ROLL_S) * RATE


@pytest.mark.parametrize("frames", [12, 25])
async def test_an_end_that_is_missing_is_lost(autojump_clock: MockClock, frames: int, recorded: Recorded) -> None:
    """At most a second of what is there lies behind the post-roll: it may go, nothing more."""
    desk = _desk()
    desk.count(_cut(recorded, frames, named=False))
    assert frames - RATE <= desk.lost <= frames
    assert "not named" in desk.problems[0]


async def test_a_camera_that_was_away_at_the_end_has_to_be_named(autojump_clock: MockClock, recorded: Recorded) -> None:
    named, unnamed = _desk(away=True), _desk(away=True)
    named.count(_cut(recorded, 25, named=True))
    assert (named.lost, named.problems) == (0, [])
    assert named.absent
    unnamed.count(_cut(recorded, 25, named=False))
    assert unnamed.lost
