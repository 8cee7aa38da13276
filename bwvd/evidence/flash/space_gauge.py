"""Minutes of recording that the flash has room for, in bytes by the rate that the scene needs and in files by the rate
of commits, whichever is less; warns as they shrink."""

from __future__ import annotations

from collections import deque

from bwvd.clock import NS

WARNING_MINUTES = (60, 30)  # and 0: the flash refuses
MEASURED_OVER_NS = 300 * NS  # of media: a scene's bit rate changes, a minute ago it may have been dark
MEASURED_FROM_NS = 10 * NS  # of media: less says too little against the configured rate
HYSTERESIS = 1.1  # a level must be left by this factor before it is told again
# What a recording must have room for, behind its pre-event part, to be worth beginning.
SHORTEST_S = 10
FILES_BESIDE = 8  # beside a recording's segments: its folder, its manifest, what is made of that at its end


class StorageGauge:
    """Pure: from the free bytes and the recordings' bit rate to minutes, warnings and refusals.

    Args:
        bits_per_s: as configured, until enough has been measured.
        segment_s: media in a file, as configured, likewise.
        loop_s: the pre-event part that every recording begins with.
    """

    def __init__(self, *, bits_per_s: int, loop_s: float, segment_s: float = 1.0) -> None:
        self._configured = bits_per_s
        self._segment_s = segment_s
        self._loop_s = loop_s
        self._parts: deque[tuple[int, int]] = deque()  # bytes, media nanoseconds
        self._bytes = 0
        self._media_ns = 0
        self._level: int | None = None  # the lowest one that has been told and not been left
        self.free_bytes = 0
        self.free_files: int | None = None  # None = they are not counted
        self.refusal = ""  # why no recording may begin; "" if one may

    @property
    def bits_per_s(self) -> float:
        """Measured over the last minutes of recording; the configured rate before there are any."""
        if self._media_ns < MEASURED_FROM_NS or not self._bytes:
            return self._configured
        return self._bytes * 8 * NS / self._media_ns

    @property
    def files_per_s(self) -> float:
        """Measured likewise: each commit is a file."""
        if self._media_ns < MEASURED_FROM_NS:
            return 1 / self._segment_s
        return len(self._parts) * NS / self._media_ns

    @property
    def minutes_left(self) -> int:
        """Whole minutes that fit into what is free."""
        return int(self._seconds_left / 60)

    @property
    def _seconds_left(self) -> float:
        by_bytes = self.free_bytes * 8 / self.bits_per_s
        if self.free_files is None:
            return by_bytes
        return min(by_bytes, max(self.free_files - FILES_BESIDE, 0) / self.files_per_s)

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

    def update(self, free_bytes: int, free_files: int | None = None, *, reserved: bool) -> int | None:
        """Take a new reading; returns the level that was newly reached, 60, 30 or 0, if one was.

        `reserved`: the room for closing is set aside.
        """
        self.free_bytes, self.free_files = free_bytes, free_files
        # Refusing ends later than it began, so that it does not flicker while something else writes.
        needed_s = (self._loop_s + SHORTEST_S) * (HYSTERESIS if self.refusal else 1.0)
        enough = self.bits_per_s / 8 * needed_s
        if not reserved:
            self.refusal = "the flash is full: no room to close a recording"
        elif free_bytes < enough:
            self.refusal = "the flash is full"
        elif self._seconds_left < needed_s:
            self.refusal = f"the flash is full: it has room for {free_files} more files, whatever their size"
        else:
            self.refusal = ""
        level = self._reached()
        told, self._level = self._level, level
        return level if level is not None and (told is None or level < told) else None

    def _reached(self) -> int | None:
        if self.refusal:
            return 0
        minutes = self._seconds_left / 60
        reached = None
        for level in WARNING_MINUTES:
            told = self._level is not None and self._level <= level
            if minutes < level * (HYSTERESIS if told else 1.0):
                reached = level
        return reached
