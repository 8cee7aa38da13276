"""Several processes looked at over the same seconds, again and again."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench import accounting
from tests.bench.figures import Spread

FILLED = 0.85  # of a loop: it is as full as it gets, up to the GOP in the making


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often is measured; `quick` is for trying the benchmark itself, not for figures."""

    quick: bool
    windows: int  # repetitions
    window_s: float
    settle_s: float  # what start-up leaves behind is over by then
    loop_s: float
    keyframe_s: float
    starts: int
    presses: int
    clip_s: int
    exports: int  # of each recording, by each side


FULL = Plan(
    quick=False, windows=4, window_s=3.0, settle_s=2.0, loop_s=10.0, keyframe_s=1.0, starts=5, presses=20, clip_s=10,
    exports=3,
)  # fmt: skip
QUICK = Plan(
    quick=True, windows=2, window_s=0.4, settle_s=0.1, loop_s=1.0, keyframe_s=0.2, starts=1, presses=2, clip_s=2,
    exports=1,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Watched:
    """What one process did in the windows."""

    core: Spread  # per cent of a core, user and system
    voluntary: Spread  # context switches per second, all threads
    involuntary: Spread
    stored: Spread | None  # bytes per second that went to storage; None where the kernel hides it
    by_thread: dict[str, float]  # wake-ups per second by the thread's name, over all windows


@dataclass(frozen=True, slots=True)
class _Look:
    at_s: float
    cpu_s: float
    switches: dict[int, accounting.Switches]
    stored: int | None


def _look(pid: int) -> _Look:
    return _Look(
        time.monotonic(), accounting.cpu_s(pid), accounting.switches(pid), accounting.stored_bytes(pid)
    )  # fmt: skip


def watch(pids: Sequence[int], windows: int, window_s: float) -> list[Watched]:
    """Look at all of them at the beginning and at the end of each window."""
    looks: list[list[_Look]] = [[_look(pid) for pid in pids]]
    for _ in range(windows):
        time.sleep(window_s)
        looks.append([_look(pid) for pid in pids])
    return [_summary([look[index] for look in looks]) for index in range(len(pids))]


def _summary(looks: list[_Look]) -> Watched:
    core, voluntary, involuntary, stored = [], [], [], []
    by_thread: dict[str, float] = {}
    for before, after in itertools.pairwise(looks):
        span_s = after.at_s - before.at_s
        core.append((after.cpu_s - before.cpu_s) / span_s * 100)
        gone = asked = 0
        for thread, now in after.switches.items():
            then = before.switches.get(thread)
            gone += now.voluntary - (then.voluntary if then else 0)
            asked += now.involuntary - (then.involuntary if then else 0)
        voluntary.append(gone / span_s)
        involuntary.append(asked / span_s)
        if after.stored is not None and before.stored is not None:
            stored.append((after.stored - before.stored) / span_s)
    whole_s = looks[-1].at_s - looks[0].at_s
    for thread, now in looks[-1].switches.items():
        then = looks[0].switches.get(thread)
        count = now.voluntary - (then.voluntary if then else 0)
        by_thread[now.thread] = by_thread.get(now.thread, 0.0) + count / whole_s
    return Watched(
        Spread.of(core),
        Spread.of(voluntary),
        Spread.of(involuntary),
        Spread.of(stored) if stored else None,
        by_thread,
    )
