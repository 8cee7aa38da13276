"""Where a camera was, by the records of a recording: those in the clear, and the sealed ones that can be opened."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import msgspec

from bwvd.evidence.errors import IdentityUnusable
from bwvd.evidence.format import records
from bwvd.evidence.format.decode import Unknown

T = TypeVar("T", bound=records.Record | Unknown)

ERROR_MOST_M = 100_000.0  # what an estimate may say: more is none


class Placed(NamedTuple):
    """A fix, or that there is none any more (None), and when, in media time."""

    at_ns: int
    fix: records.Fix | None


class AtPress(NamedTuple):
    """What the record of the press says of the position."""

    known: records.PositionKnown
    fix: records.Fix | None  # as far as it could be opened
    age_s: float | None  # at the press


@dataclass(slots=True)
class Track:
    """The positions of a recording, as its records are taken. **Synchronization:** one thread."""

    identities: Sequence[Any] = ()
    sealed: int = 0  # that were not opened
    at_press: AtPress | None = None  # None: the recording says nothing of it
    _open: records.Open | None = None
    _taken: list[Placed] = field(default_factory=list)
    _said: list[tuple[int, bool]] = field(default_factory=list)  # in media time: the position was known, or was not
    _in_order: list[Placed] | None = None

    def take(self, record: records.Record | Unknown) -> None:
        """The next record of any kind; positions count behind the `open` record."""
        if isinstance(record, records.Open) and self._open is None:
            self._open = record
            if (said := record.press.position) is not None:
                fix, known = self._fix(said)
                self.at_press = AtPress(said.known, fix, said.age_s)
                if fix is not None:
                    self._taken.append(Placed(fix.stamp.mono_ns - record.origin_mono_ns, fix))
        if not isinstance(record, records.Position) or self._open is None:
            return
        fix, known = self._fix(record)
        # A fix is of the moment when it came. The one at the press is told first, those of the loop behind it.
        at_ns = record.at_ns if fix is None else fix.stamp.mono_ns - self._open.origin_mono_ns
        self._said.append((at_ns, known))
        if fix is not None or not known:
            self._taken.append(Placed(at_ns, fix))
        self._in_order = None

    def seen(self, found: Iterable[T]) -> Iterator[T]:
        """The same records, each taken as it passes."""
        for record in found:
            self.take(record)
            yield record

    def _fix(self, said: records.Position | records.PressPosition) -> tuple[records.Fix | None, bool]:
        """The fix as far as it can be read, and whether there is one."""
        fix = said.fix
        if said.sealed:
            fix = _opened(said.sealed, self.identities)
            if fix is None:
                self.sealed += 1
        if fix is not None and not (abs(fix.latitude) <= 90 and abs(fix.longitude) <= 180):
            return None, True  # no place on earth
        return fix, fix is not None or bool(said.sealed)

    @property
    def places(self) -> list[Placed]:
        """In the order of time, each once: the last one is said again at the end."""
        if self._in_order is None:
            found: list[Placed] = []
            for one in sorted(self._taken, key=lambda placed: placed.at_ns):
                again = bool(found) and found[-1].fix is not None and found[-1].at_ns == one.at_ns
                if one.fix is None or not again:
                    found.append(one)
            self._in_order = found
        return self._in_order

    @property
    def fixes(self) -> list[records.Fix]:
        """Without the losses between them."""
        return [one.fix for one in self.places if one.fix is not None]

    @property
    def stretches(self) -> list[list[records.Fix]]:
        """Runs of fixes without a loss between them: what lies between two is not drawn."""
        runs: list[list[records.Fix]] = [[]]
        for one in self.places:
            if one.fix is None:
                runs.append([])
            else:
                runs[-1].append(one.fix)
        return [run for run in runs if run]

    @property
    def press_ns(self) -> int:
        """Media time of the press."""
        return 0 if self._open is None else self._open.press.stamp.mono_ns - self._open.origin_mono_ns

    @property
    def losses(self) -> list[tuple[int, int | None]]:
        """Media time from and to, where the position was not known; to None = to the end. Also of what is sealed."""
        found: list[tuple[int, int | None]] = []
        lost_ns: int | None = None
        for at_ns, known in sorted(self._said, key=lambda said: said[0]):
            if not known and lost_ns is None:
                lost_ns = at_ns
            elif known and lost_ns is not None:
                found.append((lost_ns, at_ns))
                lost_ns = None
        return found if lost_ns is None else [*found, (lost_ns, None)]

    def _fix_at_press(self) -> records.Fix | None:
        """As the press says it; in a recording whose press says nothing, the newest one before it."""
        return self.at(self.press_ns) if self.at_press is None else self.at_press.fix

    def at(self, at_ns: int) -> records.Fix | None:
        """The newest fix at a moment of media time; None where it was lost, or not known yet."""
        places = self.places
        before = bisect_right(places, at_ns, key=lambda placed: placed.at_ns)
        return places[before - 1].fix if before else None

    def changes(self, from_ns: int, to_ns: int) -> list[int]:
        """When, behind `from_ns` and before `to_ns`, another position counts from."""
        places = self.places
        first = bisect_right(places, from_ns, key=lambda placed: placed.at_ns)
        return [one.at_ns for one in places[first:] if one.at_ns < to_ns]

    def place_of(self, from_ns: int, to_ns: int) -> tuple[records.Fix, str] | None:
        """Where a stretch of media time is said to be, and which position that is.

        The one at the press if the press lies in it, else the first one of the stretch.
        """
        if from_ns <= self.press_ns < to_ns and (fix := self._fix_at_press()) is not None:
            return fix, "at the press"
        for at_ns in (from_ns, *self.changes(from_ns, to_ns)):
            if (fix := self.at(at_ns)) is not None:
                return fix, "first position"
        return None


def track_of(found: Iterable[records.Record | Unknown], identities: Sequence[Any] = ()) -> Track:
    """The positions among some records, in their order."""
    track = Track(identities)
    for record in found:
        track.take(record)
    return track


def coordinates(fix: records.Fix) -> str:
    """`52.330010, 4.893300 ±5 m`: latitude and longitude by WGS 84, and the receiver's estimate of the error."""
    is_known = fix.error_m is not None and 0 <= fix.error_m <= ERROR_MOST_M
    error = f" ±{fix.error_m:.0f} m" if is_known else ""
    return f"{fix.latitude:.6f}, {fix.longitude:.6f}{error}"


def _opened(sealed: str, identities: Sequence[Any]) -> records.Fix | None:
    if not identities:
        return None
    from bwvd.evidence.keys.age import open_sealed  # here: most recordings that are exported are plain

    try:
        plain = open_sealed(base64.b64decode(sealed, validate=True), identities)
        return msgspec.json.decode(msgspec.json.decode(plain)["fix"], type=records.Fix)
    except (IdentityUnusable, binascii.Error, msgspec.DecodeError, LookupError, TypeError):
        return None
