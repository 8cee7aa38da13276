"""Minutes of recording that the flash has room for, by the bit rate that the scene needs; warns as they shrink."""

from __future__ import annotations

from collections import deque

from bwvd.clock import NS

WARNING_MINUTES = (60, 30)  # and 0: the flash refuses
MEASURED_OVER_NS = 300 * NS  # of media: a scene's bit rate changes, a minute ago it may have been dark
MEASURED_FROM_NS = 10 * NS  # of media: less says too little against the configured rate
HYSTERESIS = 1.1  # a level must be left by this factor before it is told again
# What a recording must have room for, behind its pre-event part, to be worth beginning.
SHORTEST_S = 10


class StorageGauge:
    """Pure: from the free bytes and the recordings' bit rate to minutes, warnings and refusals.

    Args:
        bits_per_s: as configured, until enough has been measured.
        loop_s: the pre-event part that every recording begins with.
    """

    def __init__(self, *, bits_per_s: int, loop_s: float) -> None:
        self._configured = bits_per_s
        self._loop_s = loop_s
        self._parts: deque[tuple[int, int]] = deque()  # bytes, media nanoseconds
        self._bytes = 0
        self._media_ns = 0
        self._level: int | None = None  # the lowest one that has been told and not been left
        self.free_bytes = 0
        self.refusal = ""  # why no recording may begin; "" if one may

    @property
    def bits_per_s(self) -> float:
        """Measured over the last minutes of recording; the configured rate before there are any."""
        if self._media_ns < MEASURED_FROM_NS or not self._bytes:
            return self._configured
        return self._bytes * 8 * NS / self._media_ns

    @property
    def minutes_left(self) -> int:
        """Whole minutes that fit into the free bytes."""
        return int(self.free_bytes * 8 / self.bits_per_s / 60)

    def measured(self, size: int, media_ns: int) -> None:
        """So many bytes of recording held so much media. Zero or less of either says nothing."""
        if size <= 0 or media_ns <= 0:
            return
        self._parts.append((size, media_ns))
        self._bytes += size
        self._media_ns += media_ns
        while self._media_ns - self._parts[0][1] >= MEASURED_OVER_NS:
            old_size, old_ns = self._parts.popleft()
            self._bytes -= old_size
            self._media_ns -= old_ns

    def update(self, free_bytes: int, *, reserved: bool) -> int | None:
        """Take a new reading; returns the level that was newly reached, 60, 30 or 0, if one was.

        `reserved`: the room for closing is set aside.
        """
        self.free_bytes = free_bytes
        needed = self.bits_per_s / 8 * (self._loop_s + SHORTEST_S)
        # Refusing ends later than it began, so that it does not flicker while something else writes.
        enough = needed * (HYSTERESIS if self.refusal else 1.0)
        if not reserved:
            self.refusal = "the flash is full: no room to close a recording"
        elif free_bytes < enough:
            self.refusal = "the flash is full"
        else:
            self.refusal = ""
        level = self._reached()
        told, self._level = self._level, level
        return level if level is not None and (told is None or level < told) else None

    def _reached(self) -> int | None:
        if self.refusal:
            return 0
        minutes = self.free_bytes * 8 / self.bits_per_s / 60
        reached = None
        for level in WARNING_MINUTES:
            told = self._level is not None and self._level <= level
            if minutes < level * (HYSTERESIS if told else 1.0):
                reached = level
        return reached
