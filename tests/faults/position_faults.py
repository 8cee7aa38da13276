"""The satellite receiver has no position, another one, another time, no word, no sense, or is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bwvd.testing.receiver import VirtualReceiver
from tests.faults.kind import Kind, Struck, at_moment, later, moments
from tests.faults.shift import World

FAR_M: Final = 100_000.0  # nobody goes there in a second
WRONG_S: Final = 3600.0
OVER_S: Final = 45.0  # it is silent for 25 s and opened again, or doubted for 30 s


def _do(act: Callable[[VirtualReceiver], object]) -> Struck:
    def do(world: World) -> None:
        act(world.receiver)

    return do


def _for(
    name: str, what: str, seconds: float, begin: Callable[[VirtualReceiver], object], end: Callable[..., object]
) -> Kind:
    return Kind(name, what, moments, later(seconds, _do(begin), _do(end)), has_position=True, lasts_s=OVER_S)


KINDS: Final = [
    _for("fix-lost-5s", "no position for 5 s", 5, lambda r: r.lose_fix(), lambda r: r.lose_fix(False)),
    _for("fix-lost-20s", "no position for 20 s", 20, lambda r: r.lose_fix(), lambda r: r.lose_fix(False)),
    _for("fix-jump", "it is 100 km away for 5 s", 5, lambda r: r.jump(FAR_M), lambda r: r.jump(-FAR_M)),
    _for("fix-time", "its time is an hour ahead for 5 s", 5, lambda r: r.deceive(WRONG_S), lambda r: r.deceive(0)),
    _for("receiver-silent-12s", "no word of it for 12 s", 12, lambda r: r.hush(), lambda r: r.hush(False)),
    _for("receiver-silent-25s", "no word of it for 25 s", 25, lambda r: r.hush(), lambda r: r.hush(False)),
    _for("receiver-unplug-2s", "it is gone for 2 s", 2, lambda r: r.hang_up(), lambda r: r.plug()),
    _for("receiver-foreign-20s", "words of another kind", 20, lambda r: r.be_foreign(), lambda r: r.be_foreign(False)),
    _for("receiver-slow-20s", "its words come 2 s late", 20, lambda r: r.delay(2), lambda r: r.delay(0)),
    Kind(
        "receiver-gone",
        "it is torn off",
        moments,
        at_moment(_do(lambda r: r.hang_up())),
        has_position=True,
        heals=False,
    ),
    Kind(
        "receiver-noise",
        "bytes that are none of its words",
        moments,
        at_moment(_do(lambda r: r.noise(500))),
        has_position=True,
    ),
    Kind("receiver-torn", "half of what it says", moments, at_moment(_do(lambda r: r.tear())), has_position=True),
    Kind("receiver-dribble", "a byte at a time", moments, at_moment(_do(lambda r: r.dribble(1))), has_position=True),
]
