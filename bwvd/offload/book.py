"""How far each recording is on its way: what is sent next, what is asked for, what is told. Pure.

A recording waits, is stored, has a receipt, and is gone from the flash when the recorder has let go of it. The book
lives as long as the process: what is stored already is asked of the store anew after a start, by one question for each
recording. Times are CLOCK_MONOTONIC in nanoseconds.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bwvd.clock import NS
from bwvd.service.backoff import Backoff

# A custodian takes seconds or days: soon at first, and then no oftener than a fleet can ask.
ASK_AGAIN = Backoff(first_s=10.0, limit_s=600.0)
# What the flash could not give, or the recorder has refused, may be put right by a person.
TRY_AGAIN = Backoff(first_s=60.0, factor=4.0, limit_s=21_600.0)


@dataclass(frozen=True, slots=True)
class Closed:
    """A recording on the flash that has its end and its signature."""

    recording: str
    files: int
    size: int  # bytes of all files


class Standing(enum.StrEnum):
    """Where a recording is."""

    WAITING = "waiting"  # not all of it is in the store
    STORED = "stored"  # whole, in the store
    RECEIPT = "receipt"  # there is a receipt; the recorder has not let go of it
    RELEASED = "released"  # the recorder has let go of it
    DIFFERS = "differs"  # an object is there with another content: nothing was touched
    UNFIT = "unfit"  # it is not what its own sums say


NEEDS_A_PERSON = frozenset({Standing.DIFFERS, Standing.UNFIT})


@dataclass(slots=True)
class Turn:
    """When something is tried again, and why it did not come about."""

    storage: str = ""  # of an archive of the journal
    next_ns: int = 0  # not before then
    tries: int = 0  # in vain
    detail: str = ""  # one line
    refused: bool = False  # what `detail` says is for a person: a receipt that is none, or not for this

    def later(self, now_ns: int, backoff: Backoff, detail: str = "", *, refused: bool = False) -> None:
        """Nothing came of it now."""
        self.tries += 1
        self.next_ns = now_ns + round(backoff.delay_s(self.tries) * NS)
        self.detail, self.refused = detail, refused


@dataclass(slots=True)
class Row:
    """One recording."""

    closed: Closed
    standing: Standing = Standing.WAITING
    sent_files: int = 0
    sent_bytes: int = 0
    turn: Turn = field(default_factory=Turn)  # the next try, or the next question for the receipt

    @property
    def recording(self) -> str:
        return self.closed.recording

    def move(self, standing: Standing, detail: str = "") -> None:
        """It has got on, or can't get on."""
        self.standing, self.turn = standing, Turn(detail=detail)


@dataclass(slots=True)
class Book:
    """All recordings that are closed on the flash, oldest first. **Synchronization:** one task."""

    rows: dict[str, Row] = field(default_factory=dict)
    released: int = 0  # since the process began
    gone: int = 0  # since then, without a release of ours: `bwvd release` by hand

    def take(self, closed: Mapping[str, Closed]) -> None:
        """What a look at the flash has found."""
        for recording in [name for name in self.rows if name not in closed]:
            if self.rows.pop(recording).standing is not Standing.RELEASED:
                self.gone += 1
        for recording, one in closed.items():
            if recording not in self.rows:
                self.rows[recording] = Row(one)

    def to_send(self, now_ns: int) -> Row | None:
        """The oldest recording that waits and may be tried now."""
        return next((row for row in self._of(Standing.WAITING) if row.turn.next_ns <= now_ns), None)

    def to_ask_for(self, now_ns: int) -> Row | None:
        """The oldest recording whose receipt may be asked for, or handed in again, now."""
        return min(self.due(now_ns), key=lambda row: row.recording, default=None)

    def due(self, now_ns: int) -> Iterator[Row]:
        """All of these."""
        rows = (*self._of(Standing.RECEIPT), *self._of(Standing.STORED))
        return (row for row in rows if row.turn.next_ns <= now_ns)

    def next_ns(self) -> int | None:
        """When the next of them is due; None if none will be."""
        due = (Standing.WAITING, Standing.STORED, Standing.RECEIPT)
        return min((row.turn.next_ns for row in self.rows.values() if row.standing in due), default=None)

    def all_stored(self) -> bool:
        """Everything closed is in the store, whole."""
        done = (Standing.STORED, Standing.RECEIPT, Standing.RELEASED)
        return all(row.standing in done for row in self.rows.values())

    def count(self, *standings: Standing) -> int:
        return sum(row.standing in standings for row in self.rows.values())

    def size(self, *standings: Standing) -> int:
        """Bytes on the flash of recordings that stand there, less what of them is sent."""
        return sum(row.closed.size - row.sent_bytes for row in self.rows.values() if row.standing in standings)

    def details(self, *standings: Standing) -> list[str]:
        """Why those that stand there don't get on."""
        return [row.turn.detail for row in self.rows.values() if row.standing in standings and row.turn.detail]

    def refused(self) -> list[str]:
        """What is wrong with receipts."""
        return [row.turn.detail for row in self.rows.values() if row.turn.refused]

    def _of(self, standing: Standing) -> Iterator[Row]:
        return (row for row in self.rows.values() if row.standing is standing)
