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

    def commit(self, bytes_: int, frames: int, took_ns: int) -> None:
        """One commit has made so much durable."""
        self.commits += 1
        self.bytes += bytes_
        self.frames += frames
        self.commit_ms.append(took_ns / 1e6)

    def count_for(self, recording: str) -> None:
        """Nothing is committed yet of the recording that is written from now on; "": none is."""
        self.recording, self.segments, self.committed_s = recording or None, 0, 0.0
        self.began = self.began if recording else ""
