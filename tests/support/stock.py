"""Stock command-line tools that tests hold our results against."""

from __future__ import annotations

import os
import shutil

import pytest


def need(tool: str) -> str:
    """The path of a stock tool; without it the test is skipped with the reason, or fails where CI must have it."""
    path = shutil.which(tool)
    if path is None:
        reason = f"the {tool} command is not installed"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path
