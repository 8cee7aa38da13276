"""Media that a manifest says is not there: a fold over its gap records, and over what lies before the press. Pure."""

from __future__ import annotations

from bwvd.clock import NS
from bwvd.evidence.format import records


class MissingMedia:
    """How much of a recording is not there, as its own records name it.

    What overlaps in one track counts once: gaps of a track stand in the manifest in the order of their beginnings.
    """

    def __init__(self) -> None:
        self.gaps = 0
        self.pre_event_s = 0.0  # of the time before the press: asked for, and not there
        self._ns = {"video": 0, "audio": 0}
        self._until_ns = {"video": 0, "audio": 0}

    def opened(self, opening: records.Open) -> None:
        """Take the record that opens the recording."""
        pre = opening.pre_event
        if pre.reason:
            self.pre_event_s = round(max(pre.asked_s - pre.got_s, 0.0), 3)

    def gap(self, gap: records.Gap) -> None:
        """Take the next gap."""
        self.gaps += 1
        for track in self._ns if gap.track == "both" else (gap.track,):
            if track in self._ns:
                from_ns = max(gap.from_ns, self._until_ns[track])
                self._ns[track] += max(gap.to_ns - from_ns, 0)
                self._until_ns[track] = max(gap.to_ns, self._until_ns[track])

    @property
    def video_s(self) -> float:
        return round(self._ns["video"] / NS, 3)

    @property
    def audio_s(self) -> float:
        return round(self._ns["audio"] / NS, 3)
