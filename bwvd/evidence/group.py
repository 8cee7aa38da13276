"""What waits for the writer's next commit."""

from __future__ import annotations

from dataclasses import dataclass, field

from bwvd.messages import Gop, Note


@dataclass(slots=True)
class Group:
    """What waits for the next commit."""

    gops: list[Gop] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    bytes: int = 0

    @property
    def span_ns(self) -> int:
        return self.gops[-1].end_ns - self.gops[0].start_ns if self.gops else 0
