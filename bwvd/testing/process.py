"""Faults of the process itself: a task that is cancelled, or raises, at any of its checkpoints.

    strikes = Checkpoints(only=("Recorder.", "Writer."))
    trio.run(main, instruments=[strikes])           # counts: strikes.log
    strikes.fail(17, OSError("from nowhere"))       # and in the next run the 17th of them raises

Counting is repeatable where the run is: virtual time, virtual devices, and trio's scheduler without its dice
(`without_dice`).
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, NamedTuple

import trio
import trio._core._run as scheduler  # its dice have no public name


class Checkpoint(NamedTuple):
    """A task went on after it had waited. `number` counts from 1 over all tasks that are watched."""

    number: int
    task: str  # the name trio gives it: the qualified name of its function


def without_dice(seed: int = 0) -> None:
    """Let trio run the tasks that are ready in an order that depends on `seed` alone, in the next `trio.run`."""
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # as pytest-trio does it for Hypothesis
    scheduler._r.seed(seed)


class Checkpoints(trio.abc.Instrument):
    """Counts the checkpoints of a run's tasks, and strikes at some.

    A checkpoint is where a task has waited and could have been cancelled. To `fail` there is to raise where the await
    would have returned: what it waited for has happened, and is lost, as with any error in the statement after it.
    A nursery that waits for its children is no checkpoint here, because trio's own frame must not be broken; and a task
    that has just been given a lock is struck at its next checkpoint, because nobody could give that lock back.

    Args:
        only: count tasks whose names contain one of these; () = all.

    **Synchronization:** one `trio.run` at a time.
    """

    def __init__(self, only: Sequence[str] = ()) -> None:
        self.log: list[Checkpoint] = []
        self.raised = 0  # errors so far; each took with it what its task had waited for
        self._only = tuple(only)
        self._strikes: dict[int, BaseException | Callable[[], None]] = {}

    @property
    def count(self) -> int:
        """Checkpoints so far."""
        return len(self.log)

    def fail(self, nth: int, error: BaseException) -> None:
        """Raise `error` at the nth next checkpoint (from 1)."""
        self._strikes[self.count + nth] = error

    def call(self, nth: int, function: Callable[[], None]) -> None:
        """Call `function` at the nth next checkpoint: a `cancel_scope.cancel`, a virtual device's fault, …

        A cancellation strikes the task where it waits next.
        """
        self._strikes[self.count + nth] = function

    def heal(self) -> None:
        """Strike no more; go on counting."""
        self._strikes.clear()

    # --- Instrument ---

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        if not self._only or any(part in task.name for part in self._only):
            task.coro = self._watched(task.name, task.coro)  # type: ignore[assignment]  # trio only ever sends and throws

    # --- what stands between trio and the task ---

    async def _watched(self, name: str, coro: Coroutine[Any, Any, Any]) -> Any:
        return await self._driven(name, coro)

    @types.coroutine
    def _driven(self, name: str, coro: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        answer: Any = None
        error: BaseException | None = None
        while True:
            try:
                trap = coro.send(answer) if error is None else coro.throw(error)
            except StopIteration as end:
                return end.value
            try:
                answer, error = (yield trap), None
            except BaseException as thrown:  # noqa: BLE001  handed on to where it belongs: into the task
                error = thrown
                continue
            if _is_checkpoint(trap):
                error = self._strike(name, coro)

    def _strike(self, name: str, coro: Coroutine[Any, Any, Any]) -> BaseException | None:
        self.log.append(Checkpoint(self.count + 1, name))
        strike = self._strikes.pop(self.count, None)
        if isinstance(strike, BaseException) and _has_acquired(coro):
            self.fail(1, strike)
            return None
        if isinstance(strike, BaseException):
            self.raised += 1
            return strike
        if strike is not None:
            strike()
        return None


def _is_checkpoint(trap: object) -> bool:
    """Whether the task waited for something, other than for the children of its nursery."""
    abort = getattr(trap, "abort_func", None)
    return abort is not None and not abort.__qualname__.startswith("Nursery.")


def _has_acquired(coro: object) -> bool:
    """Whether the task waits inside the `acquire` of one of trio's locks and limiters."""
    at: Any = coro
    while (code := getattr(at, "cr_code", None)) is not None:
        if code.co_name.startswith("acquire") and at.cr_frame.f_globals["__name__"].startswith("trio."):
            return True
        at = at.cr_await
    return False
