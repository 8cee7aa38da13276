"""Says at the end of a run how many faults were tried."""

from __future__ import annotations

import pytest

from tests.faults.campaign import TALLY


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line a family of kinds, and the sum."""
    if not TALLY.cases:
        return
    terminalreporter.section("faults")
    families: dict[str, list[str]] = {}
    for name in TALLY.cases:
        families.setdefault(name.partition("-")[0], []).append(name)
    for family, names in families.items():
        cases = sum(TALLY.cases[name] for name in names)
        places = sum(TALLY.places[name] for name in names)
        terminalreporter.write_line(f"{family:12} {cases:6} of {places:6} places, {len(names)} kinds")
    total, places = TALLY.cases.total(), TALLY.places.total()
    terminalreporter.write_line(f"{'in all':12} {total:6} of {places:6} places, {len(TALLY.cases)} kinds")
