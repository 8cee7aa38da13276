"""All fuzz targets by name."""

from __future__ import annotations

from tests.fuzz import commands, keys, page, recordings
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {
    target.name: target for target in (*recordings.TARGETS, *keys.TARGETS, *commands.TARGETS, *page.TARGETS)
}
