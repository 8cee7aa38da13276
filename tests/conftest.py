"""What is run when: the exhaustive runs, and those on a machine under QEMU, only when they are asked for."""

from __future__ import annotations

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
