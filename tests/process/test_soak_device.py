"""The soak's device: the real daemon that it works with begins, answers and ends in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.device import Device


@pytest.mark.slow
def test_it_begins_and_ends(tmp_path: Path) -> None:
    device = Device(tmp_path, 5)
    device.begin()
    status = device.status()
    assert status is not None
    assert status["state"] == "standby"
    assert device.end() == 0
