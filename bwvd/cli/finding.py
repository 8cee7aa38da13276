"""A finding of `bwvd check`: one thing that was looked at, and what came of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    # "configuration", "keys", "storage", "socket", "camera", "microphone", "gpio", "input", "serial", "led", "haptic",
    # "tone", "power", "metrics", "offload", "witness", "gnss", "profile"
    area: str
    ok: bool
    text: str  # one line that names the key, file or device
    advice: bool = False  # good, but worth knowing

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
