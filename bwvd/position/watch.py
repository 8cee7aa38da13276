"""What is told of a run of fixes: that there is one, that it was lost, that it can't be right. Pure.

Nothing is guessed: between two fixes there is no third one, a lost fix is not the last one, and what can't be right is
kept and named, because a person may say which of two was wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bwvd.clock import NS, Reading
from bwvd.messages import Fix
from bwvd.position.fix import distance_m, unix_s

LOST_AFTER_S = 10.0  # without a fix
FIRST_FIX_S = 120.0  # a receiver that was switched on needs half a minute to one, between houses more
FASTEST_M_S = 120.0  # faster goes nobody who wears a camera on land; a helicopter does not either
SLACK_M = 100.0  # what two good fixes may differ by standing still, between high houses
CLOCK_OFF_S = 5.0  # of a receiver's time against a synchronised clock: a serial line may be two seconds late


class Told(StrEnum):
    """What changed."""

    FOUND = "found"
    LOST = "lost"
    JUMP = "jump"
    CLOCK = "clock"
    CLOCK_OVER = "clock_over"


@dataclass(frozen=True, slots=True)
class News:
    """Something to be told, with a line that says more."""

    what: Told
    at_ns: int
    detail: str = ""


class PositionWatch:
    """Takes fixes as they come. **Synchronization:** one task."""

    def __init__(self) -> None:
        self.last: Fix | None = None  # the newest one; also while it is lost
        self.has_fix = False
        self._clock_off = False
        self._awaited_ns: int | None = None  # since when there has been no first one; None: nobody has looked yet
        self._first_settled = False  # it came, or it was told that it does not

    def take(self, fix: Fix, reading: Reading) -> list[News]:
        """What a fix changes. `reading`: both clocks when it came."""
        news: list[News] = []
        before, self.last = self.last, fix
        self._first_settled = True
        if not self.has_fix:
            self.has_fix = True
            news.append(News(Told.FOUND, fix.at_ns, f"in {'three' if fix.mode == 3 else 'two'} dimensions"))
        if before is not None:
            seconds = max(0.0, (fix.at_ns - before.at_ns) / NS)
            metres = distance_m(before, fix)
            slack = max(SLACK_M, (before.error_m or 0.0) + (fix.error_m or 0.0))
            if metres > slack + seconds * FASTEST_M_S:
                news.append(News(Told.JUMP, fix.at_ns, f"{metres:.0f} m in {seconds:.1f} s"))
        return news + self._clock(fix, reading)

    def idle(self, now_ns: int) -> list[News]:
        """What follows from no fix having come up to now."""
        if self.has_fix and self.last is not None and now_ns - self.last.at_ns > LOST_AFTER_S * NS:
            self.has_fix = False
            return [News(Told.LOST, now_ns, f"no fix for {LOST_AFTER_S:.0f} s")]
        if self._awaited_ns is None:
            self._awaited_ns = now_ns
        if not self._first_settled and now_ns - self._awaited_ns > FIRST_FIX_S * NS:
            self._first_settled = True
            return [News(Told.LOST, now_ns, f"no fix in the first {FIRST_FIX_S:.0f} s")]
        return []

    def forget(self) -> None:
        """Asleep: no fix is kept. The next one is a first one: there is none that it could have jumped from."""
        self.last, self.has_fix = None, False
        self._awaited_ns, self._first_settled = None, False

    def lost(self, now_ns: int, why: str) -> list[News]:
        """The receiver itself is gone."""
        if self.has_fix:
            self.has_fix = False
            return [News(Told.LOST, now_ns, why)]
        return []

    def _clock(self, fix: Fix, reading: Reading) -> list[News]:
        at_s = unix_s(fix.utc) if fix.utc else None
        if at_s is None or reading.quality != "synchronised":
            return []
        off_s = at_s - reading.utc_ns / NS
        off = abs(off_s) > CLOCK_OFF_S
        if off != self._clock_off:
            self._clock_off = off
            what = f"the receiver says {fix.utc}, {abs(off_s):.0f} s {'ahead of' if off_s > 0 else 'behind'} the clock"
            return [News(Told.CLOCK if off else Told.CLOCK_OVER, fix.at_ns, what if off else "")]
        return []
