"""Trials: a change of a card, or a power cut, with a start of the device behind it, and who tells of it.

A change must be told by the device, as a fault and as one entry of its journal for one cause (or by keeping off the
card), and by `verify` with the list of the device's keys, before the start where the card alone shows it, and after it
in any case. A power cut must be told by nobody. Everything follows from the seed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from tests.tampering.changes import KINDS, Card, Kind
from tests.tampering.desk import Verdict, laundered, new_entries, verify
from tests.tampering.life import Kept, Life, Started, live, start

# The faults that say that somebody has been at the card, each with the journal's words for it.
WORDS: Final = {
    "storage_rolled_back": ("storage_rolled_back",),
    "evidence_missing": ("evidence_missing",),
    "evidence_changed": ("evidence_changed", "journal_set_aside"),
    "wearer": ("officer_refused",),
}
PAIR: Final = "two of these at once"
PAIRS: Final = 8  # as many as of so many kinds
LIVES: Final = 12  # of insiders' cards
CUTS_A_LIFE: Final = 20
ATTEMPTS: Final = 60  # to find a card on which a change can be made


@dataclass(frozen=True)
class Trial:
    """One that can be had again by its words: `python -m tests.tampering --seed SEED --trial NUMBER`."""

    seed: int
    number: int

    @property
    def kind(self) -> Kind | None:
        """None for two kinds at once."""
        index = self.number % (len(KINDS) + PAIRS)
        return KINDS[index] if index < len(KINDS) else None

    @property
    def name(self) -> str:
        return self.kind.name if self.kind is not None else PAIR

    def __str__(self) -> str:
        return f"python -m tests.tampering --seed {self.seed} --trial {self.number}"


@dataclass
class Row:
    """What came of the trials of one kind."""

    trials: int = 0
    by_device: int = 0
    before: int = 0  # told by `verify` before the start, of `shown`
    shown: int = 0
    after: int = 0
    missed: list[str] = field(default_factory=list)


@lru_cache(maxsize=64)
def life_of(seed: int) -> Life:
    return live(seed)


@dataclass(frozen=True)
class Outcome:
    """A card before and after a start, and all that was said."""

    before: Verdict
    started: Started
    after: Verdict
    entries: Counter[str]

    @property
    def by_device(self) -> bool:
        """By keeping off, or by a fault and an entry."""
        return bool(self.started.refused) or any(
            fault in self.started.faults and any(self.entries[event] for event in events)
            for fault, events in WORDS.items()
        )

    @property
    def lines(self) -> int:
        """How many entries of the journal are about it; a card that was put back has one, and what follows."""
        events = [event for fault, events in WORDS.items() if fault in self.started.faults for event in events]
        return self.entries["storage_rolled_back"] or sum(self.entries[event] for event in events)


def _outcome(kept: Kept, life: Life, signer_of_boot: int, folder: Path) -> Outcome:
    boot = life.boots[signer_of_boot]
    before = verify(kept.tree, folder)
    started = start(kept, boot.signer, wall_ns=boot.wall_ns)
    after = verify(started.kept.tree, folder)
    return Outcome(before, started, after, Counter(entry.event for entry in new_entries(kept.tree, started.kept.tree)))


# --- an insider ------------------------------------------------------------------------------------------------------


def changed(trial: Trial) -> tuple[Life, Kept, Sequence[Kind]] | None:
    """A card, and what was done to it; None where no card has what is to be changed."""
    for attempt in range(ATTEMPTS):
        chosen = random.Random(f"{trial.seed} {trial.number} {attempt}")
        life = life_of(trial.seed * 1000 + chosen.randrange(LIVES))
        kinds = [trial.kind] if trial.kind is not None else sorted(chosen.sample(KINDS, 2), key=_order)
        card = Card(life, chosen)
        if all(_takes(kind, card) for kind in kinds):
            return life, Kept(card.tree, card.remembered), kinds
    return None


def _order(kind: Kind) -> tuple[bool, bool]:
    """What exchanges the card comes before what changes it."""
    return kind.shows, not kind.takes_out


def _takes(kind: Kind, card: Card) -> bool:
    """Whether the change can be made and changes anything."""
    before = dict(card.tree)
    try:
        return kind.change(card) and card.tree != before
    except (KeyError, IndexError):  # of two changes the first has taken away what the second is about
        return False


def insider(trial: Trial, folder: Path, row: Row) -> None:
    """Change a card, and judge who tells of it."""
    found = changed(trial)
    if found is None:
        return
    life, card, kinds = found
    came = _outcome(card, life, -1, folder)
    alone = list(laundered(life.kept[-1].tree, came.started.kept.tree, folder))
    row.trials += 1
    row.by_device += came.by_device
    row.after += came.after.told
    wrong = [*_missed(came, kinds), *alone]
    if any(kind.shows for kind in kinds):
        row.shown += 1
        row.before += came.before.told
    if wrong:
        what = " and ".join(kind.name for kind in kinds)
        row.missed.append(f"{trial}: {what}: {'; '.join(wrong)}")


def _missed(came: Outcome, kinds: Sequence[Kind]) -> Iterator[str]:
    if not came.by_device:
        yield f"the device has the faults {sorted(came.started.faults)} and enters {sorted(came.entries)}"
    elif not came.started.refused and len(kinds) == 1 and not 1 <= came.lines <= kinds[0].causes:
        yield f"the device enters {came.lines} lines for {kinds[0].causes} causes"
    if any(kind.shows for kind in kinds) and not came.before.told:
        yield f"before the start verify says {came.before.words()}"
    if not came.after.told:
        yield f"after the start verify says {came.after.words()}"


# --- honest power cuts -----------------------------------------------------------------------------------------------


def cut(seed: int, number: int, folder: Path) -> str:
    """Cut the power at an instant of a life; what was told that is not so, "" if nothing was."""
    chosen = random.Random(f"cut {seed} {number}")
    life = life_of(seed * 1000 + 500 + number // CUTS_A_LIFE)
    at = chosen.randrange(len(life.boots))
    kept = life.boots[at].cut(chosen)
    came = _outcome(kept, life, at, folder)
    changed_key = len({boot.signer.public_key for boot in life.boots}) > 1
    # What was kept under a key that has been changed since nobody can read: the officer has to be assigned anew.
    unread = {"wearer"} if changed_key else set()
    wrong = []
    if came.started.refused or came.started.faults.keys() - {"storage"} - unread:
        wrong.append(f"the device: {came.started.refused or came.started.faults}")
    if told := [events[0] for fault, events in WORDS.items() if fault not in unread and came.entries[events[0]]]:
        wrong.append(f"its journal: {told}")
    if came.before.told:
        wrong.append(f"before the start verify says {came.before.words()}")
    if came.after.told or came.after.verdicts.keys() - {"authentic", "recovered", "not_closed"}:
        wrong.append(f"after the start verify says {came.after.words()}")
    # Whatever has no end gets one, but for what was begun under a key that has been changed since.
    if came.after.verdicts["not_closed"] and not changed_key:
        wrong.append(f"after the start there is no end: {came.after.words()}")
    again = f"python -m tests.tampering --seed {seed} --cut {number}"
    return f"{again}: {'; '.join(wrong)}" if wrong else ""


# --- many ------------------------------------------------------------------------------------------------------------


def insiders(count: int, seed: int, folder: Path, first: int = 0) -> dict[str, Row]:
    """So many trials, by the kinds' names."""
    rows = {kind.name: Row() for kind in KINDS} | {PAIR: Row()}
    for number in range(first, first + count):
        trial = Trial(seed, number)
        insider(trial, folder, rows[trial.name])
    return rows


def table(rows: dict[str, Row]) -> Iterator[str]:
    """A line a kind, and the sum."""
    wide = max(map(len, rows))
    yield f"{'KIND OF CHANGE':{wide}} {'TRIALS':>6} {'DEVICE':>6} {'VERIFY BEFORE':>13} {'AFTER':>5} {'MISSED':>6}"
    whole = Row()
    for name, row in rows.items():
        yield _line(name, row, wide)
        whole.trials += row.trials
        whole.by_device += row.by_device
        whole.before += row.before
        whole.shown += row.shown
        whole.after += row.after
        whole.missed += row.missed
    yield _line("in all", whole, wide)


def _line(name: str, row: Row, wide: int) -> str:
    before = f"{row.before} of {row.shown}"
    return f"{name:{wide}} {row.trials:6} {row.by_device:6} {before:>13} {row.after:5} {len(row.missed):6}"
