"""What is run when: the exhaustive runs, and those on a machine under QEMU, only when they are asked for.

And what is said at the end: how many faults were tried, also where several processes share the tests (pytest-xdist).
"""

from __future__ import annotations

import sys
from typing import Any

import pytest

ASKED_FOR = ("complete", "machine")  # markers


def pytest_addoption(parser: pytest.Parser) -> None:
    machine = parser.getgroup("machine", "bwvd on a whole machine under QEMU (pytest -m machine)")
    machine.addoption("--cuts", type=int, default=32, metavar="N", help="how often the power is cut (default: 32)")
    machine.addoption("--seed", default="", metavar="TEXT", help="what chance begins with (default: another each time)")
    machine.addoption("--keep", action="store_true", help="keep the machine's disks and logs")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked = str(config.getoption("markexpr"))
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        wanted = all(marker in asked or not item.get_closest_marker(marker) for marker in ASKED_FOR)
        (kept if wanted else left).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process that shares the tests with others hands its count over."""
    campaign = sys.modules.get("tests.faults.campaign")
    if campaign is not None and hasattr(session.config, "workeroutput"):
        session.config.workeroutput["faults"] = [dict(campaign.TALLY.cases), dict(campaign.TALLY.places)]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """The count of one of those processes."""
    if told := getattr(node, "workeroutput", {}).get("faults"):
        from tests.faults.campaign import TALLY

        cases, places = told
        TALLY.cases.update(cases)
        TALLY.places.update({name: count for name, count in places.items() if name not in TALLY.places})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many single faults were tried, a line for each family of kinds, and the sum."""
    campaign = sys.modules.get("tests.faults.campaign")
    if campaign is None or not campaign.TALLY.cases:
        return
    terminalreporter.section("faults")
    for line in campaign.TALLY.lines():
        terminalreporter.write_line(line)
