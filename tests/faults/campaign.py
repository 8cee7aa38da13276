"""Runs cases: all of a kind, or a sample that is spread evenly; says how each that fails can be had again."""

from __future__ import annotations

import functools
import itertools
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import device_faults, hand_faults, position_faults, process_faults, storage_faults
from tests.faults.aftermath import Aftermath, reference, run_case
from tests.faults.conduct_checks import (
    check_acknowledged,
    check_camera,
    check_closing,
    check_ends,
    check_life,
    check_loop,
    check_presses,
    check_status,
    check_struck,
)
from tests.faults.desk_checks import check_desk
from tests.faults.kind import Kind, Reference
from tests.faults.media_checks import check_beginning, check_continuity, check_decodes, check_sound, check_stream
from tests.faults.position_checks import check_positions
from tests.faults.shift import Phase

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in [
        *storage_faults.KINDS,
        *device_faults.KINDS,
        *position_faults.KINDS,
        *hand_faults.KINDS,
        *process_faults.KINDS,
    ]
}
DECODE_EVERY = 16  # cases: that the bytes are the camera's is looked at in all of them

CHECKS = (
    check_struck,
    check_life,
    check_beginning,
    check_stream,
    check_sound,
    check_continuity,
    check_positions,
    check_loop,
    check_presses,
    check_acknowledged,
    check_camera,
    check_ends,
    check_closing,
    check_status,
)


@dataclass
class Tally:
    """How many cases were run, and what came of them."""

    cases: Counter[str] = field(default_factory=Counter)  # by kind
    places: Counter[str] = field(default_factory=Counter)  # by kind: how many there are
    outcomes: Counter[tuple[str, Phase, str]] = field(default_factory=Counter)

    def lines(self) -> Iterator[str]:
        """A line for each family of kinds, and the sum."""
        families: dict[str, list[str]] = {}
        for name in self.cases:
            families.setdefault(name.partition("-")[0], []).append(name)
        for family, names in sorted(families.items()):
            cases, places = (sum(counter[name] for name in names) for counter in (self.cases, self.places))
            yield f"{family:12} {cases:6} of {places:6} places, {len(names)} kinds"
        yield f"{'in all':12} {self.cases.total():6} of {self.places.total():6} places, {len(self.cases)} kinds"


TALLY = Tally()


@functools.cache
def _reference(has_sound: bool, has_position: bool) -> Reference:
    return reference(has_sound=has_sound, has_position=has_position)


def places(kind: Kind) -> Sequence[int]:
    """Where a kind can strike in a shift."""
    return kind.places(_reference(kind.has_sound, kind.has_position))


def sample(kind: Kind, count: int, seed: int = 0) -> list[int]:
    """As many places as asked for, one of each equal stretch; which one the seed determines."""
    there = places(kind)
    if count >= len(there):
        return list(there)
    chance = random.Random(f"{seed}:{kind.name}")
    edges = [index * len(there) // count for index in range(count + 1)]
    return [there[chance.randrange(a, b)] for a, b in itertools.pairwise(edges)]


def complaints(after: Aftermath, folder: Path) -> Iterator[str]:
    """Everything that is wrong."""
    for check in CHECKS:
        yield from check(after)
    yield from check_desk(after, folder)
    if after.nth % DECODE_EVERY == 0:
        yield from check_decodes(after)


def unseen(kinds: Sequence[Kind]) -> Iterator[str]:
    """What the table allows and no case has shown: after a complete run it can be struck out."""
    for kind in kinds:
        for phase, allowed in kind.outcomes.items():
            for outcome in sorted(allowed):
                if not TALLY.outcomes[kind.name, phase, outcome]:
                    yield f"{kind.name} in {phase}: {outcome}"


def run_kind(kind: Kind, chosen: Sequence[int], folder: Path) -> list[str]:
    """Run these cases; a line for each that fails."""
    failed: list[str] = []
    TALLY.places[kind.name] = len(places(kind))
    for nth in chosen:
        after = run_case(kind, nth)
        TALLY.cases[kind.name] += 1
        if after.phase is not None:
            TALLY.outcomes[kind.name, after.phase, after.outcome] += 1
        wrong = list(complaints(after, folder / "storage"))
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            failed.append(f"python -m tests.faults {kind.name} {nth}: {wrong[0]}{more}")
    return failed
