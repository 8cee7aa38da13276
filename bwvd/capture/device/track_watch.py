"""The watch over one wanted track: it lives while samples of it are gained, whatever else arrives. Pure.

A stream of two tracks goes on sending packets when one of them has stopped; and packets of a track may come of which no
sample is ever gained, because no key frame is among them or nothing decodes. So each track is judged by what its path
has made of it, and only beside that by its packets, which tell why. The time is an argument.
"""

from __future__ import annotations

from bwvd.clock import NS
from bwvd.media.samples import Kind

NAMED_NS = 15 * NS  # packets come, and no sample was gained for so long: the cause is named
HOPELESS_NS = 60 * NS  # the same: the source is opened again
MISSING_NS = 15 * NS  # no packet of the track for so long, while others come: the source is opened again


class TrackWatch:
    """One track of one opening. **Synchronization:** the device's thread."""

    def __init__(self, kind: Kind, silence_ns: int, now_ns: int) -> None:
        """silence_ns: without a sample for so long, the track is down."""
        self._what = "frame" if kind == "video" else "sound"
        self._silence_ns = silence_ns
        self._gained = 0
        self._gained_ns = now_ns  # of the last sample, else of the beginning
        self._packet_ns = now_ns  # the same, of a packet
        self._told = ""

    @property
    def is_down(self) -> bool:
        return bool(self._told)

    def packet(self, now_ns: int) -> None:
        """A packet of the track has come."""
        self._packet_ns = now_ns

    def look(self, gained: int, now_ns: int, lacks: str) -> str | None:
        """Returns why the track is down, where that is news; None where it lives, or that was told.

        gained: samples so far. lacks: what the path would need to gain one ("no key frame").
        """
        if gained != self._gained:
            self._gained, self._gained_ns, self._told = gained, now_ns, ""
            return None
        silent_ns = now_ns - self._gained_ns
        if silent_ns < self._silence_ns:
            return None
        reason = f"no {self._what} for {self._silence_ns / NS:g} s"
        if silent_ns >= NAMED_NS and now_ns - self._packet_ns < self._silence_ns:
            reason = f"{lacks} for {NAMED_NS / NS:g} s"
        elif self._told:
            return None
        if reason == self._told:
            return None
        self._told = reason
        return reason

    def hopeless(self, now_ns: int, lacks: str) -> str | None:
        """Why only another opening can bring the track back; None where waiting may."""
        if now_ns - self._packet_ns >= MISSING_NS:
            return f"no {self._what} for {MISSING_NS / NS:g} s"
        if now_ns - self._gained_ns >= HOPELESS_NS:
            return f"{lacks} for {HOPELESS_NS / NS:g} s"
        return None
