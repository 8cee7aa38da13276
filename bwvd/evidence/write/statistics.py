"""Counts of the writer, for the status and the bench."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class WriterStatistics:
    """Counts since the start; all for the status and the bench."""

    recording: str | None = None
    began: str = ""  # the recording that the press began; `recording` may go on from it after a storage error
    segments: int = 0  # of the recording in progress
    committed_s: float = 0.0  # of the recording in progress: media that survives a power cut
    commits: int = 0
    bytes: int = 0
    frames: int = 0
    lost_frames: int = 0  # given up: no room
    errors: int = 0
    commit_ms: deque[float] = field(default_factory=lambda: deque(maxlen=512))
    press_to_commit_ms: deque[float] = field(default_factory=lambda: deque(maxlen=512))
