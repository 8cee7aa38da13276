"""Mutants of what is said of where a recording was: no position stands for another one, or for none (invariant 9)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

PLACE = (
    Mutant(
        "let a position hold on where it was lost",
        9,
        "evidence/export/track.py",
        "return places[before - 1].fix if before else None",
        "return next((one.fix for one in reversed(places[:before]) if one.fix), None)",
        ("evidence/export/test_track.py",),
    ),
    Mutant(
        "take the place of the press for a file that it does not lie in",
        9,
        "evidence/export/track.py",
        "if from_ns <= self.press_ns < to_ns and",
        "if",
        ("evidence/export/test_track.py",),
    ),
    Mutant(
        "take the newest position for the press's, whatever its own record says",
        9,
        "evidence/export/track.py",
        "return self.at(self.press_ns) if self.at_press is None else self.at_press.fix",
        "return self.at(self.press_ns)",
        ("evidence/export/test_track.py",),
    ),
    Mutant(
        "date a position by its record instead of when it came",
        9,
        "evidence/export/track.py",
        "record.at_ns if fix is None else fix.stamp.mono_ns - self._open.origin_mono_ns",
        "record.at_ns",
        ("evidence/export/test_track.py",),
    ),
)
