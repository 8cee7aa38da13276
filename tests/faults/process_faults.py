"""The process is killed, cancelled, told to end, or has a bug, at any step of any actor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import outcome
import trio

from tests.faults.kind import Kind, Reference, at_moment, later, moments
from tests.faults.shift import World


class Bug(Exception):
    """An error that no actor expects."""


class Steps(trio.abc.Instrument):
    """Counts the steps of the product's tasks, and does something before the nth.

    A step counts if an error could come out of what its task waits for: tasks that have not begun and locks are not
    counted.
    """

    def __init__(self, nth: int = 0, do: Callable[[Any], None] | None = None) -> None:
        self.actors: list[str] = []
        self._nth = nth
        self._do = do

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if not task.name.startswith("bwvd.") or not isinstance(task._next_send, outcome.Value) or _in_lock(task.coro):
            return
        self.actors.append(task.name)
        if len(self.actors) == self._nth and self._do is not None:
            self._do(task)


def _in_lock(coro: Any) -> bool:
    while coro is not None:
        frame = getattr(coro, "cr_frame", None)
        if (
            frame is not None
            and frame.f_code.co_filename.endswith("trio/_sync.py")
            and "acquire" in frame.f_code.co_name
        ):
            return True
        coro = getattr(coro, "cr_await", None)
    return False


def steps(reference: Reference) -> Sequence[int]:
    """Every step of every actor."""
    return range(1, len(reference.steps) + 1)


def at_step(do: Callable[[World, Any], None]) -> Callable[[World, int], None]:
    """Strike before the nth step."""

    def strike(world: World, nth: int) -> None:
        def now(task: Any) -> None:
            world.strike()
            do(world, task)

        world.instruments.append(Steps(nth, now))

    return strike


def _raise(world: World, task: Any) -> None:
    task._next_send = outcome.Error(Bug(f"in {task.name}"))


def _cancel(world: World, _: Any) -> None:
    world.scope.cancel()


def _kill(world: World, _: Any) -> None:
    """SIGKILL: not one more instruction; what was written is in the cache."""
    world.survivor = world.volume.killed()
    world.scope.cancel()


def _shut_down(world: World) -> None:
    world.daemon.shut_down("signal")


# --- who tells the wearer, and who signs ---


class _Echo:
    """Counts how often something is called, and raises at the nth time."""

    def __init__(self, call: Callable[..., Any], world: World, nth: int, fail: Callable[[], None]) -> None:
        self._call = call
        self._world = world
        self._nth = nth
        self._fail = fail
        self.count = 0

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        self.count += 1
        if self.count == self._nth:
            self._world.strike()
            self._fail()
        return self._call(*args, **keywords)


def count_echoes(world: World) -> Counter[str]:
    """Let the calls be counted; read the result after the shift."""
    counted: Counter[str] = Counter()

    def counting(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any, **keywords: Any) -> Any:
            counted[name] += 1
            return call(*args, **keywords)

        return count

    for name, (owner, attribute) in _echoes(world).items():
        setattr(owner, attribute, counting(name, getattr(owner, attribute)))
    return counted


def _echoes(world: World) -> dict[str, tuple[Any, str]]:
    return {
        "light": (world.light, "set"),
        "tone": (world.tone, "set"),
        "line": (world.line, "send"),
        "signer": (world.signer, "sign"),
        "receiver": (world.receiver, "receive_for"),
    }


def echoes(name: str) -> Callable[[Reference], Sequence[int]]:
    """Every time that something is told, or asked."""
    return lambda reference: range(1, reference.echoes[name] + 1)


def at_echo(name: str, fail: Callable[[World], None]) -> Callable[[World, int], None]:
    """Strike the nth time that something is told, or asked."""

    def strike(world: World, nth: int) -> None:
        owner, attribute = _echoes(world)[name]
        setattr(owner, attribute, _Echo(getattr(owner, attribute), world, nth, lambda: fail(world)))

    return strike


def _bug(_: World) -> None:
    raise Bug("the adapter has a bug")


_ENDS: Final = frozenset({"crash", "shutdown"})

KINDS: Final = [
    Kind("process-kill", "the process is killed", steps, at_step(_kill), ends=_ENDS, has_position=True),
    Kind("process-cancel", "everything is cancelled", steps, at_step(_cancel), ends=_ENDS, has_position=True),
    Kind("process-bug", "an actor raises what nobody expects", steps, at_step(_raise), ends=_ENDS, has_position=True),
    Kind("process-end", "told to end", moments, at_moment(_shut_down), ends=_ENDS, has_sound=True),
    Kind("process-end-twice", "told to end, twice", moments, later(0.01, _shut_down, _shut_down), ends=_ENDS),
    Kind(
        "light-lost",
        "the light is pulled out",
        echoes("light"),
        at_echo("light", lambda w: w.light.unplug()),
        silent=True,
        heals=False,
    ),
    Kind(
        "tone-lost",
        "the sounder is pulled out",
        echoes("tone"),
        at_echo("tone", lambda w: w.tone.unplug()),
        silent=True,
        heals=False,
    ),
    Kind(
        "light-bug", "the light's adapter has a bug", echoes("light"), at_echo("light", _bug), silent=True, ends=_ENDS
    ),
    Kind(
        "line-hangs-up",
        "the remote on the serial line hangs up",
        echoes("line"),
        at_echo("line", lambda w: w.line.hang_up()),
        heals=False,
    ),
    Kind("line-stalls", "the remote takes nothing any more", echoes("line"), at_echo("line", lambda w: w.line.stall())),
    Kind(
        "receiver-bug",
        "the receiver's adapter has a bug",
        echoes("receiver"),
        at_echo("receiver", _bug),
        ends=_ENDS,
        has_position=True,
    ),
    Kind("signer-bug", "the key can't be used", echoes("signer"), at_echo("signer", _bug), ends=_ENDS),
]
