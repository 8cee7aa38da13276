"""A contact whose movements are a script, with the faults that real ones have."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

import trio

from bwvd.clock import Clock
from bwvd.controls.ports import ControlLost, Edge


class VirtualContact:
    """A button or switch that a test moves. It behaves as one does behind the kernel: edges wait in a bounded queue
    until they are read, the oldest are dropped when it is full, and what moves while nobody has it open is not seen.

    **Synchronization:** trio's thread. The edges are delivered by the task in `run`.
    """

    def __init__(
        self, name: str, clock: Clock, *, down: bool = False, present: bool = True, queue_edges: int = 16
    ) -> None:
        self.name = name
        self.is_down = down
        self.is_open = False
        self.opened = 0  # how often
        self._clock = clock
        self._present = present
        self._queue: deque[Edge] = deque()
        self._queue_edges = queue_edges
        self._dropped = 0
        self._stuck = False
        self._hand_is_down = down
        self._news = trio.Event()

    async def run(
        self, edge: Callable[[Edge], None], *, task_status: trio.TaskStatus[bool] = trio.TASK_STATUS_IGNORED
    ) -> None:
        await trio.lowlevel.checkpoint()
        if not self._present:
            raise ControlLost(f"{self.name}: no such device")
        if self.is_open:
            raise ControlLost(f"{self.name}: device or resource busy")
        self.is_open = True
        self.opened += 1
        self._queue.clear()
        self._dropped = 0
        try:
            task_status.started(self.is_down)
            while True:
                while self._queue:
                    edge(self._queue.popleft())
                if not self._present:
                    raise ControlLost(f"{self.name}: unplugged")
                self._news = trio.Event()
                await self._news.wait()
        finally:
            self.is_open = False

    # --- the hand ----------------------------------------------------------------------------------------------------

    def move(self, down: bool) -> None:
        """Go down (on) or up (off), now. Staying where it is makes no edge, and one that is stuck stays."""
        self._hand_is_down = down
        if self._stuck or down == self.is_down:
            return
        self.is_down = down
        if not (self.is_open and self._present):
            return
        self._queue.append(Edge(down, self._clock.monotonic_ns(), self._dropped))
        self._dropped = 0
        if len(self._queue) > self._queue_edges:
            lost = 1 + self._queue.popleft().lost
            first = self._queue.popleft()
            self._queue.appendleft(Edge(first.down, first.at_ns, first.lost + lost))
        self._news.set()

    async def press(self, for_s: float = 0.1) -> None:
        """Down for `for_s`, then up."""
        self.move(down=True)
        await trio.sleep(for_s)
        self.move(down=False)

    async def bounce(self, edges: int, period_s: float = 0.001, *, seed: int | None = None) -> None:
        """`edges` movements, one every `period_s`, beginning now. With a seed the periods are uneven."""
        chance = None if seed is None else random.Random(seed)  # noqa: S311  # repeatable, not secret
        for _ in range(edges):
            self.move(not self.is_down)
            await trio.sleep(period_s if chance is None else chance.uniform(0, 2 * period_s))

    async def storm(self, for_s: float = 10.0, period_s: float = 0.001, *, seed: int | None = None) -> None:
        """Bounce without end, as a loose contact does; it stays where it happens to be."""
        await self.bounce(round(for_s / period_s), period_s, seed=seed)

    async def chattering_press(self, for_s: float = 0.1, *, edges: int = 6, seed: int = 0) -> None:
        """A press with an uneven bounce on the way down and on the way up, each of some milliseconds."""
        await self.bounce(edges - edges % 2, seed=seed)
        self.move(True)
        await trio.sleep(for_s)
        await self.bounce(edges - edges % 2, seed=seed + 1)
        self.move(False)

    # --- the faults --------------------------------------------------------------------------------------------------

    def lose(self, edges: int) -> None:
        """The next edges are dropped by the kernel; the one after them says so."""
        self._dropped += edges
        if edges % 2:
            self.is_down = not self.is_down

    def stick(self) -> None:
        """Stay where it is, whatever the hand does: dirt, a bent spring, a strap on the button."""
        self._stuck = True

    def loosen(self) -> None:
        """Follow the hand again, beginning with where it is now."""
        self._stuck = False
        self.move(self._hand_is_down)

    def unplug(self) -> None:
        """Gone: whoever has it open gets ControlLost after the edges that were made before."""
        self._present = False
        self._news.set()

    def plug(self) -> None:
        """There again; it has to be opened anew."""
        self._present = True
