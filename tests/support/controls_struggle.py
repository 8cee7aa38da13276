"""Struggles: what a hand, a body and a worn contact do to a button, with the truth about each movement beside it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from bwvd.clock import NS
from bwvd.controls.ports import Edge

MS = 1_000_000


@dataclass(slots=True)
class Movement:
    """One thing that happened to the button."""

    kind: Literal["finger", "storm"]
    edges: list[Edge]  # never empty; the last one is up
    steady_from_ns: int = 0  # of the longest stretch without an edge while it was down
    steady_ns: int = 0


class Struggle:
    """Random movements from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._at_ns = NS

    def movements(self, most: int = 10) -> list[Movement]:
        return [self._movement() for _ in range(1 + int(self._random.random() * most))]

    def _movement(self) -> Movement:
        chance = self._random.random
        self._at_ns += self._gap_ns()
        kind = chance()
        if kind < 0.5:
            return self._finger(int((20 + 580 * chance()) * MS), glitches=0)
        if kind < 0.99:
            return self._finger(int((600 + 5000 * chance()) * MS), glitches=int(chance() * 3) if chance() < 0.4 else 0)
        return self._storm(int((500 + (9500 if chance() < 0.02 else 300) * chance()) * MS))

    def _gap_ns(self) -> int:
        """Mostly as in a struggle; often what follows a hold, on both sides of what could answer it."""
        chance = self._random.random
        if chance() < 0.4:
            return int((250 + 100 * chance()) * MS)
        return int((25 + 6000 * chance() ** 3) * MS)

    def _finger(self, down_ns: int, glitches: int) -> Movement:
        movement = Movement("finger", [])
        self._transition(movement, down=True)
        steady_from_ns = self._at_ns
        end_ns = self._at_ns + down_ns
        for _ in range(glitches):  # the contact opens for a moment, for less than the debounce time
            at_ns = self._at_ns + int((end_ns - self._at_ns) * self._random.random())
            self._steady(movement, steady_from_ns, at_ns)
            movement.edges.append(Edge(False, at_ns))
            self._at_ns = steady_from_ns = at_ns + int((0.1 + 14 * self._random.random()) * MS)
            movement.edges.append(Edge(True, self._at_ns))
        end_ns = max(end_ns, self._at_ns + MS)
        self._steady(movement, steady_from_ns, end_ns)
        self._at_ns = end_ns
        self._transition(movement, down=False)
        return movement

    def _steady(self, movement: Movement, from_ns: int, to_ns: int) -> None:
        if to_ns - from_ns > movement.steady_ns:
            movement.steady_from_ns, movement.steady_ns = from_ns, to_ns - from_ns

    def _transition(self, movement: Movement, *, down: bool) -> None:
        movement.edges.append(Edge(down, self._at_ns))
        for _ in range(int(self._random.random() * 5)):
            for position in (not down, down):
                self._at_ns += int((0.05 + 1.4 * self._random.random()) * MS)
                movement.edges.append(Edge(position, self._at_ns))

    def _storm(self, for_ns: int) -> Movement:
        """A kilohertz of bouncing."""
        end_ns = self._at_ns + for_ns
        movement = Movement("storm", [])
        while self._at_ns < end_ns:
            for down in (True, False):
                movement.edges.append(Edge(down, self._at_ns))
                self._at_ns += int((0.2 + 0.7 * self._random.random()) * MS)
        return movement
