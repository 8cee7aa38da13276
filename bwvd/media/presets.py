"""The presets of libx264 and libx265: how much work an encoder puts into a frame."""

from __future__ import annotations

PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
"""The fastest first."""

PRESET_ENCODERS = frozenset({"libx264", "libx265"})
