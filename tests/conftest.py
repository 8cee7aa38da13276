"""What is run when: the exhaustive runs, and those on a machine under QEMU, only when they are asked for."""

from __future__ import annotations

import pytest

ASKED_FOR = ("complete", "machine")  # markers


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
