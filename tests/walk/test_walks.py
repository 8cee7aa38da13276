"""Random walks through shifts with several faults at once: whatever chance does to the daemon, its promises hold.

`pytest tests/walk/test_walks.py --seed N` walks the same walks each time. A walk that fails is shrunk to the fewest
steps that still fail, and shown as a list of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bwvd.clock import NS
from bwvd.media.samples import Gop
from bwvd.messages import Order
from bwvd.recorder.completion import Completion
from bwvd.recorder.in_progress import RecordingInProgress
from bwvd.testing.flash.medium import Tree
from bwvd.testing.process import Checkpoints, without_dice
from tests.faults.economy import economy
from tests.walk import checks
from tests.walk.steps import STEPS, Ask, Camera, Crash, Fails, PowerOff, Step, Wait
from tests.walk.world import World


async def _walk(steps: list[Step], strikes: Checkpoints, folder: Path, keep: Callable[[Tree], object]) -> list[str]:
    async with trio.open_nursery() as nursery:
        world = World(nursery, strikes)
        with world.adapters():
            await world.start()
            for step in steps:
                await world.ensure_alive()
                await step.take(world)
                world.wrong += checks.now(world)
            strikes.heal()
            world.put_right()
            await world.ensure_alive()
            await trio.sleep(20)
            await world.ensure_alive()
            await world.shut_down()
            await world.restart()
            await trio.sleep(3)
            world.wrong += await _records(world)
            await world.shut_down()
        keep(world.volume.tree())
        world.wrong += checks.at_the_end(world, folder)
        world.wrong += checks.lost_presses(world)
    return world.wrong


async def _records(world: World) -> list[str]:
    """The device does what it is for."""
    for order, confirmed, seconds in ((Order.PRESS, False, 4), (Order.STOP, True, 6)):
        answer = await world.order(order, confirmed=confirmed)
        if answer is None or not answer.ok:
            return [f"5: when all was well again, {order} was answered {answer}"]
        await trio.sleep(seconds)
    return []


def _run(steps: list[Step], keep: Callable[[Tree], object] = lambda _: None) -> list[str]:
    """All that is wrong after a walk. keep: is given what lies on the flash in the end."""
    strikes = Checkpoints(only=["bwvd."])
    without_dice()
    with tempfile.TemporaryDirectory(prefix="bwvd-walk-") as folder:
        return trio.run(
            _walk,
            steps,
            strikes,
            Path(folder) / "storage",
            keep,
            clock=trio.testing.MockClock(autojump_threshold=0),
            instruments=[strikes],
        )


def _story(steps: list[Step]) -> str:
    return "".join(f"\n    {step}" for step in steps)


def _wander(seed: str, walks: int, most: int) -> None:
    @settings(
        max_examples=walks,
        deadline=None,
        database=None,
        print_blob=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),  # a walk is long, and shrinking it takes what it takes
    )
    @given(st.lists(STEPS, min_size=1, max_size=most))
    def walk(steps: list[Step]) -> None:
        wrong = _run(steps)
        assert not wrong, f"after{_story(steps)}\nthis is wrong:\n    " + "\n    ".join(wrong[:5])

    with economy():
        (hypothesis.seed(seed)(walk) if seed else walk)()


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> str:
    """`--seed`: what chance begins with; "" = Hypothesis's own, another each time unless --hypothesis-seed says so."""
    return str(request.config.getoption("--seed", default=""))


def test_walks(chance: str) -> None:
    """Invariants 2, 3, 4, 5, 6, 7, 8, 9 and 12, whatever comes together."""
    _wander(chance, 60, 25)


@pytest.mark.complete
def test_thousands_of_walks(chance: str) -> None:
    """Invariants 2, 3, 4, 5, 6, 7, 8, 9 and 12, whatever comes together."""
    _wander(chance, 4000, 50)


def _doubling(self: RecordingInProgress, gop: Gop, **more: Any) -> Any:
    """A product that is wrong on purpose: from eight seconds on each group of pictures is written twice."""
    result = _hand_on(self, gop, **more)
    if gop.start_ns - self.press.at_ns > 8 * NS:
        _hand_on(self, gop, **more)
    return result


_hand_on = RecordingInProgress.hand_on


def test_a_walk_that_fails_is_shrunk_to_what_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorder that doubles what it writes after eight seconds is found: a press, and time."""
    monkeypatch.setattr(RecordingInProgress, "hand_on", _doubling)
    with pytest.raises(AssertionError, match="this is wrong") as failed:
        _wander("1", 20, 12)
    story, _, wrong = str(failed.value).partition("this is wrong:")
    assert "doubled" in wrong
    steps = [line.strip() for line in story.splitlines()[1:]]
    assert len(steps) <= 3, steps
    assert sum(step.startswith(("Ask(order='press')", "Button(how=")) for step in steps) <= 1, steps


def test_a_walk_is_the_same_each_time() -> None:
    """What a walk does depends on its steps alone, so that what is reported can be had again."""
    steps: list[Step] = [
        Wait(3),
        Ask("press"),
        Camera("stalls 1 s"),
        Crash(150),
        Wait(7),
        Ask("press"),
        Fails("EIO", "any", 5, 2),
        Wait(3),
        PowerOff(3),
        Wait(1),
    ]
    trees: list[Tree] = []
    with economy():
        for _ in range(2):
            assert _run(steps, trees.append) == []
    assert trees[0] == trees[1]


def test_an_end_that_nobody_tells_of_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorder that says nothing of a camera that is away at the stop is noticed."""
    steps: list[Step] = [Wait(12), Ask("press"), Wait(3), Camera("unplugged"), Wait(4), Ask("stop!"), Wait(5)]
    with economy():
        assert _run(steps) == []
        monkeypatch.setattr(Completion, "lacks_until_ns", lambda *_: None)
        assert any("no gap record names it" in wrong for wrong in _run(steps))
