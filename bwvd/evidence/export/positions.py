"""Summary of a recording's positions: at the press, the first and the last, how many, and where it was lost. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from bwvd.evidence.export.track import AtPress, Track, coordinates
from bwvd.evidence.format import records
from bwvd.text import counted


@dataclass(frozen=True, slots=True)
class Positions:
    """What `bwvd show` says of them. Times are media time, in nanoseconds."""

    at_press: AtPress | None  # None: the recording says nothing of it, being of an earlier version
    fixes: int  # that can be read, each once
    sealed: int  # records that were not opened
    first: records.Fix | None
    last: records.Fix | None
    losses: list[tuple[int, int | None]]  # from, to; to None = the end

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        press = self.at_press
        return {
            "at_press": None
            if press is None
            else {"known": press.known, "fix": _plain(press.fix), "age_s": press.age_s},
            "fixes": self.fixes,
            "sealed": self.sealed,
            "first": _plain(self.first),
            "last": _plain(self.last),
            "losses": [{"from_ns": from_ns, "to_ns": to_ns} for from_ns, to_ns in self.losses],
        }

    def press_text(self) -> str:
        """Where the press was: `52.330010, 4.893300 ±5 m, 0.4 s before the press`."""
        if self.at_press is None:
            return "not said of the press by the version that recorded it"
        known, fix, age_s = self.at_press
        when = "" if age_s is None else f", {max(0.0, age_s):.1f} s before the press"
        if fix is not None:
            return f"{coordinates(fix)}{when}"
        return {
            "known": "at the press no place on Earth",
            "sealed": f"sealed{when}: --identity FILE opens it",
            "unknown": "not known at the press",
        }[known]

    def track_text(self) -> str:
        """What came of the receiver in all: `24 positions, from 52.330010, … to …; not known for 3.400 s`."""
        if self.first is not None and self.last is not None:
            said = f"{counted(self.fixes, 'position')}, from {coordinates(self.first)} to {coordinates(self.last)}"
        else:
            said = "" if self.sealed else "no position"
        if self.sealed:
            said += f"{', ' if said else ''}{counted(self.sealed, 'sealed position')}"
        return f"{said}; lost {counted(len(self.losses), 'time')}" if self.losses else said


def positions(track: Track) -> Positions | None:
    """The summary; None where the recording says nothing of any position, as one without a receiver does not."""
    fixes = track.fixes
    if not (fixes or track.sealed or track.losses or track.at_press):
        return None
    first, last = (fixes[0], fixes[-1]) if fixes else (None, None)
    return Positions(track.at_press, len(fixes), track.sealed, first, last, track.losses)


def _plain(fix: records.Fix | None) -> Any:
    return None if fix is None else msgspec.to_builtins(fix)
