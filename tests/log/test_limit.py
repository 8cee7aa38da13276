"""A flood of one line is a few lines and a count."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from bwvd.log.limit import IDENTITIES, SAME_EVENT, SAME_LINES, WINDOW_S, Limiter


class Bench:
    """A limiter, a clock that is moved by hand, and what came through."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.reports: list[tuple[str, int, float]] = []
        self.limiter = Limiter(lambda *report: self.reports.append(report), lambda: self.now_s)

    def log(self, event: str, times: int = 1, **fields: Any) -> int:
        """How many of `times` lines are let through."""
        through = 0
        for _ in range(times):
            try:
                self.limiter(None, "info", {"event": event, **fields})
            except structlog.DropEvent:
                continue
            through += 1
        return through


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_first_lines_of_a_flood_are_written_and_the_rest_is_counted(bench: Bench) -> None:
    assert bench.log("camera_lost", 20_000, device="cam") == SAME_LINES
    assert bench.reports == []
    bench.now_s += WINDOW_S
    assert bench.log("state_changed") == 1
    assert bench.reports == [("camera_lost", 20_000 - SAME_LINES, WINDOW_S)]


def test_an_hour_of_flood_is_bounded(bench: Bench) -> None:
    through = 0
    for _ in range(3600):
        through += bench.log("camera_lost", 20, device="cam")
        bench.now_s += 1
    assert through <= 61 * SAME_LINES
    assert sum(count for _, count, _ in bench.reports) + through + 20 * 60 >= 72_000
    assert len(bench.reports) <= 60


def test_one_flood_does_not_hide_another_devices_lines(bench: Bench) -> None:
    bench.log("control_lost", 1000, control="gpio:record")
    assert bench.log("control_lost", 5, control="serial:/dev/ttyS1") == 5
    assert bench.log("pressed", 5, source="gpio:record") == 5


def test_made_up_identities_do_not_get_around_the_limit(bench: Bench) -> None:
    through = sum(bench.log("refused", source=f"socket:pid={n}") for n in range(20 * IDENTITIES))
    assert through == SAME_EVENT


def test_remembered_identities_are_bounded(bench: Bench) -> None:
    for n in range(5 * IDENTITIES):
        bench.log(f"event_{n % 3}", source=str(n))
    assert len(bench.limiter._abouts) <= IDENTITIES


def test_a_window_that_dropped_nothing_is_not_reported(bench: Bench) -> None:
    bench.log("pressed", 3, source="x")
    bench.now_s += 2 * WINDOW_S
    assert bench.log("pressed", SAME_LINES, source="x") == SAME_LINES
    assert bench.reports == []


def test_the_report_itself_is_never_dropped(bench: Bench) -> None:
    assert bench.log("log_suppressed", 1000) == 1000
